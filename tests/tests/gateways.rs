//! Several gateways, one store; asked by DuckDB and by Spark.

use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use flowlog::{
    demo::{self, Netns, Tun, Vpn},
    record::{
        clock::Utc,
        flow::{Activity, FlowRecord},
    },
    table::{FLOWS, FlowsWriter, ObjectName},
};
use flowlog_common::flow::Direction;
use flowlog_tests::{Bpffs, Daemon, duckdb, files_under, flowlog, quiet_tun, root, wait_for};
use serde_json::Value;

const INTERFACE: &str = "flgw0";

/// A gateway that records.
struct Gateway {
    name: String,
    netns: Netns,
    _tun: Tun,
    _bpffs: Bpffs,
    daemon: Daemon,
}

impl Gateway {
    fn start(number: usize, directory: &std::path::Path) -> Self {
        // Whoever takes the names of all folders for numbers loses the zeros.
        let name = format!("00{number}");
        let (netns, tun) = quiet_tun(INTERFACE);
        netns.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let bpffs = Bpffs::mount();
        let [store, spool] = ["store", &name].map(|name| directory.join(name));
        let pins = bpffs.base();
        let [store, spool, pins] = [&store, &spool, &pins].map(|path| path.to_str().unwrap());
        let arguments = ["--store", store, "--spool", spool, "--pins", pins, "--gateway", &name];
        let times = ["--window", "500ms", "--drain-interval", "100ms"];
        let daemon = Daemon::attached(&netns, INTERFACE, &[&arguments[..], &times].concat());
        Self { name, netns, _tun: tun, _bpffs: bpffs, daemon }
    }

    fn send(&self, packets: u32) {
        self.netns
            .run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                for _ in 0..packets {
                    socket.send_to(&[0; 72], "10.9.0.2:9")?;
                }
                Ok(())
            })
            .unwrap();
    }
}

/// What gateway `number` sends each time.
fn packets_of(number: usize) -> u32 {
    u32::try_from(number).unwrap() * 100
}

/// A store that four gateways wrote at once, each having sent five times.
fn recorded(directory: &Path) -> PathBuf {
    let store = directory.join("store");
    let gateways: Vec<_> = (1..=4).map(|number| Gateway::start(number, directory)).collect();
    for _ in 0..5 {
        for (number, gateway) in (1..).zip(&gateways) {
            gateway.send(packets_of(number));
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    wait_for("files of each", || {
        gateways
            .iter()
            .all(|gateway| store.join(format!("flows/gateway={}", gateway.name)).is_dir())
    });
    for gateway in gateways {
        let ended = gateway.daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    store
}

#[test]
fn four_gateways_at_once_share_a_store_and_none_knows_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = recorded(directory.path());
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let stored = duckdb(
        &store,
        "SELECT gateway, sum(packets_down)::INT AS packets FROM flows GROUP BY gateway ORDER BY gateway",
    );
    let stored: Vec<_> = stored.iter().map(|row| (&row["gateway"], &row["packets"])).collect();
    for (number, (gateway, packets)) in (1..).zip(&stored) {
        assert_eq!(
            (*gateway, *packets),
            (&format!("00{number}").into(), &(5 * packets_of(number)).into())
        );
    }
    assert_eq!(stored.len(), 4);
}

#[test]
fn spark_answers_what_duckdb_answers() {
    let directory = tempfile::tempdir().unwrap();
    let store = recorded(directory.path());
    record_the_demonstration(&store);
    let visit = "SELECT epoch_ms(min(flow_start)) AS ms FROM flows
        WHERE remote_ip = 'fd66::1' AND remote_port = 8080";
    let visit = Utc::from_ms(duckdb(&store, visit)[0]["ms"].as_i64().unwrap());
    write_the_greatest_counters(&store, visit);
    add_sessions(&store);

    let instant = format!("{visit}");
    let at_instant = [
        format!("at_instant fd66::1 8080 {instant}"),
        format!(
            "(SELECT * EXCLUDE (window_start) FROM at_instant('fd66::1', 8080, TIMESTAMPTZ '{instant}'))"
        ),
    ];
    let all_flows = format!("SELECT * FROM flows ORDER BY {FLOW}");
    let flows = "(SELECT * EXCLUDE (window_start) FROM flows)".to_owned();
    let all_windows = format!("SELECT * FROM ledger ORDER BY {WINDOW}");
    let all_sessions = format!("SELECT * FROM sessions ORDER BY {SESSION}");
    let all_looks = format!("SELECT * FROM coverage ORDER BY {LOOK}");
    // Each question to Spark, to DuckDB, what is a time in the answer, and a sufficient order.
    let questions = [
        ["top_talkers 2", "top_talkers(2)", "", "bytes DESC"],
        ["who_talked_to 10.9.0.1", "who_talked_to('10.9.0.1')", "first_seen, last_seen", WHO],
        ["who_talked_to 10.66.0.1", "who_talked_to('10.66.0.1')", "first_seen, last_seen", WHO],
        ["who_talked_to fd66::1", "who_talked_to('fd66::1')", "first_seen, last_seen", WHO],
        [&at_instant[0], &at_instant[1], "flow_start, flow_end", "flow_start, member_port"],
        ["volume_per_hour", "volume_per_hour()", "", "ALL"],
        ["losses", "losses()", "window_start", "ALL"],
        [&all_flows, &flows, "flow_start, flow_end", FLOW],
        [&all_windows, "ledger", "window_start, window_end, observed_start, observed_end", WINDOW],
        [&all_sessions, "sessions", "session_start, held_start, held_end", SESSION],
        [&all_looks, "coverage", "window_start, window_end, observed_start, observed_end", LOOK],
    ];
    let answers = ask_spark(&store, &questions.map(|[question, ..]| question));
    for ([_, question, times, order], answer) in questions.iter().zip(answers) {
        let times = times.split(", ").filter(|time| !time.is_empty());
        let times =
            times.map(|time| format!("strftime({time}, '%Y-%m-%dT%H:%M:%S.%gZ') AS {time}"));
        let times = times.collect::<Vec<_>>().join(", ");
        let replaced = if times.is_empty() { times } else { format!("REPLACE ({times})") };
        let expected =
            duckdb(&store, &format!("SELECT * {replaced} FROM {question} ORDER BY {order}"));
        assert!(!expected.is_empty(), "{question}: nothing to compare");
        assert_eq!(answer, expected, "{question}");
    }
}

const WHO: &str =
    "first_seen, last_seen, gateway, interface, member_ip, protocol, remote_port NULLS LAST";
const FLOW: &str = "gateway, flow_start, member_ip, protocol, icmp_type NULLS LAST, member_port";
const WINDOW: &str = "gateway, window_start, direction";
const SESSION: &str = "gateway, session_id, segment, inner_prefix, held_start, held_end";
const LOOK: &str = "gateway, source, instance, window_start, observed_start";

/// Puts the sessions of the golden files into a store.
fn add_sessions(store: &Path) {
    let golden = root().join("tests/golden/sessions-1/store");
    for file in files_under(&golden) {
        let copy = store.join(file.strip_prefix(&golden).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(file, copy).unwrap();
    }
}

/// Another gateway, with TCP, UDP and ICMP of both families; there are more flows than it has room for,
/// so that some are known by their member alone.
fn record_the_demonstration(store: &Path) {
    let vpn = Vpn::new().expect("these tests need root");
    let config = store.with_extension("toml");
    std::fs::write(&config, "profile = \"flows\"\nmax_flows_v4 = 4\n").unwrap();
    let [store, config] = [store, &config].map(|path| path.to_str().unwrap());
    let arguments = ["--store", store, "--config", config, "--gateway", "007"];
    let daemon = Daemon::attached(&vpn.gateway, demo::INTERFACE, &arguments);
    demo::generate(&vpn).unwrap();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// The greatest number that the views of DuckDB and Spark have.
const GREATEST: u64 = i64::MAX.unsigned_abs();

/// A flow that an instant would find, were it not in the folder of an hour long ago; its counters
/// have their greatest values.
fn write_the_greatest_counters(store: &Path, instant: Utc) {
    let [member, remote] = [demo::MEMBER, demo::GATEWAY].map(|[_, v6]| v6);
    let row = FlowRecord {
        interface: "wg0",
        member: member.into(),
        remote: Some(remote.into()),
        member_port: u16::MAX,
        remote_port: 8080,
        protocol: 17,
        activity: Activity {
            start_ms: instant.ms(),
            end_ms: instant.ms(),
            packets_up: GREATEST,
            bytes_up: GREATEST,
            packets_down: 0,
            bytes_down: 0,
            tcp_flags_up: 0,
            tcp_flags_down: 0,
            partial: 0,
            initiator: Direction::Up,
        },
    };
    let mut file = FlowsWriter::new(vec![]).unwrap();
    file.push(&row).unwrap();
    let name = ObjectName::new(&FLOWS, "001", Utc::from_ms(0), Duration::from_mins(5));
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file.finish(vec![]).unwrap()).unwrap();
}

/// The answers of `examples/spark/flows.py`, in a zone that is half an hour off.
fn ask_spark(store: &Path, questions: &[&str]) -> Vec<Vec<Value>> {
    let directory = tempfile::tempdir().unwrap();
    let programs = root().join("target/venv/bin");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120"])
        .arg(programs.join("spark-submit"))
        .args(["--master", "local[2]", "--conf", "spark.ui.enabled=false"])
        // What is asked once is not worth compiling well, nor cutting in two hundred parts.
        .args(["--driver-java-options", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"])
        .args(["--conf", "spark.sql.shuffle.partitions=1"])
        .arg(root().join("examples/spark/flows.py"))
        .args(["--format", "json", "--store"])
        .arg(store)
        .args(questions)
        .envs([("PATH", path.as_str()), ("SPARK_LOCAL_IP", "127.0.0.1"), ("TZ", "Asia/Kolkata")])
        .env("SPARK_LOCAL_DIRS", directory.path())
        .env_remove("SPARK_HOME")
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}\nrun `cargo xtask setup`");
    let answers: Vec<_> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len(), "{said}");
    answers
}
