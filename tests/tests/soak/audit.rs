//! `flowlog verify` beside a daemon that puts every second, and a retention run that deletes: no
//! alarm about what is only being written or deleted.

use std::{
    collections::BTreeMap,
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use flowlog::{
    demo::{Netns, Tun},
    record::clock::Utc,
};
use flowlog_tests::{
    Bpffs, Daemon, Random, files_under, flowlog, flowlog_binary, quiet_tun, synthetic, wait_for,
};

use super::times;

const INTERFACE: &str = "flsoak0";
const GATEWAYS: [&str; 4] = ["soak-a", "soak-b", "soak-c", "soak-d"];
/// 2025-01-01T00:00:00Z, when the stores begin.
const FIRST_MS: i64 = 1_735_689_600_000;
const HOUR_MS: i64 = 3_600_000;
/// Hours that a retention run deletes at most.
const DELETED: usize = 3;

#[test]
fn an_audit_beside_puts_and_deletions_raises_no_false_alarm() {
    let hours = times(200, 48);
    audit_beside_puts_and_deletions(hours, times(1_000, 40));
}

#[test]
fn an_audit_of_a_large_store_beside_puts_and_deletions_raises_no_false_alarm() {
    audit_beside_puts_and_deletions(times(10_000, 400), times(20, 3));
}

fn audit_beside_puts_and_deletions(hours: usize, wanted: usize) {
    let live = Live::start();
    let each = u64::try_from(hours / GATEWAYS.len()).unwrap();
    for gateway in GATEWAYS {
        synthetic::write_hours(&live.store, gateway, Utc::from_ms(FIRST_MS), each, 2);
    }
    let old = Old::read(&live.store);
    let sound = audit(&live.store).wait();
    assert_eq!(sound.code, 0, "{}", sound.said);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut overlapping, mut tried, mut alarms) = (0, 0, vec![]);
    let mut lasts = sound.lasted;
    while overlapping < wanted {
        tried += 1;
        assert!(tried < 20 * wanted + 20, "only {overlapping} of {tried} overlapped both");
        old.restore();
        // So that a put falls into the audit, and a deletion too.
        let put = live.wait_for_put();
        let early = lasts.mul_f64(0.5).min(Duration::from_millis(900));
        std::thread::sleep(
            (Duration::from_secs(1).saturating_sub(early)).saturating_sub(put.elapsed()),
        );
        let (before, running) = (live.last_put(), audit(&live.store));
        std::thread::sleep(
            lasts.mul_f64(0.1).min(Duration::from_secs(2))
                * u32::try_from(random.below(4)).unwrap(),
        );
        let deletion =
            delete(&live.store, GATEWAYS[random.below(GATEWAYS.len())], 1 + random.below(DELETED));
        let is_deleted_meanwhile = running.is_running();
        let ended = running.wait();
        lasts = ended.lasted;
        if ended.code != 0 {
            alarms.push(format!("exit code {}: {}", ended.code, ended.said));
        }
        assert!(deletion > 0, "nothing was deleted");
        if is_deleted_meanwhile && live.last_put() != before {
            overlapping += 1;
        }
    }
    println!(
        "{overlapping} audits of {hours} hours overlapped both, of {tried}; the last took {lasts:?}"
    );
    let first = alarms.first().cloned().unwrap_or_default();
    assert!(
        alarms.is_empty(),
        "{} false alarms in {tried} audits, the first: {first}",
        alarms.len()
    );
    live.end();
}

/// The hours that are deleted and written again.
struct Old(BTreeMap<PathBuf, Vec<u8>>);

impl Old {
    fn read(store: &Path) -> Self {
        let is_old = |path: &PathBuf| path.to_str().unwrap().contains("gateway=soak-");
        let files = files_under(store).into_iter().filter(is_old);
        Self(files.map(|path| (path.clone(), fs::read(path).unwrap())).collect())
    }

    /// Writes what is gone, while nobody reads.
    fn restore(&self) {
        for (path, bytes) in self.0.iter().filter(|(path, _)| !path.exists()) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// Has retention delete the first hours of a gateway, and answers how many files that were.
fn delete(store: &Path, gateway: &str, hours: usize) -> usize {
    // A day and so many hours after the beginning, what ended in the first hours is a day old.
    let at_ms = FIRST_MS + 24 * HOUR_MS + i64::try_from(hours).unwrap() * HOUR_MS + 1_000;
    let at = Utc::from_ms(at_ms).to_string();
    let before = files_under(store).len();
    let store_argument = store.to_str().unwrap();
    let arguments = ["--keep", "1d", "--at", &at, "--gateway", gateway, "--store", store_argument];
    let ended = flowlog(&[&["retention", "run"][..], &arguments].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    before.saturating_sub(files_under(store).len())
}

/// An audit that is running.
struct Audit {
    child: Child,
    started: Instant,
    output: tempfile::NamedTempFile,
}

struct Audited {
    code: i32,
    said: String,
    lasted: Duration,
}

fn audit(store: &Path) -> Audit {
    let output = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(flowlog_binary());
    let child = command
        .args(["verify", "--store"])
        .arg(store)
        .stdout(output.reopen().unwrap())
        .stderr(output.reopen().unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Audit { child, started: Instant::now(), output }
}

impl Audit {
    fn is_running(&self) -> bool {
        // Of a process that has ended and was not waited for, nothing but the name is left.
        let status = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        !status.contains(") Z ")
    }

    fn wait(mut self) -> Audited {
        let status = self.child.wait().unwrap();
        Audited {
            code: status.code().unwrap_or(-1),
            said: fs::read_to_string(self.output.path()).unwrap(),
            lasted: self.started.elapsed(),
        }
    }
}

/// A daemon with windows of a second, under a little traffic.
struct Live {
    _netns: Arc<Netns>,
    _tun: Tun,
    _bpffs: Bpffs,
    _directory: tempfile::TempDir,
    store: PathBuf,
    daemon: Daemon,
    stop: Arc<AtomicBool>,
    sender: JoinHandle<()>,
}

impl Live {
    fn start() -> Self {
        let (netns, tun) = quiet_tun(INTERFACE);
        netns.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let (bpffs, directory) = (Bpffs::mount(), tempfile::tempdir().unwrap());
        let [store, spool] = ["store", "spool"].map(|name| directory.path().join(name));
        let configuration = directory.path().join("flowlog.toml");
        fs::write(
            &configuration,
            "profile = \"flows\"\nmax_flows_v4 = 1024\nmax_flows_v6 = 1024\nmax_overflow = 64\n",
        )
        .unwrap();
        let pins = bpffs.base();
        let [configuration, pins, spool_path, store_path] =
            [&configuration, &pins, &spool, &store].map(|path| path.to_str().unwrap());
        let daemon = Daemon::attached(
            &netns,
            INTERFACE,
            &[
                "--config",
                configuration,
                "--pins",
                pins,
                "--spool",
                spool_path,
                "--store",
                store_path,
                "--gateway",
                "live",
                "--window",
                "1s",
                "--drain-interval",
                "1s",
            ],
        );
        let (netns, stop) = (Arc::new(netns), Arc::new(AtomicBool::new(false)));
        let (in_netns, stopped) = (Arc::clone(&netns), Arc::clone(&stop));
        let send = move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            // Until the end, whichever comes first: that of the test, or of the interface.
            while !stopped.load(Ordering::Relaxed)
                && socket.send_to(&[0; 72], ("10.9.0.2", 9)).is_ok()
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        };
        let sender = std::thread::spawn(move || in_netns.run(send).unwrap());
        let live = Self {
            _netns: netns,
            _tun: tun,
            _bpffs: bpffs,
            _directory: directory,
            store,
            daemon,
            stop,
            sender,
        };
        wait_for("the first put", || live.last_put().is_some());
        live
    }

    /// When the newest file of the daemon was put.
    fn last_put(&self) -> Option<SystemTime> {
        let folder = self.store.join("ledger/gateway=live");
        let written = |path: PathBuf| path.metadata().and_then(|file| file.modified()).ok();
        files_under(&folder).into_iter().filter_map(written).max()
    }

    fn wait_for_put(&self) -> Instant {
        let before = self.last_put();
        wait_for("another put", || self.last_put() != before);
        Instant::now()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().unwrap();
        let ended = self.daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let sound = audit(&self.store).wait();
        assert_eq!(sound.code, 0, "{}", sound.said);
    }
}
