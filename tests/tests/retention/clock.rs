//! Clocks that are wrong, and what they may not do.

use std::net::UdpSocket;

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, duckdb, files_under, quiet_tun, wait_for};

use super::*;

#[test]
fn a_jump_of_a_clock_that_nothing_keeps_deletes_nothing_until_somebody_accepts_it() {
    let (store, clock) = (Store::new(), WallClock::new());
    let this_hour = store.file("flows", "gw1", &this_hour());
    clock.set(10 * YEAR);
    for more in [&[][..], &["--gateway", "gw1"], &["--format", "json"]] {
        let refused = store.run_by(&clock, more);
        assert_eq!(refused.code, REFUSED, "{refused:?}");
        for words in ["nothing is deleted", "3650 days", "--accept-clock"] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }
        assert!(store.has_old() && this_hour.exists());
    }
    // What is recorded by that clock does not make it right.
    let ahead = flowlog::record::clock::now().plus(Duration::from_hours(10 * 365 * 24));
    store.put("flows", "gw1", &ahead.to_string()[..13]);
    assert_eq!(store.run_by(&clock, &[]).code, REFUSED);
    assert!(store.has_old() && this_hour.exists());

    let accepted = store.run_by(&clock, &["--accept-clock"]);
    assert_eq!(accepted.code, DONE, "{accepted:?}");
    assert!(!store.has_old() && !this_hour.exists());
    // Once is enough.
    store.put("flows", "gw1", "2020-01-01T00");
    assert_eq!(store.run_by(&clock, &[]).code, DONE);
    assert!(!store.has_old());
}

#[test]
fn a_clock_that_is_kept_deletes_after_a_long_pause_and_one_alone_goes_on_with_a_warning() {
    let (store, clock) = (Store::new(), WallClock::new());
    clock.set(YEAR);
    clock.synchronise(true);
    let ended = store.run_by(&clock, &[]);
    assert_eq!(ended.code, DONE, "{ended:?}");
    assert!(ended.stderr.contains("365 days after the newest record"), "{}", ended.stderr);
    assert!(!store.has_old());

    let (store, clock) = (Store::new(), WallClock::new());
    let ended = store.run_by(&clock, &[]);
    assert_eq!(ended.code, DONE, "{ended:?}");
    assert!(ended.stderr.contains("not synchronised"), "{}", ended.stderr);
    assert!(!store.has_old());
}

#[test]
fn a_plan_by_a_wrong_clock_names_the_doubt() {
    let (store, clock) = (Store::new(), WallClock::new());
    clock.set(10 * YEAR);
    let plan = store.run_by(&clock, &["--dry-run"]);
    assert_eq!(plan.code, DONE, "{plan:?}");
    assert!(plan.stderr.contains("3650 days"), "{}", plan.stderr);
    assert!(store.has_old());
}

#[test]
fn what_a_wrong_clock_has_named_is_neither_deleted_at_once_nor_kept_for_years() {
    let store = Store::new();
    let [behind, ahead] =
        ["1970-01-01T00", "2036-11-27T00"].map(|at| store.put("flows", "gw1", at));
    let ended = store.run(&[]);
    assert_eq!(ended.code, DONE, "{ended:?}");
    assert!(behind.exists() && ahead.exists() && !store.has_old());
    let misdated = ended.stdout.lines().filter(|line| line.contains("its name cannot be true"));
    assert_eq!(misdated.count(), 2, "{}", ended.stdout);
    let long_ago = SystemTime::now() - Duration::from_hours(91 * 24);
    for path in [&behind, &ahead] {
        set_modified(path, long_ago);
    }
    assert_eq!(store.run(&[]).code, DONE);
    assert!(!behind.exists() && !ahead.exists());
}

/// A gateway whose daemon has a clock of its own.
struct Rig {
    gateway: Netns,
    _tun: Tun,
    bpffs: Bpffs,
    directory: tempfile::TempDir,
    clock: WallClock,
}

const INTERFACE: &str = "flclock0";

impl Rig {
    fn new() -> Self {
        let (gateway, tun) = quiet_tun(INTERFACE);
        gateway.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { gateway, _tun: tun, bpffs: Bpffs::mount(), directory, clock: WallClock::new() }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn start(&self, window: &str, retention: &str) -> Daemon {
        self.start_as("gw1", window, retention)
    }

    fn start_as(&self, gateway: &str, window: &str, retention: &str) -> Daemon {
        let config = self.directory.path().join("flowlog.toml");
        fs::write(&config, format!("profile = \"flows\"\n{retention}")).unwrap();
        let [store, spool] = ["store", "spool"].map(|name| self.directory.path().join(name));
        let pins = self.bpffs.base();
        let [store, spool, pins, config] =
            [&store, &spool, &pins, &config].map(|path| path.to_str().unwrap());
        let arguments = [
            ["--interface", INTERFACE, "--gateway", gateway, "--config", config],
            ["--store", store, "--spool", spool, "--pins", pins],
        ];
        let more = ["--window", window, "--drain-interval", "1s"];
        let arguments = [&arguments.concat()[..], &more].concat();
        let mut daemon = Daemon::start_with(&self.gateway, &self.clock.variables(), &arguments);
        daemon.wait_for("attached");
        daemon
    }

    fn send(&self, packets: u64) {
        let send = move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            (0..packets).try_for_each(|_| socket.send_to(&[0; 72], ("10.9.0.2", 9)).map(drop))
        };
        self.gateway.run(send).unwrap();
    }

    /// Waits until another file is in the store, or in the spool.
    fn wait_for_another(&self, directory: &str, extension: &str) {
        let files = || -> Vec<PathBuf> {
            let files = files_under(&self.directory.path().join(directory)).into_iter();
            files.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
        };
        let before = files();
        wait_for("another file", || files().iter().any(|file| !before.contains(file)));
    }

    /// Waits until there is a record of the clock that is ten years ahead.
    fn wait_for_year_ahead(&self) {
        let ahead =
            flowlog::record::clock::now().plus(Duration::from_hours(10 * 365 * 24)).to_string();
        let year = format!("/date={}-", &ahead[..4]);
        let is_ahead = |path: &PathBuf| path.to_str().unwrap().contains(&year);
        wait_for("a record ahead", || files_under(&self.store()).iter().any(is_ahead));
    }

    fn packets(&self) -> u64 {
        let store = self.store();
        let verified = flowlog(&["verify", "--store", store.to_str().unwrap(), "--format", "json"]);
        assert_eq!(verified.code, DONE, "{verified:?}");
        let report: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
        report["packets"].as_u64().unwrap()
    }
}

const KEEP: &str = "[retention]\nkeep = \"90d\"\ninterval = \"1s\"";

#[test]
fn a_daemon_that_starts_ten_years_ahead_destroys_nothing_however_often_it_is_started() {
    let rig = Rig::new();
    let daemon = rig.start("1s", "");
    rig.send(1000);
    rig.wait_for_another("store", "parquet");
    assert_eq!(daemon.terminate().code, DONE);
    assert_eq!(rig.packets(), 1000);
    rig.clock.set(10 * YEAR);
    for _ in 0..2 {
        let mut daemon = rig.start("1s", KEEP);
        daemon.wait_for("retention deletes nothing");
        rig.wait_for_year_ahead();
        let ended = daemon.terminate();
        assert_eq!(ended.code, DONE, "{}", ended.stderr);
        let refusals = ended.stderr.matches("retention deletes nothing").count();
        assert_eq!(refusals, 1, "once for each change: {}", ended.stderr);
    }
    let mut daemon = rig.start("1s", KEEP);
    daemon.wait_for("retention deletes nothing");
    rig.clock.set(0);
    // Right again, and still nothing keeps it.
    daemon.wait_for("retention uses a doubtful clock");
    assert_eq!(daemon.terminate().code, DONE);
    assert_eq!(rig.packets(), 1000);
}

#[test]
fn what_is_counted_in_1970_is_dated_when_the_clock_is_set() {
    for (behind_or_ahead, retention) in [(None, KEEP), (Some(10 * YEAR), KEEP)] {
        let rig = Rig::new();
        let began = flowlog::record::clock::now();
        // A minute after the beginning of 1970, or ten years ahead.
        let offset = behind_or_ahead.unwrap_or(60 - began.ms() / 1000);
        rig.clock.set(offset);
        let daemon = rig.start("1h", retention);
        rig.send(100);
        // Epochs of the window that is open are in the spool, and the last one is not yet.
        rig.wait_for_another("spool", "run");
        rig.send(100);
        rig.clock.set(0);
        rig.clock.synchronise(true);
        rig.wait_for_another("spool", "run");
        rig.wait_for_another("spool", "run");
        let ended = daemon.terminate();
        assert_eq!(ended.code, DONE, "{}", ended.stderr);
        assert!(ended.stderr.contains("the wall clock was set"), "{}", ended.stderr);
        assert_eq!(rig.packets(), 200, "{offset}");
        let ended = flowlog::record::clock::now();
        let outside = duckdb(
            &rig.store(),
            &format!(
                "SELECT flow_start, flow_end FROM flows
                 WHERE epoch_ms(flow_start) < {} OR epoch_ms(flow_end) > {}",
                began.ms() - 100,
                ended.ms()
            ),
        );
        assert!(outside.is_empty(), "{offset}: {outside:?}");
        let stepped = duckdb(
            &rig.store(),
            "SELECT count(*) AS n, min(clock_step_ms) AS ms FROM ledger WHERE clock_step_ms <> 0",
        );
        let step = stepped[0]["ms"].as_i64().unwrap();
        assert!((step + offset * 1000).abs() < 1000, "{offset}: {stepped:?}");
    }
}

#[test]
fn what_was_stored_by_a_clock_behind_is_not_deleted_when_that_is_set() {
    let rig = Rig::new();
    // So that there is a record of the right time: the clock has not jumped past it.
    let daemon = rig.start("1s", "");
    rig.send(100);
    rig.wait_for_another("store", "parquet");
    assert_eq!(daemon.terminate().code, DONE);
    for behind in [flowlog::record::clock::now().ms() / 1000 - 60, 2 * YEAR] {
        rig.clock.set(-behind);
        let daemon = rig.start("1s", KEEP);
        let before = rig.packets();
        rig.send(100);
        rig.wait_for_another("store", "parquet");
        wait_for("what was counted to be stored", || rig.packets() == before + 100);
        rig.clock.set(0);
        rig.clock.synchronise(true);
        // At least two looks of retention at the right time.
        rig.wait_for_another("store", "parquet");
        std::thread::sleep(Duration::from_secs(3));
        let ended = daemon.terminate();
        assert_eq!(ended.code, DONE, "{}", ended.stderr);
        assert_eq!(rig.packets(), before + 100, "{behind}: {}", ended.stderr);
        rig.clock.synchronise(false);
    }
}

#[test]
fn every_packet_is_there_once_however_the_clock_is_set() {
    let rig = Rig::new();
    let daemon = rig.start("1s", "");
    let mut sent = 0;
    for offset in [0, 3600, -3600, 7200, 0, 40, -86_400, 34 * 86_400 + 17, 0] {
        rig.clock.set(offset);
        for _ in 0..4 {
            rig.send(50);
            sent += 50;
            std::thread::sleep(Duration::from_millis(400));
        }
    }
    let ended = daemon.terminate();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    assert_eq!(rig.packets(), sent);
    // A row is within what the ledger of its window says was observed.
    let outside = duckdb(
        &rig.store(),
        "SELECT f.flow_start FROM flows f WHERE NOT EXISTS (
             FROM ledger l WHERE l.interface = f.interface
             AND f.flow_start >= date_trunc('millisecond', l.observed_start)
             AND f.flow_end <= l.observed_end)",
    );
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn what_expires_before_the_store_takes_it_is_not_published_any_more() {
    let rig = Rig::new();
    let store = rig.store();
    fs::create_dir(&store).unwrap();
    let mount = |arguments: &[&str]| {
        assert!(Command::new(arguments[0]).args(&arguments[1..]).status().unwrap().success());
    };
    // A store that takes nothing, a hundred days ago.
    let path = store.to_str().unwrap();
    mount(&["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", path]);
    rig.clock.set(-100 * 86_400);
    rig.clock.synchronise(true);
    rig.clock.reboot(true);
    let daemon = rig.start("1s", "");
    rig.send(100);
    wait_for("windows in the spool", || {
        let spool = files_under(&rig.directory.path().join("spool/files"));
        spool.iter().filter(|path| path.extension().is_some_and(|e| e == "run")).count() > 3
    });
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    mount(&["umount", path]);
    // The pins are memory of the kernel: after a start of the machine they are not there.
    let pins = rig.bpffs.base();
    let gone = flowlog(&["uninstall", "--gateway", "gw1", "--pins", pins.to_str().unwrap()]);
    assert_eq!(gone.code, DONE, "{gone:?}");
    rig.clock.set(0);
    rig.clock.reboot(false);
    let mut daemon = rig.start("1s", KEEP);
    daemon.wait_for("expired before the store took it");
    rig.send(10);
    rig.wait_for_another("store", "parquet");
    let ended = daemon.terminate();
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    let packets = duckdb(&store, "SELECT sum(packets_seen)::BIGINT AS seen FROM ledger");
    assert_eq!(packets[0]["seen"], 10, "{}", ended.stderr);
    assert!(files_under(&store.join("flows")).iter().all(|path| {
        let today = flowlog::record::clock::now().to_string();
        path.to_str().unwrap().contains(&today[..7])
    }));
}

#[test]
fn what_a_gateway_recorded_under_a_former_name_expires_and_what_others_did_stays() {
    let rig = Rig::new();
    let daemon = rig.start_as("gw-old", "1s", "");
    rig.send(100);
    rig.wait_for_another("store", "parquet");
    assert_eq!(daemon.terminate().code, DONE);
    let old = |gateway: &str, hour: &str| {
        let (date, of_day) = hour.split_once('T').unwrap();
        let folder = format!("flows/gateway={gateway}/date={date}/hour={of_day}");
        let folder = rig.store().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}T{of_day}0000Z-3600s-0.parquet", date.replace('-', "")));
        fs::write(&path, "rows").unwrap();
        path
    };
    let [own, others] = ["gw-old", "gw-else"].map(|gateway| old(gateway, "2020-01-01T00"));
    let daemon = rig.start_as("gw-new", "1s", KEEP);
    wait_for("the hour of the former name to expire", || !own.exists());
    assert!(others.exists());
    assert_eq!(daemon.terminate().code, DONE);
    // And in the starts to come.
    let own = old("gw-old", "2020-01-02T00");
    let daemon = rig.start_as("gw-new", "1s", KEEP);
    wait_for("the hour of the former name to expire", || !own.exists());
    assert_eq!(daemon.terminate().code, DONE);
    assert!(others.exists());
}
