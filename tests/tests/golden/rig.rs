//! Copies of the golden files, daemons that find them, and the rows that must come of them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use flowlog::demo::{Netns, Tun};
use flowlog_tests::{
    Bpffs, Daemon, Ended, duckdb, files_under, flowlog, flowlog_binary, quiet_tun, root, wait_for,
};
use serde_json::Value;

/// The interface whose packets the golden spools and pins have.
pub const INTERFACE: &str = "flgold0";
/// The gateway that they were counted for.
pub const GATEWAY: &str = "golden";

/// The golden files of a kind, of each generation.
pub fn generations(kind: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/golden");
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
    found.sort();
    assert!(!found.is_empty(), "no golden {kind}");
    found
}

pub fn expected(generation: &Path) -> Value {
    serde_json::from_slice(&fs::read(generation.join("expected.json")).unwrap()).unwrap()
}

/// Copies a directory, for its owner alone, as flowlog makes its own.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::write(&to, fs::read(&from).unwrap()).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Each file below a directory, and what is in it.
pub fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    files_under(directory).into_iter().map(read).collect()
}

/// The rows of the golden files, as DuckDB reads them from a store.
pub fn flow_rows(store: &Path) -> Vec<Value> {
    rows(
        store,
        &format!(
            "SELECT gateway, interface, epoch_ms(flow_start), epoch_ms(flow_end), member_ip, remote_ip,
                member_port, remote_port, protocol, icmp_type, icmp_code,
                packets_up, bytes_up, packets_down, bytes_down, tcp_flags_up, tcp_flags_down,
                initiator, partial
             FROM flows WHERE flow_start < {LATER}"
        ),
    )
}

/// What the ledger has seen, by window, as DuckDB reads it from a store.
pub fn ledger_rows(store: &Path) -> Vec<Value> {
    rows(
        store,
        &format!(
            "SELECT gateway, epoch_ms(window_start), interface, direction,
                sum(packets_seen)::BIGINT, sum(bytes_seen)::BIGINT
             FROM ledger WHERE window_start < {LATER} AND packets_seen > 0 GROUP BY ALL"
        ),
    )
}

/// After all golden files, and before all tests.
const LATER: &str = "TIMESTAMPTZ '2026-03-02 00:00:00+00'";

/// Rows as arrays, in the order of their texts.
pub fn rows(store: &Path, question: &str) -> Vec<Value> {
    let question = format!("SELECT json_array(*COLUMNS(*)) AS row FROM ({question})");
    let mut rows: Vec<Value> =
        duckdb(store, &question).into_iter().map(|mut row| row["row"].take()).collect();
    rows.sort_by_key(Value::to_string);
    rows
}

/// Fails unless the store has each row of the golden files once, and none besides.
pub fn assert_rows(store: &Path, expected: &Value) {
    assert_same(&flow_rows(store), &expected["flows"]);
    assert_same(&ledger_rows(store), &expected["ledger"]);
}

/// Fails with the rows that are only on one side.
pub fn assert_same(found: &[Value], expected: &Value) {
    let expected = expected.as_array().unwrap();
    let without = |rows: &[Value], others: &[Value]| -> Vec<String> {
        let mut others = others.to_vec();
        let is_alone = |row: &&Value| match others.iter().position(|other| other == *row) {
            Some(place) => {
                others.swap_remove(place);
                false
            }
            None => true,
        };
        rows.iter().filter(is_alone).map(Value::to_string).collect()
    };
    let nothing: [Vec<String>; 2] = [vec![], vec![]];
    let [only_found, only_expected] = [without(found, expected), without(expected, found)];
    assert_eq!([only_found, only_expected], nothing, "[found, expected]");
}

pub fn verify(store: &Path) -> Ended {
    flowlog(&["verify", "--format", "json", "--store", store.to_str().unwrap()])
}

/// The same, reading every page.
pub fn verify_deep(store: &Path) -> Ended {
    flowlog(&["verify", "--deep", "--format", "json", "--store", store.to_str().unwrap()])
}

/// A gateway with an interface on which nothing is sent.
pub struct Rig {
    pub netns: Netns,
    _tun: Tun,
    pub bpffs: Bpffs,
    directory: tempfile::TempDir,
}

impl Rig {
    pub fn new() -> Self {
        let (netns, tun) = quiet_tun(INTERFACE);
        Self { netns, _tun: tun, bpffs: Bpffs::mount(), directory: tempfile::tempdir().unwrap() }
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub fn spool(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    /// Arguments of a daemon with maps for so many flows.
    fn arguments(&self, [flows_v4, flows_v6, overflow]: [u32; 3]) -> Vec<String> {
        let configuration = self.directory.path().join("flowlog.toml");
        let lines = format!(
            "profile = \"flows\"\nmax_flows_v4 = {flows_v4}\nmax_flows_v6 = {flows_v6}\n\
             max_overflow = {overflow}\nwindow = \"1s\"\ndrain_interval = \"500ms\"\n"
        );
        fs::write(&configuration, lines).unwrap();
        let (spool, store, pins) = (self.spool(), self.store(), self.bpffs.base());
        let paths = [
            ("--config", &configuration),
            ("--spool", &spool),
            ("--store", &store),
            ("--pins", &pins),
        ];
        let paths = paths.map(|(name, path)| [name.to_owned(), path.to_str().unwrap().to_owned()]);
        let named = ["--gateway", GATEWAY, "--interface", INTERFACE].map(ToOwned::to_owned);
        [paths.concat(), named.to_vec()].concat()
    }

    /// Runs a daemon until the store has this many packets, and stops it in order.
    pub fn run_until_stored(&self, sizes: [u32; 3], packets: u64) -> Ended {
        let arguments = self.arguments(sizes);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut daemon = Daemon::start(&self.netns, &arguments);
        daemon.wait_for("attached");
        wait_for("the golden packets to be stored", || stored(&self.store()) >= packets);
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended
    }

    /// Runs a daemon for longer than it takes to publish what is there, whether it publishes it or not.
    pub fn run_for_a_while(&self, sizes: [u32; 3]) -> Ended {
        let arguments = self.arguments(sizes);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let daemon = Daemon::start(&self.netns, &arguments);
        std::thread::sleep(Duration::from_secs(4));
        daemon.terminate()
    }

    /// How `flowlog run` ended by itself; `None` where it did not, and was killed.
    pub fn refusal(&self, sizes: [u32; 3]) -> Option<Ended> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let said = self.directory.path().join("said");
        let mut child = self
            .netns
            .command(flowlog_binary())
            .unwrap()
            .arg("run")
            .args(self.arguments(sizes))
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let status = loop {
            let status = child.try_wait().unwrap();
            if status.is_some() || started.elapsed() > PATIENCE {
                break status;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let stderr = fs::read_to_string(said).unwrap();
        println!("{stderr}");
        status.map(|status| Ended {
            code: status.code().unwrap_or(-1),
            stdout: String::new(),
            stderr,
        })
    }
}

fn stored(store: &Path) -> u64 {
    let ended = verify(store);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    report["packets"].as_u64().unwrap_or(0)
}

/// Packets of rows of a ledger.
pub fn packets(ledger: &Value) -> u64 {
    let rows = ledger.as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().rev().nth(1).unwrap().as_u64().unwrap()).sum()
}
