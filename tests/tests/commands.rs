//! What a user gets who asks for something impossible: one clear sentence, the documented exit
//! code, and nothing half-written.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use flowlog_tests::{
    Bpffs, Daemon, Ended, SmallDisk, files_under, flowlog, flowlog_binary, quiet_tun,
    replay_into_tun,
};

const DONE: i32 = 0;
const USAGE: i32 = 2;
const FAILED: i32 = 3;

/// One line, which names what it is about and what to do.
fn assert_said(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, code, "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("flowlog: "), "{}", ended.stderr);
    assert!(ended.stderr.len() < 400, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not in {:?}", ended.stderr);
    }
    assert_eq!(ended.stdout, "");
}

fn run(arguments: &[&str]) -> Ended {
    let mut all = vec!["run"];
    if !arguments.contains(&"--config") {
        all.extend(FLOWS);
    }
    all.extend(arguments);
    flowlog(&all)
}

/// There is no default.
const FLOWS: [&str; 2] = ["--profile", "flows"];

fn check(arguments: &[&str]) -> Ended {
    flowlog(&[&["check"], &FLOWS[..], arguments].concat())
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

#[test]
fn an_interface_that_does_not_exist_is_named_with_the_option_to_wait() {
    let scratch = Scratch::new();
    let ended = run(&["--interface", "nosuch0", "--store", &scratch.path("store")]);
    assert_said(&ended, USAGE, &["nosuch0", "--wait"]);
    assert_eq!(files_under(Path::new(&scratch.path("store"))), Vec::<PathBuf>::new());
}

#[test]
fn no_interface_at_all_is_refused() {
    let scratch = Scratch::new();
    assert_said(&run(&["--store", &scratch.path("store")]), USAGE, &["interface", "wg0"]);
}

#[test]
fn without_capabilities_it_says_which_are_needed() {
    let scratch = Scratch::new();
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-all", "--"])
        .arg(flowlog_binary())
        .args(["run", "--profile", "flows", "--interface", "lo", "--store", &scratch.path("store")])
        .output()
        .unwrap();
    let ended = Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert_said(&ended, FAILED, &["CAP_BPF", "CAP_NET_ADMIN", "root"]);
}

#[test]
fn a_store_that_cannot_be_written_is_named_with_the_reason() {
    let scratch = Scratch::new();
    let not_a_directory = format!("{}/store", scratch.file("file", ""));
    let ended = run(&["--interface", "lo", "--store", &not_a_directory]);
    assert_said(&ended, FAILED, &[&not_a_directory, "Not a directory"]);
    let disk = SmallDisk::new("ro,size=64k");
    let ended = run(&["--interface", "lo", "--store", &store_on(&disk)]);
    assert_said(&ended, FAILED, &[&store_on(&disk), "Read-only"]);
    let ended = run(&["--interface", "lo", "--store", "nonsense://x"]);
    assert_said(&ended, USAGE, &["nonsense://x", "s3://"]);
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_the_line() {
    let scratch = Scratch::new();
    let config = |text: &str| {
        let file = scratch.file("flowlog.toml", text);
        run(&["--interface", "lo", "--store", &scratch.path("store"), "--config", &file])
    };
    assert_said(&config("profile = "), USAGE, &["flowlog.toml", "line 1"]);
    assert_said(&config("profile = \"flows\"\nwindwo = \"5m\""), USAGE, &["windwo", "line 2"]);
    assert_said(&config("window = \"5m\""), USAGE, &["profile"]);
    assert_said(&config("profile = \"everything\""), USAGE, &["everything", "flows"]);
    assert_said(&config("profile = \"flows\"\nwindow = \"7m\""), USAGE, &["window", "hour"]);
    let missing = scratch.path("missing.toml");
    assert_said(&run(&["--interface", "lo", "--config", &missing]), USAGE, &["missing.toml"]);
    assert!(!Path::new(&scratch.path("store")).exists());
}

#[test]
fn a_full_disk_is_said_at_the_start() {
    let disk = SmallDisk::new("size=64k");
    disk.fill();
    let ended = run(&["--interface", "lo", "--store", &store_on(&disk)]);
    assert_said(&ended, FAILED, &[&store_on(&disk), "No space left"]);
}

#[test]
fn a_disk_that_fills_up_leaves_no_half_written_file_and_is_said_at_the_end() {
    let disk = SmallDisk::new("size=512k");
    let scratch = Scratch::new();
    let config = scratch.file("flowlog.toml", "profile = \"flows\"\nshutdown_timeout = \"1s\"");
    let (gateway, tun) = quiet_tun("fltun");
    let arguments = ["--store", &store_on(&disk), "--config", &config, "--window", "1h"];
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    replay_into_tun(&tun, &many_flows(&scratch));
    disk.fill();
    let ended = daemon.terminate();
    assert_eq!(ended.code, FAILED, "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap();
    for word in ["1 windows", "5000 flow rows", "lost", "No space left"] {
        assert!(last.contains(word), "{word:?} is not in {last:?}");
    }
    assert_eq!(files_under(Path::new(&store_on(&disk))), Vec::<PathBuf>::new());
}

#[test]
fn a_disk_with_space_again_gets_what_waited_for_it() {
    let disk = SmallDisk::new("size=2m");
    let scratch = Scratch::new();
    let (gateway, tun) = quiet_tun("fltun");
    let arguments = ["--store", &store_on(&disk), "--window", "2s", "--drain-interval", "500ms"];
    let mut daemon = Daemon::attached(&gateway, "fltun", &arguments);
    disk.fill();
    replay_into_tun(&tun, &many_flows(&scratch));
    daemon.wait_for("No space left");
    disk.free();
    let ended = daemon.terminate();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    assert!(ended.stdout.contains("5000 flows"), "{}", ended.stdout);
    let verified = flowlog(&["verify", "--store", &store_on(&disk)]);
    assert!(verified.code == DONE && verified.stdout.contains("5000 packets"), "{verified:?}");
}

#[test]
fn a_wrong_option_and_an_instant_without_an_offset_are_refused() {
    for arguments in [
        &["run", "--nonsense"][..],
        &["retention", "plan"],
        &["retention", "plan", "--keep", "90"],
        &["retention", "plan", "--keep", "90d", "--at", "2026-11-22T10:00:00"],
    ] {
        let ended = flowlog(arguments);
        assert_eq!(ended.code, USAGE, "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty());
    }
}

#[test]
fn check_says_what_is_wrong_and_what_to_do() {
    let scratch = Scratch::new();
    let store = scratch.path("store");
    let checked = check(&["--interface", "nosuch0", "--store", &store]);
    assert!([USAGE, FAILED].contains(&checked.code), "{checked:?}");
    let failed = checked.stdout.lines().skip_while(|line| !line.starts_with("FAIL  interface"));
    let remedy = failed.take(2).last().unwrap();
    assert!(remedy.contains('→') && remedy.contains("ip link"), "{}", checked.stdout);
    for sound in ["ok    kernel ", "ok    capabilities", "ok    kernel program", "ok    store"] {
        assert!(checked.stdout.contains(sound), "{sound:?} is not in {}", checked.stdout);
    }
    assert!(checked.stdout.contains("clock"));
    let not_a_directory = format!("{}/store", scratch.file("file", ""));
    let checked = check(&["--interface", "lo", "--store", &not_a_directory]);
    assert_eq!(checked.code, FAILED);
    assert!(checked.stdout.contains("FAIL  store"), "{}", checked.stdout);
}

#[test]
fn check_changes_nothing_unless_it_is_told_to_try_the_store() {
    let scratch = Scratch::new();
    let [store, spool, pins] = ["store", "spool", "pins"].map(|name| scratch.path(name));
    let arguments = ["--interface", "lo", "--store", &store, "--spool", &spool, "--pins", &pins];
    let looked = check(&arguments);
    assert!(looked.stdout.contains("ok    store           "), "{}", looked.stdout);
    assert!(looked.stdout.contains("is made at the start"), "{}", looked.stdout);
    assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 0);
    let tried = check(&[&arguments[..], &["--probe"]].concat());
    assert!(tried.stdout.contains("takes files"), "{}", tried.stdout);
    assert!(Path::new(&store).is_dir());
    assert_eq!(files_under(Path::new(&store)), Vec::<PathBuf>::new());
}

#[test]
fn check_names_the_way_to_attach_that_was_asked_for() {
    let scratch = Scratch::new();
    let arguments = ["--interface", "lo", "--store", &scratch.path("store"), "--attach", "clsact"];
    let checked = check(&arguments);
    assert!(checked.stdout.contains("attachment      clsact"), "{}", checked.stdout);
}

#[test]
fn an_alternative_name_is_answered_with_the_name_of_the_interface() {
    let scratch = Scratch::new();
    let (gateway, _tun) = quiet_tun("fltun");
    gateway.ip(&["link", "property", "add", "dev", "fltun", "altname", "members"]).unwrap();
    for command in ["run", "check"] {
        let output = gateway
            .command(flowlog_binary())
            .unwrap()
            .args([command, "--profile", "flows", "--interface", "members"])
            .args(["--store", &scratch.path("store")])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        let is_named = said.concat().contains("members is an alternative name of");
        assert!(is_named && said.concat().contains("name it fltun"), "{command}: {said:?}");
    }
}

#[test]
fn nobody_collects_anything_without_a_profile() {
    let scratch = Scratch::new();
    for command in ["run", "check"] {
        let arguments = [command, "--interface", "lo", "--store", &scratch.path("store")];
        let words = ["--profile", "flows", "attribution", "targeted"];
        assert_said(&flowlog(&arguments), USAGE, &words);
    }
}

#[test]
fn uninstall_removes_nothing_that_is_not_flowlogs() {
    let scratch = Scratch::new();
    let strangers = scratch.path("pins/gw1/v1-1-2-3-4");
    std::fs::create_dir_all(&strangers).unwrap();
    std::fs::write(format!("{strangers}/CONTROL"), "theirs").unwrap();
    let outside = flowlog(&["uninstall", "--pins", &scratch.path("pins")]);
    assert_said(&outside, FAILED, &["not on a BPF file system"]);
    let absolute = flowlog(&["uninstall", "--gateway", &scratch.path("pins/gw1")]);
    assert_eq!(absolute.code, USAGE, "{absolute:?}");

    let bpffs = Bpffs::mount();
    let base = bpffs.base();
    // As other tools have it: a folder of a version, with pins in it or without.
    std::fs::create_dir_all(base.join("theirs/v1/globals")).unwrap();
    std::os::unix::fs::symlink(&strangers, base.join("gw1")).unwrap();
    for more in [&[][..], &["--gateway", "gw1"], &["--gateway", "theirs"]] {
        let inside = flowlog(&[&["uninstall", "--pins", base.to_str().unwrap()], more].concat());
        assert_eq!(inside.code, DONE, "{inside:?}");
    }
    assert!(base.join("theirs/v1/globals").is_dir());
    assert_eq!(std::fs::read_to_string(format!("{strangers}/CONTROL")).unwrap(), "theirs");
}

#[test]
fn commands_take_the_configuration_of_the_daemon() {
    let scratch = Scratch::new();
    let store = scratch.path("store");
    let config = scratch.file("flowlog.toml", &format!("profile = \"flows\"\nstore = {store:?}"));
    for command in ["duckdb", "flows", "verify"] {
        // It is the file's store that is not there.
        let asked = flowlog(&[command, "--config", &config]);
        assert!(asked.code != DONE && asked.stderr.contains(&store), "{asked:?}");
    }
}

#[test]
fn the_configuration_is_shown_with_the_origin_of_each_value() {
    let scratch = Scratch::new();
    let text =
        "profile = \"flows\"\nstore = \"s3://me:secret@bucket/a\"\n[retention]\nkeep = \"90d\"";
    let config = scratch.file("flowlog.toml", text);
    let show = |more: &[&str]| flowlog(&[&["config", "show", "--config", &config], more].concat());
    let shown = show(&["--window", "1m"]);
    assert_eq!(shown.code, DONE, "{shown:?}");
    for (assignment, origin) in [
        ("window = \"1m\"", "# --window".to_owned()),
        ("keep = \"90d\"", format!("# {config}:4")),
        ("drain_interval = \"10s\"", "# default".to_owned()),
        ("store = \"s3://bucket/a\"", format!("# {config}:2")),
    ] {
        let line = shown.stdout.lines().find(|line| line.starts_with(assignment));
        assert!(line.is_some_and(|line| line.ends_with(&origin)), "{assignment}: {}", shown.stdout);
    }
    assert!(!shown.stdout.contains("secret"), "{}", shown.stdout);
    let json = show(&["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let keep = json["keys"].as_array().unwrap().iter().find(|key| key["key"] == "retention.keep");
    assert_eq!(keep.unwrap()["line"], 4);
    let wrong = scratch.file("wrong.toml", "\n\nretenton = 1");
    let refused = flowlog(&["config", "show", "--config", &wrong]);
    let words = ["wrong.toml", "line 3", "unknown key `retenton`: did you mean `retention`?"];
    assert_said(&refused, USAGE, &words);
}

#[test]
fn check_says_how_the_spool_is() {
    let scratch = Scratch::new();
    let bpffs = Bpffs::mount();
    let config = scratch.file("flowlog.toml", "profile = \"flows\"\nspool_max_bytes = 4194304");
    let check_spool = |spool: &str| {
        let (store, pins) = (scratch.path("store"), bpffs.base());
        let arguments = ["--interface", "lo", "--store", &store, "--config", &config];
        let spool = ["--spool", spool, "--pins", pins.to_str().unwrap()];
        flowlog(&[&["check"], &arguments[..], &spool].concat()).stdout
    };
    let line = |said: &str, of: &str| {
        let lines = said.lines().skip_while(|line| !line.contains(of));
        lines.take(2).collect::<Vec<_>>().join("\n")
    };
    let without = check(&["--interface", "lo", "--store", &scratch.path("store")]);
    assert!(line(&without.stdout, " spool ").contains("--spool keeps it"), "{}", without.stdout);

    let spool = scratch.path("spool");
    let said = check_spool(&spool);
    assert!(
        line(&said, "ok    spool ").contains("is made at the start: 0 of 4 MiB used"),
        "{said}"
    );
    assert!(line(&said, "ok    pins ").contains("none: counting begins"), "{said}");
    assert!(!Path::new(&spool).exists(), "it only looks");

    std::fs::create_dir_all(format!("{spool}/epochs")).unwrap();
    std::fs::write(format!("{spool}/epochs/1.run"), vec![0; 2 << 20]).unwrap();
    let said = check_spool(&spool);
    assert!(line(&said, "ok    spool ").contains("2 of 4 MiB used"), "{said}");
    std::fs::write(format!("{spool}/epochs/2.damaged"), vec![0; 2 << 20]).unwrap();
    let said = check_spool(&spool);
    assert!(line(&said, "FAIL  spool ").contains("spool_max_bytes"), "{said}");
    assert!(line(&said, "FAIL  damaged runs ").contains("epochs/2.damaged"), "{said}");

    let said = check_spool(&format!("{}/spool", scratch.file("file", "")));
    assert!(line(&said, "FAIL  spool ").contains("Not a directory"), "{said}");
    let disk = SmallDisk::new("ro,size=2m,mode=700");
    let said = check_spool(disk.path().to_str().unwrap());
    assert!(line(&said, "FAIL  spool ").contains("Read-only"), "{said}");
    let disk = SmallDisk::new("size=2m,mode=700");
    let on_disk = disk.path().to_str().unwrap();
    assert!(line(&check_spool(on_disk), "ok    spool ").contains("full before the spool is"));
    disk.fill();
    let said = check_spool(on_disk);
    assert!(line(&said, "FAIL  spool ").contains("the disk is full"), "{said}");
}

#[test]
fn check_says_whether_counting_will_go_on() {
    let scratch = Scratch::new();
    let bpffs = Bpffs::mount();
    let (gateway, _tun) = quiet_tun("fltun");
    let (store, spool, pins) = (scratch.path("store"), scratch.path("spool"), bpffs.base());
    let arguments = ["--store", &store, "--spool", &spool, "--gateway", "gw1", "--pins"];
    let check_at = |pins: &Path, more: &[&str]| {
        let line = ["check", "--profile", "flows", "--interface", "fltun", "--wait"];
        let ended = flowlog(&[&line[..], &arguments, &[pins.to_str().unwrap()], more].concat());
        let of_pins = ended.stdout.lines().skip_while(|line| !line.contains(" pins "));
        of_pins.take(2).collect::<Vec<_>>().join("\n")
    };
    let check = |more: &[&str]| check_at(&pins, more);
    let arguments = [&arguments[..], &[pins.to_str().unwrap()]].concat();
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    assert!(check(&[]).contains("ok    pins"), "also while it runs");
    assert_eq!(daemon.terminate().code, DONE);
    assert!(check(&[]).contains("counting goes on without a gap"), "{}", check(&[]));
    let line =
        ["check", "--profile", "flows", "--interface", "fltun", "--wait", "--gateway", "gw2"];
    let places = ["--store", &store, "--spool", &spool, "--pins", pins.to_str().unwrap()];
    let of_another = flowlog(&[&line[..], &places].concat());
    let named = "gateway gw1 has programs and counters in the kernel that no flowlog drains";
    assert!(of_another.stdout.contains(named), "{}", of_another.stdout);
    let sizes = scratch.file("sizes.toml", "profile = \"flows\"\nmax_flows_v4 = 4096");
    let other = check(&["--config", &sizes]);
    assert!(other.contains("ok    pins") && other.contains("with other sizes"), "{other}");

    let layouts = std::fs::read_dir(pins.join("gw1")).unwrap();
    let is_layout = |path: &PathBuf| path.join("CONTROL").exists();
    let layout = layouts.map(|entry| entry.unwrap().path()).find(is_layout).unwrap();
    let newer = layout.with_file_name("v4711-something-else");
    std::fs::rename(&layout, &newer).unwrap();
    let refused = check(&[]);
    assert!(refused.contains("FAIL  pins") && refused.contains("v4711"), "{refused}");
    assert!(refused.contains("newer version") && refused.contains('→'), "{refused}");
    std::fs::rename(&newer, layout.with_file_name("v0-something-else")).unwrap();
    let unreadable = check(&[]);
    assert!(unreadable.contains("FAIL  pins") && unreadable.contains("v0-"), "{unreadable}");
    assert!(unreadable.contains("gap in the ledger") && unreadable.contains('→'), "{unreadable}");

    let elsewhere = check_at(Path::new(&scratch.path("pins")), &[]);
    assert!(elsewhere.contains("FAIL  pins") && elsewhere.contains("mount"), "{elsewhere}");
}

#[test]
fn check_answers_programs_too() {
    let scratch = Scratch::new();
    let checked = check(&["--interface", "lo", "--store", &scratch.path("s"), "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    let names: Vec<_> =
        answer["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    for name in ["kernel", "capabilities", "interface", "store", "clock"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// A capture file of 5,000 flows of one packet each.
fn many_flows(scratch: &Scratch) -> PathBuf {
    let mut file = vec![0x4d, 0x3c, 0xb2, 0xa1];
    file.extend([0; 20]);
    for flow in 0..5_000_u16 {
        let [high, low] = flow.to_be_bytes();
        let packet = [
            0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, high, low, 192, 0, 2, 1, high, low, 0,
            53, 0, 8, 0, 0,
        ];
        file.extend([0; 8]);
        file.extend([28, 0, 0, 0, 28, 0, 0, 0]);
        file.extend(packet);
    }
    let path = PathBuf::from(scratch.path("flows.pcap"));
    std::fs::write(&path, file).unwrap();
    path
}

fn store_on(disk: &SmallDisk) -> String {
    disk.path().join("store").to_str().unwrap().to_owned()
}
