//! What stands for a member, or opens a store, is in nothing that the daemon and its commands write: it is
//! planted in packets, in the spool, in an order and in the URL of the store, and everything is searched.

use std::{net::UdpSocket, path::Path};

use flowlog::{demo::Netns, record::clock::Utc};
use flowlog_tests::{
    Bpffs, Daemon, Ended, files_under, flowlog, flowlog_with, quiet_tun, synthetic, wait_for,
};
use nix::sys::signal::Signal;

const MEMBER: &str = "10.93.117.2";
const MEMBER_BYTES: [u8; 4] = [10, 93, 117, 2];
/// The address of the member and of whom it talks to, as text, as bytes and as a number; and what opens
/// the store.
const MARKERS: [&str; 9] = [
    "10.93.117",
    "93, 117",
    "0a5d7501",
    "0a5d7502",
    "173896962",
    "planted-user",
    "planted-password",
    "planted-signature",
    "planted-secret",
];

fn is_clean(origin: &str, printed: &str) {
    for marker in MARKERS {
        let line = printed.lines().find(|line| line.contains(marker));
        assert!(line.is_none(), "{origin} prints {marker}: {line:?}");
    }
}

fn ended(origin: &str, ended: &Ended) {
    is_clean(origin, &ended.stdout);
    is_clean(origin, &ended.stderr);
    assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty(), "{origin} prints nothing");
}

/// A configuration with an order for this prefix.
fn configuration(directory: &Path, pins: &Path, prefix: &str) -> String {
    format!(
        "profile = \"targeted\"\ninterfaces = [\"fltun\"]\ngateway = \"gw1\"\n\
         store = \"s3://planted-user:planted-password@bucket/a?sig=planted-signature\"\n\
         window = \"1s\"\ndrain_interval = \"500ms\"\nshutdown_timeout = \"2s\"\n\
         spool = \"{}\"\npins = \"{}\"\n\
         [retention]\nkeep = \"90d\"\n[[targets]]\nprefix = \"{prefix}\"\n\
         from = \"2020-01-01T00:00:00Z\"\nto = \"2100-01-01T00:00:00Z\"\n",
        directory.join("spool").display(),
        pins.display()
    )
}

fn talk(netns: &Netns) {
    netns
        .run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            (0..20).try_for_each(|_| socket.send_to(&[0; 72], (MEMBER, 9)).map(|_| ()))
        })
        .unwrap();
}

/// Whether any file below a folder has these bytes.
fn has(folder: &Path, wanted: &[u8]) -> bool {
    files_under(folder).iter().any(|file| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(wanted.len()).any(|bytes| bytes == wanted)
    })
}

/// Files of the spool in which the member is.
fn with_member(spool: &Path) -> Vec<std::path::PathBuf> {
    let has_member = |file: &std::path::PathBuf| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(4).any(|bytes| bytes == MEMBER_BYTES)
    };
    files_under(spool).into_iter().filter(has_member).collect()
}

#[test]
fn no_line_of_any_level_and_no_answer_has_a_member_or_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let bpffs = Bpffs::mount();
    let config = directory.path().join("flowlog.toml");
    std::fs::write(&config, configuration(directory.path(), &bpffs.base(), MEMBER)).unwrap();
    let config = config.to_str().unwrap();
    // Every line of every crate, and a store that does not answer.
    let variables = [
        ("FLOWLOG_LOG", "trace"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "planted-secret"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let spool = directory.path().join("spool");
    // A version before this one knew a store by the whole of its URL.
    let former = "s3://planted-user:planted-password@former/a?sig=planted-signature";
    synthetic::write_file_of_store(&spool, "gw1", Utc::from_ms(1_772_355_600_000), former);
    assert!(has(&spool, b"planted-password"), "the spool knows the former store");
    let (gateway, _tun) = quiet_tun("fltun");
    gateway.ip(&["address", "add", "10.93.117.1/24", "dev", "fltun"]).unwrap();

    let mut daemon = Daemon::start_with(&gateway, &variables, &["--config", config]);
    daemon.wait_for("attached");
    talk(&gateway);
    wait_for("the member to be in the spool", || !with_member(&spool).is_empty());
    daemon.wait_for("trying again");
    for format in ["text", "json"] {
        let answer = flowlog(&["status", "--socket", &daemon.socket(), "--format", format]);
        ended("status", &answer);
    }
    daemon.signal(Signal::SIGKILL);
    let killed = daemon.end();
    ended("a daemon without a store", &killed);
    for level in ["TRACE", "DEBUG", "WARN"] {
        assert!(killed.stderr.contains(level), "no line of {level} is searched");
    }

    for file in with_member(&spool) {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        std::fs::write(&file, bytes).unwrap();
    }
    let mut daemon = Daemon::start_with(&gateway, &variables, &["--config", config]);
    daemon.wait_for("moved to");
    talk(&gateway);
    ended("a daemon with a damaged spool", &daemon.terminate());

    for arguments in [
        &["check"][..],
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["verify"],
        &["duckdb"],
        &["retention", "plan"],
    ] {
        let all = [arguments, &["--config", config]].concat();
        ended(&all.join(" "), &flowlog_with(&variables, &all));
    }
    for url in [
        "ftp://planted-user:planted-password@host/a?sig=planted-signature",
        "s3://planted-user:planted-password@?sig=planted-signature",
    ] {
        for arguments in [
            &["run", "--config", config][..],
            &["check", "--config", config],
            &["config", "show", "--config", config],
            &["verify"],
            &["duckdb"],
            &["retention", "plan", "--keep", "90d"],
        ] {
            let all = [arguments, &["--store", url]].concat();
            let arguments: Vec<String> = all.iter().map(|&argument| argument.to_owned()).collect();
            let variables = variables.clone();
            let answer = gateway.run(move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                Ok(flowlog_with(&variables, &arguments))
            });
            let answer = answer.unwrap();
            ended(&all.join(" "), &answer);
            let said = [answer.stdout, answer.stderr].concat();
            assert!(said.contains("ftp://host/a") || said.contains("s3://"), "{all:?}: {said}");
        }
    }
    for prefix in ["10.93.117.300", "10.93.117.2/8", "10.93.117.2/33", "planted-secret"] {
        let wrong = directory.path().join("wrong.toml");
        let text = configuration(directory.path(), &bpffs.base(), prefix);
        std::fs::write(&wrong, text).unwrap();
        for command in [&["run"][..], &["check"], &["config", "show"]] {
            let all = [command, &["--config", wrong.to_str().unwrap()]].concat();
            let refused = flowlog_with(&variables, &all);
            ended(&all.join(" "), &refused);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains("targets: number 1: prefix"), "{refused:?}");
        }
    }
}
