//! Interfaces to count, and a DuckDB to ask.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use flowlog::{
    capture::MapSizes,
    demo::{Netns, Tun},
};
use serde_json::Value;

/// How long to wait for others: long enough for an emulated machine whose kernel verifies a program.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Two ends of a cable, each in a namespace of its own; nothing on them speaks by itself.
pub fn veth_pair(near: &str, far: &str) -> (Netns, Netns) {
    let (gateway, peer) = (namespace(), namespace());
    let quiet = |netns: &Netns, name: &str| {
        silence(netns, name);
        netns.ip(&["link", "set", name, "mtu", "65535", "arp", "off", "up"]).unwrap();
    };
    let pid = std::process::id().to_string();
    // A namespace without a name is told to `ip` by a process in it.
    let mut in_peer = peer.command("sleep").unwrap().arg("60").spawn().unwrap();
    wait_for("the peer's process to enter its namespace", || {
        let of = |p: String| std::fs::read_link(format!("/proc/{p}/ns/net")).ok();
        of(in_peer.id().to_string()) != of(pid.clone())
    });
    let peer_id = in_peer.id().to_string();
    let made =
        gateway.ip(&["link", "add", near, "type", "veth", "peer", "name", far, "netns", &peer_id]);
    in_peer.kill().unwrap();
    in_peer.wait().unwrap();
    made.unwrap();
    quiet(&gateway, near);
    quiet(&peer, far);
    (gateway, peer)
}

/// Two ends of a cable as of Ethernet, each with a name and an IPv4 address.
pub fn cable([near, far]: [(&str, &str); 2]) -> (Netns, Netns) {
    let (gateway, peer) = veth_pair(near.0, far.0);
    for (netns, (name, address)) in [(&gateway, near), (&peer, far)] {
        netns.ip(&["link", "set", name, "mtu", "1500", "arp", "on"]).unwrap();
        netns.ip(&["address", "add", address, "dev", name]).unwrap();
        netns.ip(&["link", "set", "lo", "up"]).unwrap();
    }
    (gateway, peer)
}

/// A tun in a namespace of its own, which says nothing by itself.
pub fn quiet_tun(name: &str) -> (Netns, Tun) {
    let gateway = namespace();
    let tun = gateway.tun(name).unwrap();
    silence(&gateway, name);
    gateway.ip(&["link", "set", name, "up"]).unwrap();
    (gateway, tun)
}

/// Turns IPv6 off on an interface: the kernel would greet its neighbours.
pub fn silence(netns: &Netns, interface: &str) {
    set_ipv6(netns, interface, false);
}

/// Turns IPv6 on or off on an interface.
pub fn set_ipv6(netns: &Netns, interface: &str, on: bool) {
    let key = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    let value = if on { "0" } else { "1" };
    // The file shows the namespace of the thread that opens it.
    netns.run(move || std::fs::write(key, value)).unwrap();
}

/// Maps that are quickly made.
pub const SMALL: MapSizes =
    MapSizes { flows_v4: 1024, flows_v6: 1024, overflow: 64, interfaces: MapSizes::MAX_INTERFACES };

/// A BPF file system of its own, in which links and maps are pinned; they go with it.
pub struct Bpffs(tempfile::TempDir);

impl Bpffs {
    /// Mounts one.
    pub fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "-o", "mode=700", "bpf"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "cannot mount a BPF file system; these tests need root");
        Self(directory)
    }

    /// Where flowlog's pins are.
    pub fn base(&self) -> PathBuf {
        self.0.path().join("flowlog")
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // After a failed assertion somebody may still look into it.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn namespace() -> Netns {
    Netns::new().expect("cannot make a network namespace; these tests need root")
}

/// Whether the kernel has TCX.
pub fn has_tcx() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    version >= (6, 6)
}

/// Waits for something that another process does.
pub fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Python that has DuckDB (`cargo xtask setup`).
pub fn python() -> Command {
    let python = root().join("target/venv/bin/python");
    assert!(python.is_file(), "{} is missing; run `cargo xtask setup`", python.display());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root().join("tests/oracle"));
    command
}

/// The command line of DuckDB.
pub fn duckdb_cli() -> Command {
    Command::new(root().join("target/venv/bin/duckdb"))
}

/// The same of the oldest release that the views and macros are for.
pub fn oldest_duckdb_cli() -> Command {
    Command::new(root().join("target/venv/oldest/bin/duckdb"))
}

/// The newest release, which takes the arguments of the command line that [`try_duckdb`] gives.
pub fn newest_duckdb() -> Command {
    let mut command = python();
    command.arg("ask.py").arg(root().join("target/venv/newest"));
    command
}

/// The releases that the views and macros are for.
pub fn duckdbs() -> [Command; 3] {
    [oldest_duckdb_cli(), duckdb_cli(), newest_duckdb()]
}

/// Asks DuckDB about the views and macros of a store, and returns its rows.
pub fn duckdb(store: &Path, question: &str) -> Vec<Value> {
    try_duckdb(duckdb_cli(), store, question).unwrap_or_else(|error| panic!("{error}"))
}

/// The same of this DuckDB.
///
/// # Errors
///
/// What DuckDB said instead of an answer.
pub fn try_duckdb(mut cli: Command, store: &Path, question: &str) -> Result<Vec<Value>, String> {
    let views = super::flowlog(&["duckdb", "--store", store.to_str().unwrap()]);
    assert_eq!(views.code, 0, "{}", views.stderr);
    ask_duckdb(&mut cli, &views.stdout, question)
}

/// Asks DuckDB about the views and macros that this SQL makes.
///
/// # Errors
///
/// What DuckDB said instead of an answer.
pub fn ask_duckdb(cli: &mut Command, views: &str, question: &str) -> Result<Vec<Value>, String> {
    let output = cli
        .args(["-json", "-c", views, "-c", "SET TimeZone = 'UTC'", "-c", question])
        .output()
        .expect("duckdb; run `cargo xtask setup`");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8(output.stdout).unwrap();
    // What makes the views may have answers too; no rows are no answer.
    let answers = serde_json::Deserializer::from_str(&said).into_iter::<Vec<Value>>();
    Ok(answers.last().and_then(Result::ok).unwrap_or_default())
}
