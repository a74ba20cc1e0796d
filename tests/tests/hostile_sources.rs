//! Sources that stop, lie or flood: each of them is reported, is survived, and has a gap in the coverage; the others go on.

#[path = "hostile_sources/liar.rs"]
mod liar;

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use flowlog::demo::Tun;
use flowlog_tests::{Daemon, duckdb, flowlog, flowlog_binary, quiet_tun, wait_for};
use serde_json::Value;

use liar::{Liar, Lie, status, uapi};

/// More than flowlog reads.
const LONG: u64 = 100 << 20;
/// The daemon takes less.
const MOST_KIB: u64 = 600 << 10;

/// Sources that give good answers, or not.
struct Rig {
    directory: tempfile::TempDir,
    gateway: flowlog::demo::Netns,
    _tuns: Vec<Tun>,
    /// Interfaces of WireGuard that are none.
    interfaces: Vec<String>,
    liars: Vec<Liar>,
}

impl Rig {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (gateway, tun) = quiet_tun("flquiet");
        let (mut tuns, mut interfaces, mut liars) = (vec![tun], vec![], vec![]);
        fs::create_dir_all("/var/run/wireguard").unwrap();
        for (letter, lie) in [("a", Lie::Stops), ("b", Lie::Floods), ("c", Lie::Ends)] {
            let name = format!("flh{}{letter}", std::process::id());
            tuns.push(gateway.tun(&name).unwrap());
            let socket = PathBuf::from(format!("/var/run/wireguard/{name}.sock"));
            liars.push(Liar::new(socket, lie, uapi));
            interfaces.push(name);
        }
        let mut rig = Self { directory, gateway, _tuns: tuns, interfaces, liars };
        fs::write(rig.path("peer.key"), [7; 32]).unwrap();
        for (name, lie) in [("stops", Lie::Stops), ("floods", Lie::Floods), ("ends", Lie::Ends)] {
            let socket = rig.path(&format!("{name}.sock"));
            rig.liars.push(Liar::new(socket, lie, || status('\t')));
        }
        rig.write_config();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_config(&self) {
        let path = |name: &str| self.path(name).display().to_string();
        let source = |kind: &str, rest: String| {
            format!("[[source]]\nkind = \"{kind}\"\npoll = \"1s\"\n{rest}\n")
        };
        let hooks = format!("hook_directory = \"{}\"", path("hook"));
        let mut sources = vec![
            source("wireguard", format!("interface = \"flh{}*\"", std::process::id())),
            source("openvpn", format!("hook = true\n{hooks}")),
            source("lease", hooks),
        ];
        for name in ["cut", "long", "news"] {
            sources.push(source(
                "openvpn",
                format!("status = \"{}\"", path(&format!("{name}.status"))),
            ));
        }
        for name in ["stops", "floods", "ends"] {
            sources.push(source(
                "openvpn",
                format!("management = \"unix:{}\"", path(&format!("{name}.sock"))),
            ));
        }
        for name in ["cut", "long", "good"] {
            sources.push(source("lease", format!("file = \"{}\"", path(&format!("{name}.csv")))));
        }
        let config = format!(
            "profile = \"flows\"\ninterfaces = [\"flquiet\"]\ngateway = \"gw1\"\nstore = \"{}\"\n\
             window = \"2s\"\ndrain_interval = \"1s\"\n[subscribers]\npeer_key_file = \"{}\"\n{}",
            path("store"),
            path("peer.key"),
            sources.concat()
        );
        fs::write(self.path("flowlog.toml"), config).unwrap();
    }

    /// Those that have to be missed, and those that have to go on.
    fn instances(&self) -> (Vec<String>, [&'static str; 2]) {
        let named = |names: &[&str], kind: &str| -> Vec<String> {
            names.iter().map(|name| format!("{kind} {name}")).collect()
        };
        let mut missed: Vec<String> =
            self.interfaces.iter().map(|name| format!("wireguard {name}")).collect();
        missed.extend(named(&["cut", "long", "stops", "floods", "ends", "openvpn"], "openvpn"));
        missed.extend(named(&["cut.csv", "long.csv", "hook"], "lease"));
        (missed, ["openvpn news", "lease good.csv"])
    }

    /// Writes a file as a whole.
    fn put(&self, name: &str, content: &str) {
        let next = self.path("next");
        fs::write(&next, content).unwrap();
        fs::rename(next, self.path(name)).unwrap();
    }

    fn put_good(&self) {
        for name in ["cut.csv", "long.csv", "good.csv"] {
            let lines =
                format!("name,prefix,from,to\n{},10.66.0.9,2026-03-01T00:00:00Z,\n", liar::NAME);
            self.put(name, &lines);
        }
        for name in ["cut.status", "long.status"] {
            self.put(name, &status(','));
        }
    }

    fn put_bad(&self) {
        for (name, content) in [
            ("cut.csv", "name,prefix,from,to\nLovelace,10.66"),
            ("cut.status", "TITLE,x\nTIME,now,17"),
        ] {
            self.put(name, content);
        }
        for name in ["long.csv", "long.status"] {
            File::create(self.path(name)).unwrap().set_len(LONG).unwrap();
        }
    }

    /// Others may write notes, or must not.
    fn open_hooks(&self, is_open: bool) {
        let mode = if is_open { 0o1733 } else { 0o1730 };
        fs::set_permissions(self.path("hook"), Permissions::from_mode(mode)).unwrap();
    }

    /// The notes of a server, of a control plane, and files of somebody else.
    fn leave_notes(&self) {
        let hook = self.path("hook");
        let dir = hook.to_str().unwrap();
        let lease =
            ["hook", "lease", "open", "--name", liar::NAME, "--prefix", "10.66.0.8", "--dir", dir];
        assert_eq!(flowlog(&lease).stderr, "");
        let mut call = Command::new(flowlog_binary());
        call.args(["hook", "openvpn", "--dir", dir]).env_clear().envs([
            ("script_type", "client-connect"),
            ("common_name", liar::NAME),
            ("time_unix", "1795820002"),
            ("ifconfig_pool_remote_ip", "10.66.0.7"),
            // The server lives as long as this test.
            ("daemon_pid", &std::process::id().to_string()),
        ]);
        assert!(call.status().unwrap().success());
        fs::write(hook.join(liar::NAME), "x").unwrap();
        let name =
            |n| format!("00000000000000000007-01790000000000000000-000000000000000{n}.lease");
        symlink("/etc/shadow", hook.join(name(1))).unwrap();
        File::create(hook.join(name(2))).unwrap().set_len(LONG).unwrap();
    }

    fn lie(&self, is_lying: bool) {
        self.liars.iter().for_each(|liar| liar.lie(is_lying));
    }
}

/// The sources of the status, by kind and name.
fn sources(daemon: &Daemon) -> BTreeMap<String, Value> {
    let status = daemon.status().1;
    let name = |source: &Value| {
        format!("{} {}", source["kind"].as_str().unwrap(), source["instance"].as_str().unwrap())
    };
    status["sources"].as_array().unwrap().iter().map(|one| (name(one), one.clone())).collect()
}

fn wait_until_heard(
    daemon: &Daemon,
    instances: &[String],
    is_heard: bool,
) -> BTreeMap<String, Value> {
    let mut last = BTreeMap::new();
    wait_for(if is_heard { "all to be heard" } else { "none to be heard" }, || {
        thread::sleep(Duration::from_millis(500));
        last = sources(daemon);
        instances.iter().all(|name| last.get(name).is_some_and(|one| one["is_heard"] == is_heard))
    });
    last
}

#[test]
fn sources_that_stop_lie_or_flood_are_reported_survived_and_a_gap() {
    let rig = Rig::new();
    let is_over = AtomicBool::new(false);
    rig.put_good();
    thread::scope(|scope| {
        scope.spawn(|| {
            // A server of a later version writes on.
            while !is_over.load(Ordering::Relaxed) {
                let news = status(',').replace("END", "NEWS,of a later version,1\nEND");
                let next = rig.path("next.news");
                fs::write(&next, news).unwrap();
                fs::rename(next, rig.path("news.status")).unwrap();
                thread::sleep(Duration::from_secs(1));
            }
        });
        let over = Over(&is_over);
        let told = run(&rig);
        drop(over);
        let leak = [liar::NAME, "10.66."].into_iter().find(|text| told.contains(text));
        assert_eq!(leak, None, "{told}");
    });
    let store = rig.path("store");
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_gaps(&rig, &store);
}

/// Also where something fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Records good answers, bad ones, and good ones again; returns the log.
fn run(rig: &Rig) -> String {
    let config = rig.path("flowlog.toml");
    let mut daemon = Daemon::start(&rig.gateway, &["--config", config.to_str().unwrap()]);
    daemon.wait_for("attached");
    wait_for("the directory of the hooks", || rig.path("hook").exists());
    rig.leave_notes();
    let (missed, others) = rig.instances();
    wait_until_heard(&daemon, &[&missed[..], &others.map(str::to_owned)].concat(), true);
    // Again and again, so that it is known how often the files are written.
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(2_500));
        rig.put_good();
    }

    rig.lie(true);
    rig.put_bad();
    rig.open_hooks(true);
    let silent = wait_until_heard(&daemon, &missed, false);
    for name in &missed {
        assert!(silent[name]["error"]["text"].is_string(), "{name}: {}", silent[name]);
        assert!(silent[name]["remedy"].is_string(), "{name}: {}", silent[name]);
    }
    for name in others {
        assert_eq!(silent[name]["is_heard"], true, "{name}: {}", silent[name]);
    }

    rig.lie(false);
    rig.open_hooks(false);
    rig.put_good();
    wait_until_heard(&daemon, &missed, true);
    assert_memory_is_bounded(&daemon);
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{ended:?}");
    for name in &missed {
        let (_, name) = name.split_once(' ').unwrap();
        let is_reported = ended
            .stderr
            .lines()
            .any(|line| line.contains("the source of sessions fails") && line.contains(name));
        assert!(is_reported, "{name}: {}", ended.stderr);
    }
    let refused = ended.stderr.matches("a file in the directory of the hooks is not used").count();
    assert!(refused >= 3, "{}", ended.stderr);
    ended.stderr
}

/// Several of them are read at the same time, each no longer than 64 MiB.
fn assert_memory_is_bounded(daemon: &Daemon) {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{} MiB at most", peak >> 10);
    assert!(peak < MOST_KIB, "{peak} KiB");
}

fn assert_gaps(rig: &Rig, store: &Path) {
    let question = "SELECT source || ' ' || instance AS name, count(gap_start) > 0 AS has_gap,
        (SELECT count(*) FROM sessions s WHERE s.source = c.source AND s.instance = c.instance) AS rows
        FROM coverage c GROUP BY ALL";
    let rows = duckdb(store, question);
    let shown: BTreeMap<&str, (bool, bool)> = rows
        .iter()
        .map(|row| {
            let has_rows = row["rows"].as_u64().unwrap() > 0;
            (row["name"].as_str().unwrap(), (row["has_gap"] == true, has_rows))
        })
        .collect();
    let (missed, others) = rig.instances();
    for name in &missed {
        assert_eq!(shown.get(name.as_str()), Some(&(true, true)), "{name}: {shown:?}");
    }
    for name in others {
        assert_eq!(shown.get(name), Some(&(false, true)), "{name}: {shown:?}");
    }
}
