//! Bits that flip in a spool, whose daemon is started then.

use std::{
    collections::BTreeMap,
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, Random, SmallDisk, duckdb, files_under, quiet_tun};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Flip, copy_directory, times};

const INTERFACE: &str = "flflip0";
const WINDOWS: u64 = 6;

#[test]
fn a_bit_that_flips_in_a_spool_is_named_or_loses_nothing() {
    let rig = Rig::new();
    let spool = rig.make_spool();
    let sound = rig.publish(&spool, &Sums::new());
    assert!(sound.sums.len() >= usize::try_from(WINDOWS).unwrap(), "{:?}", sound.sums);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut wrong = vec![];
    let tries = times(2_000, 100);
    let files = files_under(&spool);
    let mut named = 0;
    for _ in 0..tries {
        let file = &files[random.below(files.len())];
        let flipped = rig.copy_of(&spool);
        let in_copy = flipped.join(file.strip_prefix(&spool).unwrap());
        let flip = Flip::at_random(&in_copy, &mut random);
        let publish = std::panic::AssertUnwindSafe(|| rig.publish(&flipped, &sound.sums));
        let Ok(published) = std::panic::catch_unwind(publish) else {
            wrong.push(format!("{flip:?}: no daemon starts, or it does not end"));
            continue;
        };
        let is_named = published.said.contains(in_copy.file_name().unwrap().to_str().unwrap());
        named += usize::from(is_named);
        match published.compare(&sound) {
            Compared::Same => {}
            // Only of the window that the file had.
            Compared::Missing(1) if is_named => {}
            other => wrong.push(format!("{flip:?}: {other:?}, named: {is_named}")),
        }
    }
    println!("{named} of {tries} flips are named, {} are wrong", wrong.len());
    assert!(wrong.is_empty(), "{} of {tries}: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}

/// Packets and bytes, by window.
type Sums = BTreeMap<u64, (u64, u64)>;

/// What a daemon made of a spool.
struct Published {
    sums: Sums,
    rows: Sums,
    said: String,
}

#[derive(Debug)]
#[expect(dead_code, reason = "told when the test fails")]
enum Compared {
    Same,
    /// Windows of which something is not there; all others are as they were.
    Missing(usize),
    /// A window has more than it had, or its rows are not what the ledger says.
    Wrong(String),
}

impl Published {
    fn compare(&self, sound: &Self) -> Compared {
        let mut missing = 0;
        for (window, sum) in &sound.sums {
            match self.sums.get(window) {
                Some(found) if found == sum => {}
                Some(found) if found > sum => {
                    return Compared::Wrong(format!("{found:?} instead of {sum:?}"));
                }
                _ => missing += 1,
            }
        }
        let foreign = self.sums.keys().find(|window| !sound.sums.contains_key(window));
        if let Some(window) = foreign {
            return Compared::Wrong(format!("a window {window} that never was"));
        }
        let (rows, sums) = (total(&self.rows), total(&self.sums));
        if rows != sums {
            return Compared::Wrong(format!("rows {rows:?}, ledger {sums:?}"));
        }
        if missing == 0 { Compared::Same } else { Compared::Missing(missing) }
    }
}

fn total(sums: &Sums) -> (u64, u64) {
    sums.values().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

struct Rig {
    netns: Arc<Netns>,
    _tun: Tun,
    /// So that a store can have no room.
    disk: SmallDisk,
    directory: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let (netns, tun) = quiet_tun(INTERFACE);
        netns.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let disk = SmallDisk::new("size=4m");
        Self { netns: Arc::new(netns), _tun: tun, disk, directory: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.disk.path().join("store")
    }

    fn start(&self, spool: &Path, pins: &Path, window: &str) -> Daemon {
        let configuration = self.directory.path().join("flowlog.toml");
        let lines =
            "profile = \"flows\"\nmax_flows_v4 = 1024\nmax_flows_v6 = 64\nmax_overflow = 64\n";
        fs::write(&configuration, lines).unwrap();
        let store = self.store();
        let [configuration, spool, pins, store] =
            [&configuration, spool, pins, &store].map(|path| path.to_str().unwrap());
        Daemon::attached(
            &self.netns,
            INTERFACE,
            &[
                "--config",
                configuration,
                "--spool",
                spool,
                "--pins",
                pins,
                "--store",
                store,
                "--gateway",
                "flips",
                "--window",
                window,
                "--drain-interval",
                "250ms",
            ],
        )
    }

    /// What a daemon leaves that is killed when its store has had no room for a while.
    fn make_spool(&self) -> PathBuf {
        let spool = self.directory.path().join("sound");
        let bpffs = Bpffs::mount();
        let daemon = self.start(&spool, &bpffs.base(), "1s");
        self.disk.fill();
        let send = || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            for number in 0..WINDOWS * 20 {
                let port = 1_000 + u16::try_from(number % 10).unwrap();
                socket.send_to(&[0; 72], ("10.9.0.2", port))?;
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        };
        self.netns.run(send).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        daemon.signal(Signal::SIGKILL);
        daemon.end();
        self.disk.free();
        spool
    }

    fn copy_of(&self, spool: &Path) -> PathBuf {
        let copy = self.directory.path().join("flipped");
        if copy.exists() {
            fs::remove_dir_all(&copy).unwrap();
        }
        copy_directory(spool, &copy);
        copy
    }

    /// Has a daemon publish a spool into an empty store; longer where less than these sums is there.
    fn publish(&self, spool: &Path, wanted: &Sums) -> Published {
        let store = self.store();
        if store.exists() {
            fs::remove_dir_all(&store).unwrap();
        }
        let spool = &self.copy_unless_flipped(spool);
        let mut published = Published { sums: Sums::new(), rows: Sums::new(), said: String::new() };
        let before = now_ms();
        for _ in 0..3 {
            let bpffs = Bpffs::mount();
            let daemon = self.start(spool, &bpffs.base(), "1s");
            std::thread::sleep(Duration::from_millis(300));
            let ended = daemon.terminate();
            published.said.push_str(&ended.stderr);
            assert!(matches!(ended.code, 0 | 3), "{}", ended.stderr);
            published.sums = sums(&store, before, LEDGER);
            published.rows = sums(&store, before, FLOWS);
            let is_all = wanted.iter().all(|(window, sum)| published.sums.get(window) == Some(sum));
            if is_all && !wanted.is_empty() {
                break;
            }
        }
        published
    }

    /// The sound spool stays as it is.
    fn copy_unless_flipped(&self, spool: &Path) -> PathBuf {
        if spool.ends_with("flipped") { spool.to_owned() } else { self.copy_of(spool) }
    }
}

const LEDGER: &str = "SELECT epoch_ms(window_start) AS at, sum(packets_seen)::BIGINT AS packets,
    sum(bytes_seen)::BIGINT AS bytes FROM ledger WHERE packets_seen > 0 GROUP BY ALL";
const FLOWS: &str = "SELECT epoch_ms(flow_start) // 1000 * 1000 AS at,
    sum(packets_up + packets_down)::BIGINT AS packets, sum(bytes_up + bytes_down)::BIGINT AS bytes
    FROM flows GROUP BY ALL";

/// What a store has of before an instant.
fn sums(store: &Path, before_ms: u64, question: &str) -> Sums {
    let number = |row: &Value, column: &str| row[column].as_u64().unwrap();
    let rows = duckdb(store, question).into_iter();
    let sums =
        rows.map(|row| (number(&row, "at"), (number(&row, "packets"), number(&row, "bytes"))));
    sums.filter(|(at, _)| *at < before_ms).collect()
}

fn now_ms() -> u64 {
    u64::try_from(flowlog::record::clock::now().ms()).unwrap()
}
