//! The units under a real systemd, in containers of the Debian releases that they are for.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use flowlog_tests::{Bpffs, flowlog_binary, root, wait_for};

const STORE: &str = "/var/lib/flowlog/store";

const CONFIGURATION: &str = r#"
profile = "flows"
interfaces = ["flvpn*"]
gateway = "gw1"
store = "/var/lib/flowlog/store"
spool = "/var/lib/flowlog/spool"
window = "1s"
drain_interval = "500ms"

[retention]
keep = "90d"
"#;

/// A booted system, which is gone with all that was written to it.
struct Container {
    console: Child,
    /// Its first process, as this system numbers it.
    leader: u32,
    _bpffs: Bpffs,
    _configuration: tempfile::TempDir,
}

impl Container {
    fn boot(suite: &str) -> Self {
        let system = root().join("target/systemd").join(suite);
        assert!(system.join("etc").is_dir(), "{} is missing: cargo xtask setup", system.display());
        let bpffs = Bpffs::mount();
        let configuration = tempfile::tempdir().unwrap();
        let file = configuration.path().join("flowlog.toml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        let packaging = root().join("packaging");
        let unit = |name: &str| bind(&packaging.join(name), &format!("/etc/systemd/system/{name}"));
        let command = [
            "exec systemd-nspawn --quiet --register=no --keep-unit --boot --private-network",
            "--console=interactive --volatile=overlay",
            "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON",
            "--system-call-filter='bpf perf_event_open'",
            &format!("--directory={}", system.display()),
            &format!("--bind={}:/sys/fs/bpf", bpffs.base().parent().unwrap().display()),
            &bind(&flowlog_binary(), "/usr/bin/flowlog"),
            &bind(&file, "/etc/flowlog/flowlog.toml"),
            &unit("flowlog.service"),
            &unit("flowlog-pins.service"),
            &unit("flowlog-retention.service"),
            &unit("flowlog-retention.timer"),
        ];
        // It wants a terminal.
        let console = Command::new("script")
            .args(["--quiet", "--command", &command.join(" "), "/dev/null"])
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        let mut container =
            Self { leader: 0, console, _bpffs: bpffs, _configuration: configuration };
        wait_for("the container's first process", || {
            let leader = descendant(container.console.id(), "systemd");
            container.leader = leader.unwrap_or(0);
            leader.is_some()
        });
        wait_for("the container to boot", || {
            let state = container.ask(&["systemctl", "is-system-running"]);
            ["running", "degraded"].contains(&state.trim())
        });
        container
    }

    fn output(&self, command: &[&str]) -> Output {
        let leader = self.leader.to_string();
        let entered = ["-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w"];
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["-t", &leader]).args(entered).args(command).output().unwrap()
    }

    fn ask(&self, command: &[&str]) -> String {
        String::from_utf8(self.output(command).stdout).unwrap()
    }

    /// Runs a command, which must work.
    fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}{error}\n{}", self.journal());
        said
    }

    fn journal(&self) -> String {
        self.ask(&["journalctl", "--no-pager", "--output", "cat", "--unit", "flowlog*"])
    }

    /// Gives a setting of the daemon's unit another value.
    fn restrict(&self, setting: &str) {
        let (name, _) = setting.split_once('=').unwrap();
        let folder = "/etc/systemd/system/flowlog.service.d";
        let text = format!("[Service]\\n{name}=\\n{setting}\\n");
        let write = format!("mkdir -p {folder} && printf '{text}' > {folder}/restrict.conf");
        self.run(&["sh", "-c", &write]);
        self.run(&["systemctl", "daemon-reload"]);
        let shown = self.ask(&["systemctl", "show", "flowlog", "--property", name]);
        assert!(!shown.contains("AF_INET"), "{shown}");
    }

    fn send(&self, packets: u32) {
        let each = format!("for i in $(seq {packets}); do echo x > /dev/udp/10.9.0.2/9; done");
        self.run(&["bash", "-c", &each]);
    }

    fn is_active(&self) -> bool {
        self.ask(&["systemctl", "is-active", "flowlog"]).trim() == "active"
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let leader = nix::unistd::Pid::from_raw(i32::try_from(self.leader).unwrap());
        if self.leader != 0 {
            // After a failed assertion it may be gone.
            nix::sys::signal::kill(leader, nix::sys::signal::Signal::SIGKILL).unwrap_or_default();
        } else {
            self.console.kill().unwrap_or_default();
        }
        self.console.wait().map(|_| ()).unwrap_or_default();
    }
}

fn bind(from: &Path, to: &str) -> String {
    format!("--bind-ro={}:{to}", from.display())
}

/// A process below another one, by its name.
fn descendant(of: u32, name: &str) -> Option<u32> {
    let processes: Vec<(u32, String, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let stat: PathBuf = entry.ok()?.path().join("stat");
            let stat = std::fs::read_to_string(stat).ok()?;
            let (number, rest) = stat.split_once(" (")?;
            let (name, rest) = rest.rsplit_once(") ")?;
            let parent = rest.split(' ').nth(1)?;
            Some((number.parse().ok()?, name.to_owned(), parent.parse().ok()?))
        })
        .collect();
    let mut below = vec![of];
    while let Some(parent) = below.pop() {
        for (number, found, _) in processes.iter().filter(|(_, _, of)| *of == parent) {
            if found == name {
                return Some(*number);
            }
            below.push(*number);
        }
    }
    None
}

/// Starts, restarts, is killed and stops; what was sent meanwhile is in the store.
fn counts_everything_on(suite: &str) {
    let container = Container::boot(suite);
    let ip = |arguments: &str| {
        let words: Vec<&str> = ["ip"].into_iter().chain(arguments.split(' ')).collect();
        container.run(&words)
    };
    ip("link add flvpn0 type veth peer name flpeer");
    for end in ["flvpn0", "flpeer"] {
        // It greets nobody by itself.
        ip(&format!("link set {end} addrgenmode none"));
    }
    ip("address add 10.9.0.1/24 dev flvpn0");
    ip("link set flvpn0 up");
    ip("link set flpeer arp off up");
    ip("neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev flvpn0");
    container.run(&["systemctl", "start", "flowlog"]);
    assert!(container.is_active(), "{}", container.journal());
    container.send(100);
    // With a store in a directory it needs no socket of IP.
    container.restrict("RestrictAddressFamilies=AF_NETLINK AF_UNIX");
    container.run(&["systemctl", "restart", "flowlog"]);
    container.send(100);
    container.run(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", "flowlog"]);
    // Nobody drains now; the kernel counts.
    container.send(100);
    wait_for("the daemon that was killed to be started again", || container.is_active());
    container.send(100);
    container.run(&["systemctl", "stop", "flowlog"]);
    let verified = container.run(&["flowlog", "verify", "--store", STORE, "--format", "json"]);
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["packets"], 400, "{verified}\n{}", container.journal());
    assert!(container.journal().contains("gateway gw1 counts flvpn*"), "{}", container.journal());

    container.run(&["systemctl", "start", "flowlog-retention"]);
    container.run(&["systemctl", "start", "flowlog-retention.timer"]);
    // After what uninstalls, and with it removes the directory of the pins, it starts again.
    container.run(&["flowlog", "uninstall"]);
    container.run(&["systemctl", "start", "flowlog"]);
    container.run(&["systemctl", "stop", "flowlog"]);
    let failed = container.ask(&["systemctl", "--failed", "--no-legend"]);
    assert!(!failed.contains("flowlog"), "{failed}");
}

#[test]
fn the_unit_counts_everything_on_debian_12() {
    counts_everything_on("bookworm");
}

#[test]
fn the_unit_counts_everything_on_debian_13() {
    counts_everything_on("trixie");
}
