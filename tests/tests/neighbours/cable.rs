//! A cable, a daemon that counts one end of it, and what the ledger has in the end.

use std::{
    net::UdpSocket,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use flowlog::demo::Netns;
use flowlog_tests::{Bpffs, Daemon, Ended, duckdb, flowlog, veth_pair};

pub const NEAR: &str = "flnear";
const FAR: &str = "flfar";
const GATEWAY: &str = "10.8.0.1";
const PEER: &str = "10.8.0.2";
const PORT: u16 = 9;

pub struct Cable {
    pub gateway: Netns,
    pub peer: Netns,
    pub bpffs: Bpffs,
    /// Where datagrams arrive: nobody answers them.
    sinks: Vec<UdpSocket>,
    directory: tempfile::TempDir,
}

/// What the ledger has of a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seen: u64,
    /// What the interface itself counted; `None` where that is not known of all windows.
    pub on_interface: Option<u64>,
}

impl Cable {
    pub fn new() -> Self {
        let (gateway, peer) = veth_pair(NEAR, FAR);
        let (bpffs, directory) = (Bpffs::mount(), tempfile::tempdir().unwrap());
        let mut cable = Self { gateway, peer, bpffs, sinks: vec![], directory };
        let ends = [(&cable.gateway, NEAR, 1, GATEWAY, PEER), (&cable.peer, FAR, 2, PEER, GATEWAY)];
        for (netns, name, host, own, other) in ends {
            let links = [host, 3 - host].map(|host| format!("02:00:00:00:00:0{host}"));
            netns.ip(&["link", "set", "lo", "up"]).unwrap();
            netns.ip(&["link", "set", name, "address", &links[0], "arp", "on"]).unwrap();
            netns.ip(&["address", "add", &format!("{own}/24"), "dev", name]).unwrap();
            let neighbour = ["neighbour", "add", other, "lladdr", &links[1]];
            netns.ip(&[&neighbour[..], &["dev", name, "nud", "permanent"]].concat()).unwrap();
        }
        for (netns, own) in [(&cable.gateway, GATEWAY), (&cable.peer, PEER)] {
            cable.sinks.push(netns.run(move || UdpSocket::bind((own, PORT))).unwrap());
        }
        cable
    }

    /// Gives the gateway's interface another name, for which older kernels want it down.
    pub fn rename(&self, from: &str, to: &str) {
        if self.gateway.ip(&["link", "set", "dev", from, "name", to]).is_ok() {
            return;
        }
        self.gateway.ip(&["link", "set", "dev", from, "down"]).unwrap();
        self.gateway.ip(&["link", "set", "dev", from, "name", to]).unwrap();
        self.gateway.ip(&["link", "set", "dev", to, "up"]).unwrap();
    }

    /// A daemon that drains twice a second unless `more` has another interval, without a spool.
    pub fn start(&self, more: &[&str]) -> Daemon {
        self.start_on(NEAR, more)
    }

    pub fn start_on(&self, interfaces: &str, more: &[&str]) -> Daemon {
        let store = self.store();
        let mut arguments = vec!["--store", store.to_str().unwrap(), "--window", "1s"];
        if !more.contains(&"--drain-interval") {
            arguments.extend(["--drain-interval", "500ms"]);
        }
        Daemon::attached(&self.gateway, interfaces, &[&arguments[..], more].concat())
    }

    /// The same with a spool and pins.
    pub fn start_durable(&self, interfaces: &str, more: &[&str]) -> Daemon {
        let [spool, pins] = [self.directory.path().join("spool"), self.bpffs.base()];
        let paths = [&spool, &pins].map(|path| path.to_str().unwrap());
        let durable = ["--spool", paths[0], "--pins", paths[1], "--gateway", "gw"];
        self.start_on(interfaces, &[&durable[..], more].concat())
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Sends datagrams from the peer, which come up.
    pub fn send_up(&self, datagrams: u64) {
        send(&self.peer, PEER, GATEWAY, datagrams);
    }

    /// Sends datagrams from the peer all the time between two instants, since the beginning of 1970.
    pub fn send_up_between(&self, since: Duration, until: Duration) {
        let send = move || {
            let socket = UdpSocket::bind((PEER, 0))?;
            std::thread::sleep(since.saturating_sub(since_1970()));
            while since_1970() < until {
                socket.send_to(&[0; 72], (GATEWAY, PORT))?;
            }
            Ok(())
        };
        self.peer.run(send).unwrap();
    }

    /// Sends datagrams to the peer, which go down.
    pub fn send_down(&self, datagrams: u64) {
        send(&self.gateway, GATEWAY, PEER, datagrams);
    }

    pub fn tc(&self, arguments: &str) -> String {
        let mut command = self.gateway.command("tc").unwrap();
        let output = command.args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends the daemon; the store is balanced.
    pub fn end(&self, daemon: Daemon) -> Ended {
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let verified = flowlog(&["verify", "--store", self.store().to_str().unwrap()]);
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, ended.stderr);
        ended
    }

    /// What the ledger has of packets up and down.
    pub fn ledger(&self) -> [Row; 2] {
        ["up", "down"].map(|direction| {
            let rows = duckdb(
                &self.store(),
                &format!(
                    "SELECT sum(packets_seen)::BIGINT AS seen,
                            sum(packets_interface)::BIGINT AS on_interface,
                            count(*) FILTER (packets_interface IS NULL
                                AND observed_start < observed_end)::BIGINT AS unknown
                     FROM ledger WHERE direction = '{direction}'"
                ),
            );
            let number = |name: &str| rows[0][name].as_u64();
            let on_interface = number("on_interface").filter(|_| number("unknown") == Some(0));
            Row { seen: number("seen").unwrap(), on_interface }
        })
    }

    /// Whether some row says that it was observed since before its window.
    pub fn reaches_back(&self) -> bool {
        let rows = duckdb(
            &self.store(),
            "SELECT count(*)::BIGINT AS rows FROM ledger
             WHERE observed_start < window_start AND observed_end <= window_end",
        );
        rows[0]["rows"].as_u64().unwrap() > 0
    }

    /// The reasons of its gaps, and how long each is in milliseconds.
    pub fn gaps(&self) -> Vec<(String, u64)> {
        let rows = duckdb(
            &self.store(),
            "SELECT gap_reason, (epoch_ms(gap_end) - epoch_ms(gap_start))::BIGINT AS length
             FROM ledger WHERE gap_start IS NOT NULL AND direction = 'up' ORDER BY gap_start",
        );
        let gap = |row: &serde_json::Value| {
            (row["gap_reason"].as_str().unwrap().to_owned(), row["length"].as_u64().unwrap())
        };
        rows.iter().map(gap).collect()
    }
}

fn send(netns: &Netns, own: &'static str, other: &'static str, datagrams: u64) {
    let send = move || {
        let socket = UdpSocket::bind((own, 0))?;
        // A packet that is dropped before it leaves is reported to its sender.
        (0..datagrams).for_each(|_| drop(socket.send_to(&[0; 72], (other, PORT))));
        Ok(())
    };
    netns.run(send).unwrap();
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// The next instant that is a multiple of `step` since the beginning of 1970.
pub fn next_multiple(step: Duration) -> Duration {
    let [now, step] = [since_1970(), step].map(|time| time.as_nanos());
    Duration::from_nanos(u64::try_from((now / step + 1) * step).unwrap())
}

/// Long enough for two drains.
pub fn two_drains() {
    std::thread::sleep(Duration::from_millis(1_200));
}
