//! `flowlog status`: how a real daemon is, whatever becomes of its interfaces, its store, itself and of those
//! who ask.

#[path = "neighbours/cable.rs"]
#[expect(dead_code, reason = "others do more with a cable")]
mod cable;

use std::{
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    time::{Duration, Instant},
};

use flowlog_tests::{
    Counter, Daemon, Ended, Place, Side, SmallDisk, Verdict, flowlog, has_tcx, veth_pair, wait_for,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use cable::{Cable, NEAR, two_drains};

/// What needs attention, but for the clock: whether something keeps that is not the daemon's.
fn attention(status: &Value) -> Vec<String> {
    let attention = status["attention"].as_array().unwrap().iter();
    let parts = attention.filter(|one| one["part"] != "clock");
    parts.map(|one| format!("{} → {}", one["message"], one["remedy"])).collect()
}

/// Waits until the status is as it should be, and returns it with its exit code.
fn wait_until(daemon: &Daemon, what: &str, is_so: impl Fn(&Value) -> bool) -> (i32, Value) {
    let mut last = (0, Value::Null);
    wait_for(what, || {
        last = daemon.status();
        let code = i32::from(!last.1["attention"].as_array().unwrap().is_empty());
        assert_eq!(last.0, code, "{}", last.1);
        is_so(&last.1)
    });
    last
}

fn asked(socket: &str, more: &[&str]) -> Ended {
    flowlog(&[&["status", "--socket", socket][..], more].concat())
}

/// No daemon answers, in one line that has these words.
fn assert_none_answers(ended: &Ended, words: &str) {
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.starts_with("flowlog: no flowlog answers: "), "{ended:?}");
    assert!(ended.stderr.contains(words) && ended.stdout.is_empty(), "{ended:?}");
}

fn state(status: &Value) -> &str {
    status["interfaces"][0]["state"].as_str().unwrap()
}

#[test]
fn a_daemon_reports_what_it_counts_and_stores_until_it_ends() {
    let cable = Cable::new();
    let daemon = cable.start_durable(NEAR, &[]);
    cable.send_up(10);
    let (_, status) = wait_until(&daemon, "ten packets in the store", |status| {
        status["store"]["packets_total"].as_u64() >= Some(10)
    });
    assert_eq!(attention(&status), [""; 0]);
    assert_eq!(status["schema"], "flowlog.status/1");
    assert_eq!(status["gateway"], "gw");
    assert_eq!(status["process_id"], daemon.id());
    let headline = status["headline"].as_str().unwrap();
    assert!(headline.starts_with("counting 1 of 1 interface; stored up to "), "{headline}");
    assert_eq!(status["interfaces"][0]["name"], NEAR);
    assert_eq!(status["interfaces"][0]["up_packets_total"], 10);
    assert!(status["drain"]["epochs_total"].as_u64() > Some(0), "{status}");
    assert_eq!(status["spool"]["is_recovered"], true);
    assert!(status["store"]["lag_seconds"].as_u64() < Some(60), "{status}");
    let socket = daemon.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = asked(&socket, &[]).stdout;
    assert!(text.starts_with("counting 1 of 1 interface; stored up to "), "{text}");
    let is_leaked = |answer: &str| answer.contains("10.8.0.") || answer.contains("02:00:00");
    assert!(!is_leaked(&text) && !is_leaked(&status.to_string()), "{text}{status}");
    let ended = cable.end(daemon);
    assert!(ended.stdout.starts_with("10 packets, "), "{ended:?}");
    assert_none_answers(&asked(&socket, &[]), "there is no socket");
}

#[test]
fn an_interface_is_attached_and_not_reached_while_somebody_takes_its_packets() {
    if !has_tcx() {
        return;
    }
    let cable = Cable::new();
    let daemon = cable.start(&["--order", "last"]);
    let reached = |status: &Value| {
        cable.send_up(5);
        state(status) == "reached"
    };
    wait_until(&daemon, "packets to reach the program", reached);
    let taker = Counter::attach(&cable.gateway, NEAR, Side::Ingress, Place::First, Verdict::Drop);
    let (code, status) = wait_until(&daemon, "packets to be missed", |status| {
        cable.send_up(5);
        state(status) == "not_reached"
    });
    assert_eq!(code, 1);
    assert!(status["headline"].as_str().unwrap().starts_with("counting 0 of 1"), "{status}");
    let attention_of_taker = attention(&status);
    assert!(attention_of_taker[0].contains("do not reach flowlog since"), "{attention_of_taker:?}");
    drop(taker);
    let (code, status) = wait_until(&daemon, "packets to reach the program again", reached);
    // It is news for a while.
    assert_eq!(
        (code, status["interfaces"][0]["last_gap"]["reason"].as_str()),
        (1, Some("not_reached"))
    );
    daemon.terminate();
}

#[test]
fn an_interface_that_does_not_exist_is_named_and_a_pattern_is_not() {
    let cable = Cable::new();
    let daemon = cable.start_on(&format!("{NEAR},flabsent,flother*"), &["--wait"]);
    let (code, status) = daemon.status();
    assert_eq!(code, 1);
    let [absent] = &attention(&status)[..] else { panic!("{status}") };
    assert!(absent.contains("flabsent does not exist"), "{absent}");
    assert_eq!(status["unmatched_patterns"], serde_json::json!(["flother*"]));
    let _tun = cable.gateway.tun("flabsent").unwrap();
    wait_until(&daemon, "the interface to be counted", |status| attention(status).is_empty());
    daemon.terminate();
}

#[test]
fn a_store_that_goes_away_is_reported_until_it_is_back() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let store = disk.path().join("store").to_str().unwrap().to_owned();
    let cable = Cable::new();
    let spool = tempfile::tempdir().unwrap();
    let [spool, pins] = [spool.path().to_owned(), cable.bpffs.base()];
    let [spool, pins] = [spool.to_str().unwrap(), pins.to_str().unwrap()];
    let arguments = ["--store", &store, "--spool", spool, "--pins", pins];
    let often = ["--window", "1s", "--drain-interval", "500ms"];
    let daemon = Daemon::attached(&cable.gateway, NEAR, &[&arguments[..], &often].concat());
    wait_until(&daemon, "a file in the store", |status| {
        attention(status).is_empty() && status["store"]["files_total"].as_u64() > Some(0)
    });
    disk.fill();
    let (code, status) = wait_until(&daemon, "the store to be away", |status| {
        !attention(status).is_empty() && status["store"]["waiting_windows"].as_u64() > Some(0)
    });
    assert_eq!(code, 1);
    let [away] = &attention(&status)[..] else { panic!("{status}") };
    assert!(away.contains("the store failed") && away.contains("the spool keeps"), "{away}");
    assert!(status["headline"].as_str().unwrap().contains("for the store"), "{status}");
    disk.free();
    wait_until(&daemon, "the store to be back", |status| {
        attention(status).is_empty() && status["store"]["waiting_windows"] == 0
    });
    assert_eq!(daemon.terminate().code, 0);
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced() {
    let cable = Cable::new();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("run/gw.sock").to_str().unwrap().to_owned();
    let start = || cable.start_durable(NEAR, &["--status-socket", &socket]);
    let daemon = start();
    wait_for("an answer", || asked(&socket, &[]).code < 2);
    daemon.signal(Signal::SIGKILL);
    daemon.end();
    assert_none_answers(&asked(&socket, &[]), "nobody listens at");
    let again = start();
    wait_for("an answer of the next one", || asked(&socket, &[]).code < 2);
    let ended = cable.end(again);
    assert!(!ended.stderr.contains("has no answer"), "{}", ended.stderr);
    assert_none_answers(&asked(&socket, &[]), "there is no socket");
}

#[test]
fn a_second_daemon_counts_without_taking_the_socket_of_the_first() {
    let cable = Cable::new();
    let first = cable.start(&[]);
    let socket = first.socket();
    wait_for("an answer", || asked(&socket, &[]).code < 2);
    let another = Cable::new();
    let mut second = another.start(&["--status-socket", &socket]);
    second.wait_for("another flowlog answers at");
    another.send_up(10);
    two_drains();
    let ended = another.end(second);
    assert!(ended.stdout.starts_with("10 packets, "), "{ended:?}");
    assert_eq!(first.status().1["process_id"], first.id());
    cable.end(first);
}

#[test]
fn a_daemon_that_cannot_answer_warns_and_counts() {
    let cable = Cable::new();
    let daemon = cable.start(&["--status-socket", "/proc/nowhere/gw.sock"]);
    cable.send_up(10);
    two_drains();
    let ended = cable.end(daemon);
    assert!(ended.stderr.contains("`flowlog status` has no answer"), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("10 packets, "), "{ended:?}");
}

#[test]
fn clients_that_never_read_flood_or_send_garbage_hold_nothing_up() {
    let cable = Cable::new();
    let daemon = cable.start(&[]);
    let socket = daemon.socket();
    wait_for("an answer", || asked(&socket, &[]).code < 2);
    let mut silent: Vec<UnixStream> =
        (0..12).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    for client in &mut silent {
        // Whoever was answered already may hear that nobody reads it.
        client.write_all(&[0xff; 4096]).unwrap_or_default();
    }
    let flooded = socket.clone();
    let flood = std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(3);
        let mut clients = 0;
        while Instant::now() < end {
            clients += u32::from(UnixStream::connect(&flooded).is_ok());
        }
        clients
    });
    let epochs = || daemon.status().1["drain"]["epochs_total"].as_u64().unwrap();
    let before = epochs();
    cable.send_up(10);
    std::thread::sleep(Duration::from_secs(2));
    assert!(epochs() >= before + 2, "it drains twice a second");
    assert!(flood.join().unwrap() > 0);
    let ended = cable.end(daemon);
    assert!(ended.stdout.starts_with("10 packets, "), "{ended:?}");
}

#[test]
fn a_daemon_that_hangs_does_not_hang_whoever_asks() {
    let cable = Cable::new();
    let daemon = cable.start(&[]);
    let socket = daemon.socket();
    wait_for("an answer", || asked(&socket, &[]).code < 2);
    daemon.signal(Signal::SIGSTOP);
    let told = Instant::now();
    let ended = asked(&socket, &["--timeout", "300ms"]);
    assert!(told.elapsed() < Duration::from_secs(10));
    assert_none_answers(&ended, "has sent nothing for 300ms");
    daemon.signal(Signal::SIGCONT);
    wait_for("an answer", || asked(&socket, &[]).code < 2);
    cable.end(daemon);
}

#[test]
fn the_configuration_of_the_daemon_names_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flowlog.toml");
    let config = |text: &str| {
        std::fs::write(&file, text).unwrap();
        flowlog(&["status", "--config", file.to_str().unwrap()])
    };
    assert_none_answers(&config("status_socket = \"/nowhere/gw.sock\""), "/nowhere/gw.sock");
    assert_none_answers(&config("gateway = \"nobody-9\""), "/run/flowlog/nobody-9.sock");
    assert_eq!(config("status_socket = \"\"").code, 2);
    assert_eq!(config("statussocket = 1").code, 2);
    assert_eq!(flowlog(&["status", "--timeout", "soon"]).code, 2);
}

#[test]
fn a_name_with_control_characters_does_nothing_to_the_terminal() {
    let name = "a\u{1b}[31mb\u{7}";
    let (gateway, _peer) = veth_pair(name, "flfar0");
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let store = store.to_str().unwrap();
    let often = ["--window", "1s", "--drain-interval", "500ms"];
    let daemon = Daemon::attached(&gateway, "a*", &[&["--store", store][..], &often].concat());
    wait_until(&daemon, "a window in the store", |status| {
        status["store"]["files_total"].as_u64() > Some(0)
    });
    let (_, status) = daemon.status();
    assert_eq!(status["interfaces"][0]["name"], name);
    let text = asked(&daemon.socket(), &[]).stdout;
    assert!(text.contains("a\\u{1b}[31mb\\u{7}"), "{text:?}");
    let ended = daemon.terminate();
    let verified = flowlog(&["verify", "--store", store]);
    for output in [&text, &ended.stderr, &verified.stdout, &verified.stderr] {
        let is_harmful = |c: char| c.is_control() && c != '\n';
        assert!(!output.contains(is_harmful), "{output:?}");
    }
}
