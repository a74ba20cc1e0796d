//! Every packet is in the store once: under kill -9 at any instant, with the store away, with the
//! disk full.

use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{
    Bpffs, Daemon, Ended, SmallDisk, duckdb, files_under, flowlog, quiet_tun, try_duckdb, wait_for,
};
use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    signal::Signal,
};

const INTERFACE: &str = "flonce0";
/// IP bytes of each packet that is sent.
const BYTES: u64 = 128;

/// A gateway with traffic, and what flowlog needs to lose nothing of it.
struct Rig {
    gateway: Arc<Netns>,
    _tun: Tun,
    bpffs: Bpffs,
    directory: tempfile::TempDir,
    spool: PathBuf,
    store: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let (gateway, tun) = quiet_tun(INTERFACE);
        gateway.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let [spool, store] = ["spool", "store"].map(|name| directory.path().join(name));
        let gateway = Arc::new(gateway);
        Self { gateway, _tun: tun, bpffs: Bpffs::mount(), directory, spool, store }
    }

    fn start(&self) -> Daemon {
        let pins = self.bpffs.base();
        let [store, spool, pins] =
            [&self.store, &self.spool, &pins].map(|path| path.to_str().unwrap());
        let arguments = ["--store", store, "--spool", spool, "--pins", pins];
        let times = ["--interface", INTERFACE, "--window", "500ms", "--drain-interval", "50ms"];
        Daemon::start(&self.gateway, &[arguments, times].concat())
    }

    fn attached(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.wait_for("attached");
        daemon
    }

    /// Stops the daemon in order, and compares what is in the store with what was sent.
    fn assert_complete(&self, daemon: Daemon, sent: u64) {
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let store = &self.store;
        let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        let stored = duckdb(
            store,
            "SELECT sum(packets_down)::BIGINT AS packets, sum(bytes_down)::BIGINT AS bytes FROM flows
             WHERE member_ip = '10.9.0.2' AND protocol = 17",
        );
        assert_eq!(
            (&stored[0]["packets"], &stored[0]["bytes"]),
            (&sent.into(), &(sent * BYTES).into())
        );
        let twice = duckdb(
            store,
            "SELECT count(*)::INT AS rows FROM (SELECT window_start, interface, direction FROM ledger
             GROUP BY ALL HAVING count(*) > 1)",
        );
        assert_eq!(twice[0]["rows"], 0, "a window has one ledger");
        assert_eq!(duckdb(store, "FROM gaps()"), Vec::<serde_json::Value>::new());
        let foreign: Vec<_> = files_under(store)
            .into_iter()
            .filter(|path| path.extension().is_none_or(|extension| extension != "parquet"))
            .collect();
        assert_eq!(foreign, Vec::<PathBuf>::new(), "no temporary file stays");
        let unfinished = |path: &PathBuf| path.extension().is_some_and(|e| e == "unfinished");
        assert!(!files_under(&self.spool).iter().any(unfinished));
    }
}

/// Sends packets through the tunnel until it is stopped.
struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Sender {
    fn start(rig: &Rig) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted, gateway) = (stop.clone(), sent.clone(), rig.gateway.clone());
        let thread = std::thread::spawn(move || {
            gateway
                .run(move || {
                    let socket = UdpSocket::bind("0.0.0.0:0")?;
                    while !stopped.load(Ordering::Relaxed) {
                        for port in 9..29 {
                            socket.send_to(&[0; 100], ("10.9.0.2", port))?;
                            counted.fetch_add(1, Ordering::Relaxed);
                        }
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    Ok(())
                })
                .unwrap();
        });
        Self { stop, sent, thread }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

fn kill(daemon: Daemon) -> Ended {
    daemon.signal(Signal::SIGKILL);
    daemon.end()
}

/// Xorshift: the same instants in each run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn two_hundred_kills_at_random_instants_lose_no_packet_and_tell_none_twice() {
    let rig = Rig::new();
    let mut daemon = rig.attached();
    let sender = Sender::start(&rig);
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..200 {
        // Also while it starts.
        std::thread::sleep(Duration::from_millis(random(&mut state) % 700));
        kill(daemon);
        daemon = rig.start();
    }
    daemon.wait_for("attached");
    let sent = sender.stop();
    assert!(sent > 10_000, "{sent}");
    rig.assert_complete(daemon, sent);
}

/// The steps from the kernel's maps to the store, by what appears when they are done.
const STEPS: [(&str, &str); 7] = [
    ("an epoch is being written", "spool/epochs/*.unfinished"),
    ("an epoch is in the spool, and the maps are not cleared", "spool/epochs/*.run"),
    ("a window is being merged", "spool/files/*/*.unfinished"),
    ("a window is merged, and its epochs are not deleted", "spool/files/*/*.run"),
    ("the flow rows are being put", "store/flows/**#"),
    ("the flow rows are put, and the ledger is not", "store/flows/**.parquet"),
    ("the ledger is put", "store/ledger/**.parquet"),
];

#[test]
fn a_kill_at_each_step_between_map_and_store_loses_and_doubles_nothing() {
    for (step, what) in STEPS {
        let rig = Rig::new();
        let mut daemon = rig.attached();
        let sender = Sender::start(&rig);
        for _ in 0..3 {
            wait_for_step(&rig, what);
            kill(daemon);
            daemon = rig.attached();
        }
        let sent = sender.stop();
        println!("{step}: {sent} packets");
        rig.assert_complete(daemon, sent);
    }
}

/// Waits until the kernel says that a file of this pattern has appeared: within microseconds.
fn wait_for_step(rig: &Rig, pattern: &str) {
    let watch = Inotify::init(InitFlags::empty()).unwrap();
    let (top, rest) = pattern.split_once('/').unwrap();
    let (folder, end) = rest.split_once('/').unwrap();
    let end = end.trim_start_matches("*/").trim_start_matches('*');
    let watched = rig.directory.path().join(top).join(folder);
    wait_for("the directory", || watched.is_dir());
    let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let mut known = vec![];
    let patience = Instant::now() + Duration::from_mins(2);
    loop {
        assert!(Instant::now() < patience, "waited in vain for {pattern}");
        // Directories that appear are watched too.
        for directory in directories(&watched) {
            if !known.contains(&directory) && watch.add_watch(&directory, events).is_ok() {
                known.push(directory);
            }
        }
        for event in watch.read_events().unwrap() {
            let name = event.name.unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(end) || (end == "#" && name.contains('#')) {
                return;
            }
        }
    }
}

fn directories(under: &Path) -> Vec<PathBuf> {
    let mut found = vec![under.to_owned()];
    for entry in std::fs::read_dir(under).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(directories(&entry.path()));
        }
    }
    found
}

#[test]
fn a_disk_that_is_full_holds_nothing_up_and_nothing_is_missing_when_there_is_room_again() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let rig = Rig { spool: disk.path().join("spool"), ..Rig::new() };
    let mut daemon = rig.attached();
    let sender = Sender::start(&rig);
    disk.fill();
    daemon.wait_for("the kernel holds the counts meanwhile");
    let before = sender.sent();
    wait_for("traffic while the disk is full", || sender.sent() > before + 5_000);
    disk.free();
    daemon.wait_for("the spool takes epochs again");
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}

#[test]
fn a_store_that_takes_nothing_for_twenty_windows_has_everything_in_the_end() {
    let disk = SmallDisk::new("size=4m,mode=700");
    let rig = Rig { store: disk.path().join("store"), ..Rig::new() };
    let mut daemon = rig.attached();
    let sender = Sender::start(&rig);
    disk.fill();
    daemon.wait_for("trying again");
    std::thread::sleep(Duration::from_secs(5));
    // Also across a restart.
    kill(daemon);
    let mut daemon = rig.attached();
    daemon.wait_for("trying again");
    std::thread::sleep(Duration::from_secs(5));
    disk.free();
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}

#[test]
fn a_reader_with_a_plain_glob_sees_no_row_twice_and_misses_none_while_a_file_grows() {
    let rig = Rig::new();
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    let mut seen = vec![];
    wait_for("the first windows", || !files_under(&rig.store.join("ledger")).is_empty());
    let question = format!(
        "SELECT sum(packets_down)::BIGINT AS packets, count(*)::INT AS rows,
            count(DISTINCT (member_port, flow_start, flow_end, packets_down))::INT AS distinct_rows
         FROM read_parquet('{}/flows/**/*.parquet') WHERE protocol = 17 AND member_port BETWEEN 9 AND 28",
        rig.store.display()
    );
    let mut unanswered = vec![];
    while seen.len() < 20 {
        let answer = match try_duckdb(&rig.store, &question) {
            Ok(rows) => rows[0].clone(),
            // It opens a file once for the footer and once more for the rows: ADR 13.
            Err(error) => {
                assert!(!error.contains("No files found"), "{error}");
                unanswered.push(error);
                assert!(unanswered.len() < 4, "{unanswered:?}");
                continue;
            }
        };
        assert_eq!(answer["rows"], answer["distinct_rows"], "a row twice");
        seen.push(answer["packets"].as_u64().unwrap());
    }
    assert!(seen.is_sorted(), "rows that were there are missing: {seen:?}");
    assert!(seen.first() < seen.last(), "nothing was published meanwhile: {seen:?}");
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}
