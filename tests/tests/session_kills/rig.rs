//! A gateway with three sources of sessions: notes of the hook, a file of leases, and a WireGuard in user space.

use std::time::{SystemTime, UNIX_EPOCH};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{Bpffs, Daemon, quiet_tun};

use super::uapi::Server;

const INTERFACE: &str = "flkill0";
/// The interface of the WireGuard.
pub const WIREGUARD: &str = "flkillw0";

/// From when to when a daemon lived.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub began: u64,
    /// No later was it there.
    pub dead: u64,
}

/// The wall clock.
pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub struct Rig {
    gateway: Netns,
    _tuns: [Tun; 2],
    bpffs: Bpffs,
    directory: tempfile::TempDir,
    pub wireguard: Server,
}

impl Rig {
    pub fn new() -> Self {
        let (gateway, tun) = quiet_tun(INTERFACE);
        let second = gateway.tun(WIREGUARD).unwrap();
        let rig = Self {
            gateway,
            _tuns: [tun, second],
            bpffs: Bpffs::mount(),
            directory: tempfile::tempdir().unwrap(),
            wireguard: Server::start(),
        };
        std::fs::write(rig.path("peer.key"), [7; 32]).unwrap();
        std::fs::write(rig.path("leases.csv"), "name,prefix,from,to\n").unwrap();
        let config = format!(
            "profile = \"flows\"\ninterfaces = [\"{INTERFACE}\"]\ngateway = \"gw1\"\n\
             store = \"{store}\"\nspool = \"{spool}\"\npins = \"{pins}\"\n\
             window = \"2s\"\ndrain_interval = \"1s\"\n\
             [[source]]\nkind = \"lease\"\npoll = \"1s\"\nhook_directory = \"{hook}\"\n\
             [[source]]\nkind = \"lease\"\npoll = \"1s\"\nfile = \"{leases}\"\n\
             [[source]]\nkind = \"wireguard\"\npoll = \"1s\"\ninterface = \"{WIREGUARD}\"\n\
             [subscribers]\npeer_key_file = \"{key}\"\n",
            store = rig.path("store"),
            spool = rig.path("spool"),
            pins = rig.bpffs.base().display(),
            hook = rig.path("hook"),
            leases = rig.path("leases.csv"),
            key = rig.path("peer.key"),
        );
        std::fs::write(rig.path("flowlog.toml"), config).unwrap();
        rig
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn start(&self) -> Daemon {
        Daemon::start(&self.gateway, &["--config", &self.path("flowlog.toml")])
    }
}
