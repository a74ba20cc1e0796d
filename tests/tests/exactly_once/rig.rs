//! A gateway with traffic whose packets are counted, and the comparison with what is stored.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{
    Bpffs, Daemon, Ended, duckdb, duckdb_cli, files_under, flowlog, quiet_tun, try_duckdb,
};
use nix::sys::signal::Signal;
use serde_json::Value;

pub const INTERFACE: &str = "flonce0";
/// IP bytes of each packet that is sent.
pub const BYTES: u64 = 128;

/// A gateway with traffic, and what flowlog needs to lose nothing of it.
pub struct Rig {
    pub gateway: Arc<Netns>,
    _tun: Tun,
    bpffs: Bpffs,
    pub directory: tempfile::TempDir,
    pub spool: PathBuf,
    /// A directory or a URL.
    pub store: String,
    /// What the daemon finds in its environment.
    pub variables: Vec<(String, String)>,
    /// How long a window is, in which there are ten drains.
    pub window: Duration,
    /// More lines of the configuration.
    pub configuration: String,
}

impl Rig {
    pub fn new() -> Self {
        let (gateway, tun) = quiet_tun(INTERFACE);
        gateway.ip(&["address", "add", "10.9.0.1/24", "dev", INTERFACE]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self {
            gateway: Arc::new(gateway),
            _tun: tun,
            bpffs: Bpffs::mount(),
            spool: directory.path().join("spool"),
            store: directory.path().join("store").to_str().unwrap().to_owned(),
            directory,
            variables: vec![],
            window: Duration::from_millis(500),
            configuration: String::new(),
        }
    }

    pub fn start(&self) -> Daemon {
        let configuration = self.directory.path().join("flowlog.toml");
        let (window, drain) = (self.window.as_millis(), self.window.as_millis() / 10);
        let lines = format!(
            "profile = \"flows\"\nwindow = \"{window}ms\"\ndrain_interval = \"{drain}ms\"\n{}",
            self.configuration
        );
        std::fs::write(&configuration, lines).unwrap();
        let pins = self.bpffs.base();
        let [configuration, spool, pins] =
            [&configuration, &self.spool, &pins].map(|path| path.to_str().unwrap());
        let files = ["--config", configuration, "--spool", spool, "--pins", pins];
        let ends = ["--interface", INTERFACE, "--store", &self.store];
        Daemon::start_with(&self.gateway, &self.variables, &[&files[..], &ends].concat())
    }

    pub fn attached(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.wait_for("attached");
        daemon
    }

    /// Stops the daemon in order, and compares what is in the store, a directory, with what was sent.
    pub fn assert_complete(&self, daemon: Daemon, sent: u64) {
        self.end(daemon);
        assert_all_is_in(Path::new(&self.store), sent);
    }

    /// Stops the daemon in order.
    pub fn end(&self, daemon: Daemon) {
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let unfinished = |path: &PathBuf| path.extension().is_some_and(|e| e == "unfinished");
        assert!(!files_under(&self.spool).iter().any(unfinished));
    }
}

/// Compares what is in a directory with what was sent.
pub fn assert_all_is_in(store: &Path, sent: u64) {
    assert_stored(store, sent);
    assert_eq!(windows_in_two(store).unwrap(), 0);
    assert_eq!(in_rows(store), (sent, sent * BYTES));
}

/// What a store must have whatever happened: each packet in the ledger, no gap, and no temporary
/// file.
pub fn assert_stored(store: &Path, sent: u64) {
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let seen = "SELECT sum(packets_seen)::BIGINT AS packets, sum(bytes_seen)::BIGINT AS bytes
         FROM ledger WHERE direction = 'down'";
    assert_eq!(packets_and_bytes(&duckdb(store, seen)), (sent, sent * BYTES));
    assert_eq!(duckdb(store, "FROM gaps()"), Vec::<Value>::new());
    let foreign: Vec<_> = files_under(store)
        .into_iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "parquet"))
        .collect();
    assert_eq!(foreign, Vec::<PathBuf>::new(), "no temporary file stays");
}

/// Windows that the spool had no room to keep whole; what DuckDB said where a file grew meanwhile.
pub fn windows_in_two(store: &Path) -> Result<usize, String> {
    let more_than_one = "SELECT window_start FROM ledger WHERE direction = 'down'
        GROUP BY ALL HAVING count(*) > 1";
    try_duckdb(duckdb_cli(), store, more_than_one).map(|rows| rows.len())
}

/// Packets and bytes of what was sent, as the rows of `flows` have them.
pub fn in_rows(store: &Path) -> (u64, u64) {
    packets_and_bytes(&duckdb(
        store,
        "SELECT sum(packets_down)::BIGINT AS packets, sum(bytes_down)::BIGINT AS bytes FROM flows
         WHERE member_ip LIKE '10.9.0.%' AND protocol = 17",
    ))
}

pub fn packets_and_bytes(rows: &[Value]) -> (u64, u64) {
    let number = |column: &str| rows[0][column].as_u64().unwrap();
    (number("packets"), number("bytes"))
}

/// Sends packets through the tunnel until it is stopped.
pub struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Sender {
    /// To one member.
    pub fn start(rig: &Rig) -> Self {
        Self::to_members(rig, 1)
    }

    /// To so many members, 20 flows each.
    pub fn to_members(rig: &Rig, members: u8) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted, gateway) = (stop.clone(), sent.clone(), rig.gateway.clone());
        let send = move || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            while !stopped.load(Ordering::Relaxed) {
                for member in 2..2 + members {
                    for port in 9..29 {
                        let member = Ipv4Addr::new(10, 9, 0, member);
                        socket.send_to(&[0; 100], SocketAddrV4::new(member, port))?;
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Ok(())
        };
        let thread = std::thread::spawn(move || gateway.run(send).unwrap());
        Self { stop, sent, thread }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

pub fn kill(daemon: Daemon) -> Ended {
    daemon.signal(Signal::SIGKILL);
    daemon.end()
}
