//! The daemon over time: interfaces that come and go, windows, signals.

use std::{net::UdpSocket, time::Duration};

use flowlog::demo::Netns;
use flowlog_tests::{Daemon, Ended, duckdb, flowlog, quiet_tun};
use nix::sys::signal::Signal;

fn store(directory: &tempfile::TempDir) -> String {
    directory.path().join("store").to_str().unwrap().to_owned()
}

fn assert_balanced(store: &str) -> String {
    let verified = flowlog(&["verify", "--store", store]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    verified.stdout
}

fn assert_done(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// Sends this many UDP packets of 100 bytes into the tun's interface.
fn send(netns: &Netns, packets: u16) {
    netns
        .run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            for _ in 0..packets {
                socket.send_to(&[0; 72], "10.9.0.2:9")?;
            }
            Ok(())
        })
        .unwrap();
}

fn with_address(netns: &Netns, interface: &str) {
    netns.ip(&["address", "add", "10.9.0.1/24", "dev", interface]).unwrap();
}

#[test]
fn an_interface_may_come_go_and_return() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let gateway = Netns::new().expect("these tests need root");
    let arguments = ["--interface", "flvpn0,fltap*", "--wait", "--store", &store];
    let mut daemon =
        Daemon::start(&gateway, &[&arguments[..], &["--drain-interval", "1s"]].concat());
    for packets in [3, 4] {
        let tun = gateway.tun("flvpn0").unwrap();
        daemon.wait_for("attached interface=\"flvpn0\"");
        gateway.ip(&["link", "set", "flvpn0", "up"]).unwrap();
        with_address(&gateway, "flvpn0");
        send(&gateway, packets);
        drop(tun);
        daemon.wait_for("gone interface=\"flvpn0\"");
    }
    assert_done(&daemon.terminate());
    assert_balanced(&store);
    let sent = duckdb(
        store.as_ref(),
        "SELECT sum(packets_down)::INT AS packets, sum(bytes_down)::INT AS bytes
         FROM flows WHERE remote_port IS NOT NULL AND member_port = 9 AND interface = 'flvpn0'",
    );
    assert_eq!((&sent[0]["packets"], &sent[0]["bytes"]), (&7.into(), &700.into()));
    let ledger = duckdb(
        store.as_ref(),
        "SELECT max(interruptions)::INT AS interruptions FROM ledger WHERE direction = 'up'",
    );
    assert_eq!(ledger[0]["interruptions"], 1);
}

#[test]
fn a_name_that_matches_a_pattern_is_counted_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, _tun) = quiet_tun("flother");
    let mut daemon = Daemon::start(&gateway, &["--interface", "flw*", "--store", &store]);
    let _matching = gateway.tun("flw7").unwrap();
    daemon.wait_for("attached interface=\"flw7\"");
    with_address(&gateway, "flother");
    send(&gateway, 5);
    assert_done(&daemon.terminate());
    let interfaces = duckdb(store.as_ref(), "SELECT DISTINCT interface FROM ledger");
    assert_eq!(interfaces.len(), 1);
    assert_eq!(interfaces[0]["interface"], "flw7");
    assert!(assert_balanced(&store).contains(" 0 packets"));
}

/// Neither the list of interfaces nor a file of the spool can be opened for some time.
#[test]
fn too_many_open_files_end_nothing_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, _tun) = quiet_tun("fltun");
    with_address(&gateway, "fltun");
    let arguments = ["--store", &store, "--window", "1s", "--drain-interval", "500ms"];
    let mut daemon = Daemon::attached(&gateway, "fltun*", &arguments);
    send(&gateway, 5);
    let before = limit_open_files(daemon.id(), 5);
    let _another = gateway.tun("fltun1").unwrap();
    daemon.wait_for("trying again");
    send(&gateway, 5);
    std::thread::sleep(Duration::from_secs(1));
    limit_open_files(daemon.id(), before);
    daemon.wait_for("attached interface=\"fltun1\"");
    send(&gateway, 5);
    assert_done(&daemon.terminate());
    assert!(assert_balanced(&store).contains(" 15 packets"));
}

/// How many files a process may open from now on; returns how many it could before.
fn limit_open_files(process: u32, files: libc::rlim_t) -> libc::rlim_t {
    let process = libc::pid_t::try_from(process).unwrap();
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are there while the kernel reads and writes them.
    let read =
        unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit) };
    let before = std::mem::replace(&mut limit.rlim_cur, files);
    // SAFETY: as above.
    let written = unsafe {
        libc::prlimit(process, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut())
    };
    assert_eq!((read, written), (0, 0), "{}", std::io::Error::last_os_error());
    before
}

#[test]
fn both_signals_store_what_is_open_and_nothing_else_is_said() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let (gateway, _tun) = quiet_tun("fltun");
        with_address(&gateway, "fltun");
        let daemon = Daemon::attached(&gateway, "fltun", &["--store", &store]);
        send(&gateway, 10);
        daemon.signal(signal);
        let ended = daemon.end();
        assert_done(&ended);
        assert_eq!(ended.stdout, "10 packets, 1000 bytes, 1 flows, 2 files\n");
        assert_balanced(&store);
    }
}

#[test]
fn rows_lie_within_their_window_and_windows_follow_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, _tun) = quiet_tun("fltun");
    with_address(&gateway, "fltun");
    // A drain may be late by its interval before an epoch reaches into the next window.
    let windows = ["--window", "2s", "--drain-interval", "1s"];
    let arguments = [&["--store", store.as_str()][..], &windows].concat();
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    for _ in 0..80 {
        send(&gateway, 10);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_done(&daemon.terminate());
    assert_balanced(&store);
    let windows = duckdb(
        store.as_ref(),
        "SELECT epoch_ms(flow_start) // 2000 AS first, epoch_ms(flow_end) // 2000 AS last,
            sum(packets_down)::INT AS packets
         FROM flows WHERE flow_start <= flow_end GROUP BY ALL ORDER BY first",
    );
    assert!(windows.len() >= 4, "{windows:?}");
    assert!(windows.iter().all(|window| window["first"] == window["last"]), "{windows:?}");
    let sent: i64 = windows.iter().map(|window| window["packets"].as_i64().unwrap()).sum();
    assert_eq!(sent, 800);
    let hours = duckdb(
        store.as_ref(),
        &format!(
            "SELECT count(DISTINCT hour)::INT AS hours, count(DISTINCT filename)::INT AS files
             FROM read_parquet('{store}/flows/**/*.parquet', filename = true)"
        ),
    );
    assert_eq!(hours[0]["hours"], hours[0]["files"], "an hour has one file");
    let gaps = duckdb(
        store.as_ref(),
        "SELECT count(*)::INT AS gaps FROM (
            SELECT observed_start - lag(observed_end) OVER (ORDER BY window_start) AS gap
            FROM ledger WHERE direction = 'up') WHERE gap <> INTERVAL 0 SECOND",
    );
    assert_eq!(gaps[0]["gaps"], 0);
}

#[test]
fn a_second_run_in_the_same_window_adds_to_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, _tun) = quiet_tun("fltun");
    with_address(&gateway, "fltun");
    for _ in 0..3 {
        let daemon = Daemon::attached(&gateway, "fltun", &["--store", &store, "--window", "1h"]);
        send(&gateway, 10);
        assert_done(&daemon.terminate());
    }
    assert_balanced(&store);
    let flows = duckdb(store.as_ref(), "SELECT sum(packets_down)::INT AS packets FROM flows");
    assert_eq!(flows[0]["packets"], 30);
}

#[test]
fn a_demonstration_that_is_interrupted_cleans_up_after_itself() {
    use std::io::{BufRead as _, BufReader};

    for (signal, after) in [(Signal::SIGINT, 0), (Signal::SIGTERM, 30), (Signal::SIGINT, 80)] {
        let mut demo = std::process::Command::new(flowlog_tests::flowlog_binary())
            .arg("demo")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = demo.id();
        let mut said = BufReader::new(demo.stdout.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let process = nix::unistd::Pid::from_raw(i32::try_from(id).unwrap());
        nix::sys::signal::kill(process, signal).unwrap();
        let output = demo.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let reason = String::from_utf8(output.stderr).unwrap();
        assert!(reason.contains("interrupted; everything is cleaned up"), "{reason}");
        assert!(!std::env::temp_dir().join(format!("flowlog-demo-{id}")).exists());
    }
}
