//! A time in which nobody counted is in the ledger with its bounds, and one in which the kernel
//! counted for a daemon that was not there is not.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, duckdb, files_under, flowlog, quiet_tun, wait_for};
use nix::sys::signal::Signal;

const INTERFACE: &str = "flgap0";
const DRAIN_INTERVAL_MS: i64 = 500;
const WINDOW: Duration = Duration::from_secs(2);
/// For what a daemon does after it has said so.
const SLACK_MS: i64 = 1_000;

struct Rig {
    gateway: Netns,
    _tun: Tun,
    bpffs: Bpffs,
    directory: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let (gateway, tun) = quiet_tun(INTERFACE);
        gateway.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        Self { gateway, _tun: tun, bpffs: Bpffs::mount(), directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self) -> Daemon {
        self.start_with(&["--window", "2s", "--drain-interval", "500ms"])
    }

    fn start_with(&self, more: &[&str]) -> Daemon {
        let [store, spool, pins] = [self.path("store"), self.path("spool"), self.bpffs.base()];
        let [store, spool, pins] = [&store, &spool, &pins].map(|path| path.to_str().unwrap());
        let arguments = ["--store", store, "--spool", spool, "--pins", pins];
        Daemon::attached(&self.gateway, INTERFACE, &[&arguments[..], more].concat())
    }

    fn send(&self, packets: u64) {
        let send = move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            (0..packets).try_for_each(|_| socket.send_to(&[0; 72], ("10.9.0.2", 9)).map(drop))
        };
        self.gateway.run(send).unwrap();
    }

    /// Waits until another epoch is in the spool.
    fn wait_for_drain(&self) {
        let is_run = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "run");
        let runs =
            || files_under(&self.path("spool")).into_iter().filter(is_run).collect::<Vec<_>>();
        let before = runs();
        wait_for("a drain", || runs().iter().any(|run| !before.contains(run)));
    }

    fn layouts(&self) -> Vec<PathBuf> {
        let gateways = fs::read_dir(self.bpffs.base()).unwrap().map(|entry| entry.unwrap().path());
        let folders = gateways.flat_map(|gateway| fs::read_dir(gateway).unwrap());
        let is_layout = |path: &PathBuf| path.join("CONTROL").exists();
        folders.map(|entry| entry.unwrap().path()).filter(is_layout).collect()
    }

    /// Interface, beginning and end of each gap, milliseconds of UTC.
    fn gaps(&self) -> Vec<(String, i64, i64)> {
        let rows = duckdb(
            &self.path("store"),
            "SELECT interface, epoch_ms(gap_start) AS first, epoch_ms(gap_end) AS last FROM gaps()",
        );
        let number = |value: &serde_json::Value| value.as_i64().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows.iter()
            .map(|row| (text(&row["interface"]), number(&row["first"]), number(&row["last"])))
            .collect()
    }

    /// What the ledger has, and it is what the store has.
    fn packets(&self) -> u64 {
        self.verify(&[]);
        let rows =
            duckdb(&self.path("store"), "SELECT sum(packets_seen)::BIGINT AS seen FROM ledger");
        rows[0]["seen"].as_u64().unwrap()
    }

    /// What `flowlog verify` says, which finds nothing wrong.
    fn verify(&self, more: &[&str]) -> String {
        let store = self.path("store");
        let ended = flowlog(&[&["verify", "--store", store.to_str().unwrap()], more].concat());
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// The one gap begins where the ledger before this instant ends, at most a drain before it, and
    /// ends when the daemon of these instants counts.
    fn assert_gap(&self, ended: i64, [started, attached]: [i64; 2]) {
        let gaps = self.gaps();
        let [(interface, start, end)] = &gaps[..] else { panic!("{gaps:?}") };
        assert_eq!(interface, INTERFACE);
        assert!(
            *start <= ended && *start > ended - DRAIN_INTERVAL_MS - SLACK_MS,
            "{start} {ended}"
        );
        let before = duckdb(
            &self.path("store"),
            &format!(
                "SELECT max(epoch_ms(observed_end)) AS last FROM ledger
                 WHERE epoch_ms(observed_start) < {ended} AND gap_start IS NULL"
            ),
        );
        assert_eq!(before[0]["last"], *start, "where the ledger before ends");
        assert!(*end >= started && *end <= attached + SLACK_MS, "{started} {end} {attached}");
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn kill(daemon: Daemon) -> i64 {
    daemon.signal(Signal::SIGKILL);
    daemon.end();
    now_ms()
}

fn terminate(daemon: Daemon) -> i64 {
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    now_ms()
}

/// Counts 10 packets, then what `end` does, then 7 packets that nobody may know of, then 5 more.
fn assert_gap_after(end: impl FnOnce(&Rig, Daemon) -> i64) {
    let rig = Rig::new();
    let daemon = rig.start();
    rig.send(10);
    rig.wait_for_drain();
    let ended = end(&rig, daemon);
    rig.send(7);
    std::thread::sleep(WINDOW);
    let started = now_ms();
    let daemon = rig.start();
    let attached = now_ms();
    rig.send(5);
    // Longer than the slack, so that the end of the first epoch is not taken for that of the gap.
    std::thread::sleep(WINDOW);
    terminate(daemon);

    assert_eq!(rig.packets(), 15);
    rig.assert_gap(ended, [started, attached]);
    let said = rig.verify(&[]);
    assert!(said.contains(&format!("interface {INTERFACE}: not counted from")), "{said}");
    assert!(said.contains("balanced") && said.contains("1 GAPS"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&rig.verify(&["--format", "json"])).unwrap();
    assert_eq!(json["gaps"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["gaps"][0]["interface"], INTERFACE);
    assert!(json["gaps"][0]["gap_start"].as_str() < json["gaps"][0]["gap_end"].as_str());
}

#[test]
fn a_power_loss_is_a_gap_from_the_last_drain_until_counting_goes_on() {
    assert_gap_after(|rig, daemon| {
        let ended = kill(daemon);
        // The file system of pins is memory.
        fs::remove_dir_all(rig.bpffs.base()).unwrap();
        ended
    });
}

#[test]
fn a_flowlog_that_was_stopped_and_uninstalled_leaves_a_gap_until_it_counts_again() {
    assert_gap_after(|rig, daemon| {
        let ended = terminate(daemon);
        let removed = flowlog(&["uninstall", "--pins", rig.bpffs.base().to_str().unwrap()]);
        assert_eq!(removed.code, 0, "{}", removed.stderr);
        ended
    });
}

#[test]
fn maps_of_an_older_version_that_this_one_cannot_read_are_a_gap_since_their_last_drain() {
    assert_gap_after(|rig, daemon| {
        let ended = kill(daemon);
        let [layout]: [PathBuf; 1] = rig.layouts().try_into().unwrap();
        fs::rename(&layout, layout.with_file_name("v0-something-else")).unwrap();
        ended
    });
}

#[test]
fn a_gap_is_told_although_the_daemon_that_found_it_is_killed_before_its_first_drain() {
    let rig = Rig::new();
    let daemon = rig.start();
    rig.wait_for_drain();
    let ended = kill(daemon);
    fs::remove_dir_all(rig.bpffs.base()).unwrap();
    std::thread::sleep(WINDOW);
    let started = now_ms();
    kill(rig.start_with(&["--window", "1h", "--drain-interval", "1h"]));
    rig.send(5);
    let daemon = rig.start();
    let attached = now_ms();
    rig.send(5);
    terminate(daemon);

    assert_eq!(rig.packets(), 10);
    rig.assert_gap(ended, [started, attached]);
}

#[test]
fn there_is_no_gap_where_the_kernel_went_on_counting() {
    let rig = Rig::new();
    let config = rig.path("flowlog.toml");
    fs::write(&config, "profile = \"flows\"\nmax_flows_v4 = 4096\n").unwrap();
    let other_sizes = ["--window", "2s", "--drain-interval", "500ms", "--config", path(&config)];
    let mut sent = 0;
    for round in 0..6 {
        let daemon = if round % 3 == 2 { rig.start_with(&other_sizes) } else { rig.start() };
        rig.send(10);
        if round % 2 == 0 {
            kill(daemon);
        } else {
            terminate(daemon);
        }
        rig.send(7);
        sent += 17;
        std::thread::sleep(Duration::from_millis(700));
    }
    terminate(rig.start());
    assert_eq!(rig.packets(), sent);
    assert_eq!(rig.gaps(), []);
    let said = rig.verify(&[]);
    assert!(!said.contains("GAPS") && !said.contains("not counted"), "{said}");
}

#[test]
fn sizes_that_are_taken_back_in_the_middle_of_the_change_lose_nothing() {
    let rig = Rig::new();
    let config = rig.path("flowlog.toml");
    fs::write(&config, "profile = \"flows\"\nmax_flows_v4 = 4096\n").unwrap();
    let daemon = rig.start();
    rig.send(10);
    rig.wait_for_drain();
    kill(daemon);
    rig.send(7);
    // Killed before it has drained all that the one before left, as a rule.
    kill(rig.start_with(&["--config", path(&config)]));
    rig.send(7);
    let mut sent = 24;
    for _ in 0..4 {
        let daemon = rig.start();
        rig.send(10);
        rig.wait_for_drain();
        kill(daemon);
        rig.send(7);
        sent += 17;
    }
    terminate(rig.start());
    assert_eq!(rig.packets(), sent);
    assert_eq!(rig.gaps(), []);
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
