//! The main job on a real VPN: WireGuard between two namespaces, against an independent capture.

use std::{
    path::Path,
    process::{Child, Command},
};

use flowlog::demo::{self, GATEWAY, MEMBER, Netns, Vpn};
use flowlog_tests::{
    Capture, Daemon, assert_equal_to_oracle, duckdb, flowlog, set_ipv6, silence, wait_for,
};
use serde_json::Value;

/// A jiffy at HZ=100, and the rounding to whole milliseconds on both sides.
const JIFFY_MS: u64 = 11;

#[test]
fn every_flow_through_wireguard_is_what_an_independent_capture_says() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    let store = directory.path().join("store");
    let interface = tunnel.names[0].as_str();
    let arguments =
        ["--store", store.to_str().unwrap(), "--window", "1m", "--drain-interval", "500ms"];
    let gateway = &tunnel.vpn.gateway;
    let capture = Capture::start(gateway, interface, &directory.path().join("wg.pcap"));
    let before = tunnel.counters();
    let daemon = Daemon::attached(gateway, interface, &arguments);
    // Everybody looks: nothing was sent yet that only some have seen.
    tunnel.speak_ipv6();

    demo::generate(&tunnel.vpn).unwrap();

    std::thread::sleep(std::time::Duration::from_millis(300));
    tunnel.fall_silent();
    let after = tunnel.counters();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let pcap = capture.stop();

    assert_equal_to_oracle(&pcap, &store, Some(JIFFY_MS));
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let kinds = duckdb(&store, "SELECT DISTINCT protocol FROM flows ORDER BY protocol");
    let kinds: Vec<_> = kinds.iter().map(|row| row["protocol"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [1, 6, 17, 58]);
    if is_of_the_kernel() {
        // Its interface counts WireGuard's own messages, handshakes too.
        return;
    }
    let totals = duckdb(
        &store,
        "SELECT sum(packets_seen)::BIGINT AS packets, sum(bytes_seen)::BIGINT AS bytes
         FROM ledger GROUP BY direction ORDER BY direction DESC",
    );
    // What the interface received is what the members sent.
    for (row, [packets, bytes]) in totals.iter().zip([0, 1].map(|i| difference(&before, &after, i)))
    {
        assert_eq!(row["packets"], packets, "{totals:?}");
        assert_eq!(row["bytes"], bytes, "{totals:?}");
    }
}

fn difference(before: &[[u64; 2]; 2], after: &[[u64; 2]; 2], way: usize) -> [u64; 2] {
    [after[way][0] - before[way][0], after[way][1] - before[way][1]]
}

/// Two namespaces with a WireGuard in each, over a cable.
struct WireGuard {
    /// The interfaces of the gateway and of the member.
    names: [String; 2],
    vpn: Vpn,
    /// Of user-space WireGuard.
    processes: Vec<Child>,
}

impl WireGuard {
    fn new(directory: &Path) -> Self {
        let (gateway, member) = flowlog_tests::veth_pair("under0", "under1");
        for (netns, name, address) in
            [(&gateway, "under0", "192.168.77.1/24"), (&member, "under1", "192.168.77.2/24")]
        {
            netns.ip(&["link", "set", name, "mtu", "1500", "arp", "on"]).unwrap();
            netns.ip(&["address", "add", address, "dev", name]).unwrap();
            netns.ip(&["link", "set", "lo", "up"]).unwrap();
        }
        // The control sockets of user-space WireGuard are in one folder for all namespaces.
        let id = std::process::id();
        let (ours, theirs) = (format!("flwg{id}"), format!("flwm{id}"));
        let mut tunnel = Self {
            names: [ours.clone(), theirs.clone()],
            vpn: Vpn { gateway, member },
            processes: vec![],
        };
        let keys = [("gateway", &ours), ("member", &theirs)].map(|(name, _)| key(directory, name));
        let sides = [
            (&tunnel.vpn.gateway, &ours, GATEWAY, MEMBER, "192.168.77.2:51821", "51820"),
            (&tunnel.vpn.member, &theirs, MEMBER, GATEWAY, "192.168.77.1:51820", "51821"),
        ];
        for (index, (netns, name, own, others, endpoint, port)) in sides.into_iter().enumerate() {
            tunnel.processes.extend(add_wireguard(netns, name));
            let allowed = format!("{}/32,{}/128", others[0], others[1]);
            let status = netns
                .command("wg")
                .unwrap()
                .args(["set", name, "listen-port", port, "private-key"])
                .arg(&keys[index].0)
                .args(["peer", &keys[1 - index].1, "endpoint", endpoint])
                .args(["allowed-ips", &allowed])
                .status()
                .unwrap();
            assert!(status.success(), "wg set {name}");
            silence(netns, name);
            netns.ip(&["link", "set", name, "up"]).unwrap();
            netns.ip(&["address", "add", &format!("{}/24", own[0]), "dev", name]).unwrap();
        }
        tunnel
    }

    /// Begins to speak IPv6, with what the kernel sends by itself when it does.
    fn speak_ipv6(&self) {
        let sides = [(&self.vpn.gateway, GATEWAY[1]), (&self.vpn.member, MEMBER[1])];
        for ((netns, address), name) in sides.into_iter().zip(&self.names) {
            set_ipv6(netns, name, true);
            netns.ip(&["address", "add", &format!("{address}/64"), "dev", name]).unwrap();
        }
    }

    /// Sends nothing more by itself.
    fn fall_silent(&self) {
        self.vpn.member.ip(&["link", "set", &self.names[1], "down"]).unwrap();
        self.vpn.gateway.ip(&["link", "set", &self.names[0], "down"]).unwrap();
    }

    /// The interface's own counters: received and sent, packets and bytes.
    fn counters(&self) -> [[u64; 2]; 2] {
        let netns: &Netns = &self.vpn.gateway;
        let output = netns
            .command("ip")
            .unwrap()
            .args(["-statistics", "-json", "link", "show", &self.names[0]])
            .output()
            .unwrap();
        let links: Value = serde_json::from_slice(&output.stdout).unwrap();
        ["rx", "tx"].map(|way| {
            ["packets", "bytes"].map(|unit| links[0]["stats64"][way][unit].as_u64().unwrap())
        })
    }
}

impl Drop for WireGuard {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It removes its control socket when it is told to end.
            let id = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap_or_default();
            process.wait().map(|_| ()).unwrap_or_default();
        }
    }
}

/// Adds a WireGuard interface: the kernel's own where `FLOWLOG_TEST_WIREGUARD=kernel` asks for it,
/// else that of a process in user space, for which the kernel needs no module.
fn add_wireguard(netns: &Netns, name: &str) -> Option<Child> {
    if is_of_the_kernel() {
        netns.ip(&["link", "add", name, "type", "wireguard"]).unwrap();
        // The capture is not behind the segmentation: without offloads it sees what is on the wire.
        let offloads = ["-K", name, "tso", "off", "gso", "off", "gro", "off"];
        let status = netns.command("ethtool").unwrap().args(offloads).status();
        assert!(status.expect("ethtool; run `cargo xtask setup`").success(), "ethtool -K {name}");
        return None;
    }
    let process = netns
        .command("wireguard-go")
        .unwrap()
        .args(["-f", name])
        .env("LOG_LEVEL", "error")
        .env("WG_PROCESS_FOREGROUND", "1")
        .spawn()
        .expect("wireguard-go; run `cargo xtask setup`");
    let socket = format!("/var/run/wireguard/{name}.sock");
    wait_for("wireguard-go", || Path::new(&socket).exists());
    Some(process)
}

fn is_of_the_kernel() -> bool {
    std::env::var_os("FLOWLOG_TEST_WIREGUARD").is_some_and(|which| which == "kernel")
}

/// A new private key in a file, and the public key that belongs to it.
fn key(directory: &Path, name: &str) -> (std::path::PathBuf, String) {
    let file = directory.join(format!("{name}.key"));
    let script = format!("umask 077; wg genkey | tee {} | wg pubkey", file.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    (file, String::from_utf8(output.stdout).unwrap().trim().to_owned())
}
