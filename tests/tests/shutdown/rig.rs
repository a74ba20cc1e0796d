//! A gateway whose daemons are told to end.

use std::{
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, Ended, HungServer, flowlog_with, quiet_tun};

/// `shutdown_timeout` of these daemons.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// What it may take beyond that.
pub const GRACE: Duration = Duration::from_secs(2);

pub struct Rig {
    directory: tempfile::TempDir,
    bpffs: Bpffs,
    pub netns: Arc<Netns>,
    _tun: Tun,
    /// What a daemon finds in its environment besides.
    pub variables: Vec<(String, String)>,
}

impl Rig {
    pub fn new() -> Self {
        let (netns, tun) = quiet_tun("fltun");
        netns.ip(&["address", "add", "10.9.0.1/24", "dev", "fltun"]).unwrap();
        let rig = Self {
            directory: tempfile::tempdir().unwrap(),
            bpffs: Bpffs::mount(),
            netns: Arc::new(netns),
            _tun: tun,
            variables: vec![],
        };
        rig.configure(TIMEOUT);
        rig
    }

    pub fn configure(&self, timeout: Duration) {
        let ms = timeout.as_millis();
        let text = format!("profile = \"flows\"\nshutdown_timeout = \"{ms}ms\"");
        std::fs::write(self.path("flowlog.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Starts a daemon, with a spool where one is named.
    pub fn start(&self, store: &str, spool: Option<&str>) -> Daemon {
        let (config, pins) = (self.path("flowlog.toml"), self.bpffs.base());
        let mut arguments = vec!["--interface", "fltun", "--store", store, "--gateway", "gw1"];
        arguments.extend(["--config", &config, "--window", "1s", "--drain-interval", "500ms"]);
        if let Some(spool) = spool {
            arguments.extend(["--spool", spool, "--pins", pins.to_str().unwrap()]);
        }
        let variables = [HungServer::variables(store), self.variables.clone()].concat();
        Daemon::start_with(&self.netns, &variables, &arguments)
    }

    pub fn send(&self, packets: u32) {
        self.netns
            .run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                (0..packets).try_for_each(|_| socket.send_to(&[0; 72], "10.9.0.2:9").map(|_| ()))
            })
            .unwrap();
    }

    /// Starts a daemon that finds nothing wrong, and tells it to end when the store has had time.
    pub fn assert_stored(&self, packets: u32) {
        self.assert_stored_in(&self.path("store"), packets);
    }

    pub fn assert_stored_in(&self, store: &str, packets: u32) {
        let mut daemon = self.start(store, Some(&self.path("spool")));
        daemon.wait_for("attached");
        std::thread::sleep(Duration::from_secs(2));
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        self.assert_in_store(store, packets, &ended);
    }

    /// Each packet is in the store once.
    pub fn assert_in_store(&self, store: &str, packets: u32, ended: &Ended) {
        let verified = flowlog_with(&self.variables, &["verify", "--store", store]);
        let words = format!(" {packets} packets");
        assert!(verified.stdout.contains(&words), "{verified:?}\n{}", ended.stderr);
        assert_eq!(verified.code, 0, "{verified:?}\n{}", ended.stderr);
    }
}

/// Tells a daemon to end, which it does in time.
pub fn terminate(daemon: Daemon, within: Duration) -> Ended {
    let told = Instant::now();
    let ended = daemon.terminate();
    let took = told.elapsed();
    assert!(took <= within, "it took {took:?}: {}", ended.stderr);
    ended
}

pub fn last_line(ended: &Ended) -> &str {
    ended.stderr.lines().last().unwrap_or_default()
}
