//! A real WireGuard between two namespaces.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU8, Ordering},
};

use flowlog::demo::{GATEWAY, MEMBER, Netns, Vpn};
use serde_json::Value;

use super::{
    offload::offload,
    rig::{cable, set_ipv6, silence, wait_for},
};

/// How many there were in this process.
static MADE: AtomicU8 = AtomicU8::new(0);

/// Two namespaces with a WireGuard in each, over a cable.
pub struct WireGuard {
    pub vpn: Vpn,
    /// The interfaces of the gateway and of the member.
    names: [String; 2],
    /// Of user-space WireGuard.
    processes: Vec<Child>,
}

impl WireGuard {
    /// Makes it, over IPv4 so far, with keys in this folder.
    pub fn new(directory: &Path) -> Self {
        let (gateway, member) =
            cable([("under0", "192.168.77.1/24"), ("under1", "192.168.77.2/24")]);
        // The control sockets of user-space WireGuard are in one folder for all namespaces.
        let id = std::process::id();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = (format!("flwg{id}-{number}"), format!("flwm{id}-{number}"));
        let mut tunnel = Self {
            vpn: Vpn { gateway, member },
            names: [ours.clone(), theirs.clone()],
            processes: vec![],
        };
        let keys = [("gateway", &ours), ("member", &theirs)].map(|(name, _)| key(directory, name));
        let sides = [
            (&tunnel.vpn.gateway, &ours, GATEWAY, MEMBER, "192.168.77.2:51821", "51820"),
            (&tunnel.vpn.member, &theirs, MEMBER, GATEWAY, "192.168.77.1:51820", "51821"),
        ];
        for (index, (netns, name, own, others, endpoint, port)) in sides.into_iter().enumerate() {
            tunnel.processes.extend(add_wireguard(netns, name, None));
            wait_for_wireguard(name);
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

    /// The gateway's.
    pub fn interface(&self) -> &str {
        &self.names[0]
    }

    /// Begins to speak IPv6, with what the kernel sends by itself when it does.
    pub fn speak_ipv6(&self) {
        let sides = [(&self.vpn.gateway, GATEWAY[1]), (&self.vpn.member, MEMBER[1])];
        for ((netns, address), name) in sides.into_iter().zip(&self.names) {
            set_ipv6(netns, name, true);
            netns.ip(&["address", "add", &format!("{address}/64"), "dev", name]).unwrap();
        }
    }

    /// The member's.
    pub fn member_interface(&self) -> &str {
        &self.names[1]
    }

    /// Sends nothing more by itself.
    pub fn fall_silent(&self) {
        self.vpn.member.ip(&["link", "set", &self.names[1], "down"]).unwrap();
        self.vpn.gateway.ip(&["link", "set", &self.names[0], "down"]).unwrap();
    }

    /// The interface's own counters: received and sent, packets and bytes.
    pub fn counters(&self) -> [[u64; 2]; 2] {
        let output = self
            .vpn
            .gateway
            .command("ip")
            .unwrap()
            .args(["-statistics", "-json", "link", "show", self.interface()])
            .output()
            .unwrap();
        let links: Value = serde_json::from_slice(&output.stdout).unwrap();
        ["rx", "tx"].map(|way| {
            ["packets", "bytes"].map(|unit| links[0]["stats64"][way][unit].as_u64().unwrap())
        })
    }

    /// The processes of both sides, where user space does the work.
    pub fn process_ids(&self) -> Vec<u32> {
        self.processes.iter().map(Child::id).collect()
    }

    /// Whether it is the kernel's own, which counts WireGuard's messages too.
    pub fn is_of_the_kernel(&self) -> bool {
        self.processes.is_empty()
    }
}

impl Drop for WireGuard {
    fn drop(&mut self) {
        end(&mut self.processes);
    }
}

/// Ends processes of WireGuard: they remove their control sockets when they are told to end.
pub(crate) fn end(processes: &mut [Child]) {
    for process in &mut *processes {
        let id = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap_or_default();
    }
    for process in processes {
        process.wait().map(|_| ()).unwrap_or_default();
    }
}

/// Adds a WireGuard interface: the kernel's own where `FLOWLOG_TEST_WIREGUARD=kernel` asks for it,
/// else that of a process in user space, for which the kernel needs no module, and which comes up later. A
/// process of another user than root has no more rights than it needs.
pub(crate) fn add_wireguard(netns: &Netns, name: &str, user: Option<u32>) -> Option<Child> {
    if wants_the_kernels() {
        netns.ip(&["link", "add", name, "type", "wireguard"]).unwrap();
        // The capture is not behind the segmentation: without offloads it sees what is on the wire.
        offload(netns, name, &[("tso", false), ("gso", false), ("gro", false)]);
        return None;
    }
    let mut command = match user {
        None => netns.command("wireguard-go").unwrap(),
        Some(user) => {
            let rights = "+net_admin,+dac_override";
            let mut command = netns.command("setpriv").unwrap();
            command.args(["--reuid", &user.to_string(), "--clear-groups"]);
            command.args(["--inh-caps", rights, "--ambient-caps", rights, "wireguard-go"]);
            command
        }
    };
    let process = command
        .args(["-f", name])
        .env("LOG_LEVEL", "error")
        .env("WG_PROCESS_FOREGROUND", "1")
        .spawn()
        .expect("wireguard-go; run `cargo xtask setup`");
    Some(process)
}

/// Waits until an interface that was added is there to be set.
pub(crate) fn wait_for_wireguard(name: &str) {
    let socket = socket(name);
    wait_for("wireguard-go", || wants_the_kernels() || socket.exists());
}

/// The control socket of an interface in user space.
pub(crate) fn socket(name: &str) -> PathBuf {
    format!("/var/run/wireguard/{name}.sock").into()
}

/// Whether the kernel's own WireGuard is to be tested.
pub fn wants_the_kernels() -> bool {
    std::env::var_os("FLOWLOG_TEST_WIREGUARD").is_some_and(|which| which == "kernel")
}

/// Runs `wg` within a namespace, and returns what it shows.
pub fn wg(netns: &Netns, arguments: &[&str]) -> String {
    let output = netns.command("wg").unwrap().args(arguments).output().unwrap();
    assert!(output.status.success(), "wg {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A new private key in a file, and the public key that belongs to it.
pub(crate) fn key(directory: &Path, name: &str) -> (PathBuf, String) {
    let file = directory.join(format!("{name}.key"));
    let script = format!("umask 077; wg genkey | tee {} | wg pubkey", file.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    (file, String::from_utf8(output.stdout).unwrap().trim().to_owned())
}
