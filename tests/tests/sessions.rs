//! Sessions from a real WireGuard to the answer: the daemon looks at it, is killed, and comes back.

use std::{path::Path, process::Command, time::Duration};

use flowlog::{demo::MEMBER, record::clock::quality};
use flowlog_tests::{
    Daemon, Ended, KernelClock, SessionGateway, WireGuard, files_under, flowlog, wg,
};
use serde_json::Value;

/// So long the daemon looks before the next step.
const WHILE: Duration = Duration::from_secs(8);

struct Gateway {
    directory: tempfile::TempDir,
    tunnel: WireGuard,
}

impl Gateway {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tunnel = WireGuard::new(directory.path());
        let gateway = Self { directory, tunnel };
        let tunnel = &gateway.tunnel;
        let shown = wg(&tunnel.vpn.gateway, &["show", tunnel.interface(), "peers"]);
        SessionGateway {
            directory: gateway.directory.path(),
            name: "gw1",
            interface: tunnel.interface(),
            realm: "default",
        }
        .configure(std::iter::once((shown, "m-0007".to_owned())));
        gateway
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn knock(&self) {
        let gateway = (flowlog::demo::GATEWAY[0], 9);
        let send = move || std::net::UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", gateway);
        self.tunnel.vpn.member.run(send).unwrap();
    }

    fn run(&self) -> Daemon {
        let mut daemon =
            Daemon::start(&self.tunnel.vpn.gateway, &["--config", &self.path("gw1.toml")]);
        daemon.wait_for("attached");
        daemon
    }

    /// The time line of an address, and the exit code.
    fn time_line(&self, address: &str) -> (i32, Value) {
        let (from, to) = (instant(-3_600), instant(60));
        let store = self.path("store");
        let asked = flowlog(&[
            "trace", "--store", &store, "--ip", address, "--from", &from, "--to", &to, "--format",
            "json",
        ]);
        let answer = serde_json::from_str(&asked.stdout);
        (asked.code, answer.unwrap_or_else(|_| panic!("{asked:?}")))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let config = self.path("gw1.toml");
        let Ended { .. } = flowlog(&["uninstall", "--config", &config]);
    }
}

/// An instant so many seconds from now.
fn instant(seconds: i64) -> String {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("{seconds} seconds"), "+%FT%TZ"]);
    String::from_utf8(date.output().unwrap().stdout).unwrap().trim().to_owned()
}

fn tables(store: &Path) -> Vec<String> {
    let files = files_under(store);
    let of = |file: &std::path::PathBuf| {
        let first = file.strip_prefix(store).ok()?.components().next()?;
        Some(first.as_os_str().to_str()?.to_owned())
    };
    let mut tables: Vec<String> = files.iter().filter_map(of).collect();
    tables.sort();
    tables.dedup();
    tables
}

#[test]
fn a_member_is_found_by_address_and_the_absence_of_the_daemon_is_one_gap() {
    let gateway = Gateway::new();
    let daemon = gateway.run();
    gateway.knock();
    std::thread::sleep(WHILE);
    let (_, status) = daemon.status();
    let source = &status["sources"][0];
    assert_eq!(source["instance"], gateway.tunnel.interface(), "{source}");
    assert_eq!((&source["is_heard"], &source["open_sessions"]), (&true.into(), &1.into()));
    let text = flowlog(&["status", "--socket", &daemon.socket()]).stdout;
    let is_shown = |line: &str| line.starts_with("wireguard") && line.contains(" yes ");
    assert!(text.lines().any(is_shown), "{text}");
    let is_leaked = |answer: &str| answer.contains("m-0007") || answer.contains("10.8.0.");
    assert!(!is_leaked(&text) && !is_leaked(&status.to_string()), "{text}{status}");
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    std::thread::sleep(Duration::from_secs(2));
    let daemon = gateway.run();
    std::thread::sleep(WHILE);
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{ended:?}");

    let store = gateway.path("store");
    let verified = flowlog(&["verify", "--store", &store]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let named = tables(Path::new(&store));
    assert!(named.iter().any(|table| table == "sessions"), "{named:?}");
    assert!(named.iter().any(|table| table == "coverage"), "{named:?}");

    let (code, line) = gateway.time_line(&MEMBER[0].to_string());
    assert_eq!(code, 5, "{line}");
    let rows = line["rows"].as_array().unwrap();
    assert!(!rows.is_empty(), "{line}");
    assert!(rows.iter().all(|row| row["subscriber"] == "m-0007"), "{line}");
    assert!(rows.iter().any(|row| row["state"] == "tunnel"), "{line}");
    let gaps = line["gaps"].as_array().unwrap();
    assert_eq!(gaps.iter().filter(|gap| gap["reason"] == "down").count(), 1, "{line}");
    // Nobody had another address, as far as somebody looked.
    let (_, nobody) = gateway.time_line("10.99.99.99");
    assert_eq!(nobody["rows"].as_array().unwrap().len(), 0, "{nobody}");
}

#[test]
fn the_audit_names_a_damaged_day_of_sessions() {
    let gateway = Gateway::new();
    let daemon = gateway.run();
    std::thread::sleep(WHILE);
    assert_eq!(daemon.terminate().code, 0);
    let store = gateway.path("store");
    let files = files_under(Path::new(&store));
    let sessions = files.iter().find(|file| file.to_str().unwrap().contains("/sessions/"));
    let mut bytes = std::fs::read(sessions.unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(sessions.unwrap(), bytes).unwrap();
    let verified = flowlog(&["verify", "--store", &store]);
    assert_ne!(verified.code, 0, "{verified:?}");
    assert!(format!("{verified:?}").contains("sessions/gateway=gw1"), "{verified:?}");
}

#[test]
fn sessions_go_after_a_period_of_their_own() {
    let gateway = Gateway::new();
    let daemon = gateway.run();
    std::thread::sleep(WHILE);
    assert_eq!(daemon.terminate().code, 0);
    let store = gateway.path("store");
    let later = instant(3 * 86_400);
    let retain = |more: &[&str]| {
        let mut arguments =
            vec!["retention", "run", "--store", &store, "--at", &later, "--accept-clock"];
        arguments.extend(more);
        flowlog(&arguments)
    };
    // Today's cron job deletes no sessions.
    let flows = retain(&["--keep", "1d"]);
    assert_eq!(flows.code, 0, "{flows:?}");
    assert_eq!(tables(Path::new(&store)), ["coverage", "sessions"]);
    let sessions = retain(&["--table", "sessions", "--keep", "1d"]);
    assert_eq!(sessions.code, 0, "{sessions:?}");
    assert!(tables(Path::new(&store)).is_empty(), "{:?}", tables(Path::new(&store)));
}

#[test]
fn a_test_that_needs_a_good_clock_leaves_it_as_it_was_also_after_a_panic() {
    let before = quality();
    let (first, second) = (KernelClock::good(), KernelClock::good());
    drop(first);
    let good = quality();
    assert!(good.synchronised && good.max_error < Duration::from_millis(3), "{good:?}");
    let panicked = std::thread::spawn(move || {
        let _second = second;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    let after = quality();
    assert_eq!(after.synchronised, before.synchronised);
    assert!(after.max_error >= before.max_error, "{after:?} {before:?}");
}
