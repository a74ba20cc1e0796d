//! Every packet is in the store once: under kill -9 at any instant, with the store away, with the
//! disk full.

#[path = "exactly_once/away.rs"]
mod away;
#[path = "exactly_once/hung.rs"]
mod hung;
#[path = "exactly_once/rig.rs"]
mod rig;
#[path = "exactly_once/unmerged.rs"]
mod unmerged;

use std::{
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flowlog_tests::{duckdb_cli, files_under, flowlog, python, try_duckdb, wait_for};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use rig::{Rig, Sender, kill};

/// Xorshift: the same instants in each run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn two_hundred_kills_at_random_instants_lose_no_packet_and_tell_none_twice() {
    let rig = Rig::new();
    let mut daemon = rig.attached();
    let sender = Sender::start(&rig);
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..200 {
        // Also while it starts.
        std::thread::sleep(Duration::from_millis(random(&mut state) % 700));
        kill(daemon);
        daemon = rig.start();
    }
    daemon.wait_for("attached");
    let sent = sender.stop();
    assert!(sent > 10_000, "{sent}");
    rig.assert_complete(daemon, sent);
}

/// The steps from the kernel's maps to the store, by what appears when they are done.
const STEPS: [(&str, &str); 7] = [
    ("an epoch is being written", "spool/epochs/*.unfinished"),
    ("an epoch is in the spool, and the maps are not cleared", "spool/epochs/*.run"),
    ("a window is being merged", "spool/files/*/*.unfinished"),
    ("a window is merged, and its epochs are not deleted", "spool/files/*/*.run"),
    ("the flow rows are being put", "store/flows/**#"),
    ("the flow rows are put, and the ledger is not", "store/flows/**.parquet"),
    ("the ledger is put", "store/ledger/**.parquet"),
];

#[test]
fn a_kill_at_each_step_between_map_and_store_loses_and_doubles_nothing() {
    for (step, what) in STEPS {
        let rig = Rig::new();
        let mut daemon = rig.attached();
        let sender = Sender::start(&rig);
        for _ in 0..3 {
            wait_for_step(&rig, what);
            kill(daemon);
            daemon = rig.attached();
        }
        let sent = sender.stop();
        println!("{step}: {sent} packets");
        rig.assert_complete(daemon, sent);
    }
}

/// Waits until the kernel says that a file of this pattern has appeared: within microseconds.
fn wait_for_step(rig: &Rig, pattern: &str) {
    let watch = Inotify::init(InitFlags::empty()).unwrap();
    let (top, rest) = pattern.split_once('/').unwrap();
    let (folder, end) = rest.split_once('/').unwrap();
    let end = end.trim_start_matches("*/").trim_start_matches('*');
    let watched = rig.directory.path().join(top).join(folder);
    wait_for("the directory", || watched.is_dir());
    let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let mut known = vec![];
    let patience = Instant::now() + Duration::from_mins(2);
    loop {
        assert!(Instant::now() < patience, "waited in vain for {pattern}");
        // Directories that appear are watched too.
        for directory in directories(&watched) {
            if !known.contains(&directory) && watch.add_watch(&directory, events).is_ok() {
                known.push(directory);
            }
        }
        for event in watch.read_events().unwrap() {
            let name = event.name.unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(end) || (end == "#" && name.contains('#')) {
                return;
            }
        }
    }
}

fn directories(under: &Path) -> Vec<PathBuf> {
    let mut found = vec![under.to_owned()];
    for entry in std::fs::read_dir(under).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(directories(&entry.path()));
        }
    }
    found
}

/// Asks the same thirty times within one session, which keeps what it knows of a file.
fn session_that_asks(store: &Path, question: &str) -> JoinHandle<Vec<Result<Value, String>>> {
    const SESSION: &str = "
import duckdb, json, sys, time
_, views, question = sys.argv
connection = duckdb.connect()
connection.execute(views)
for _ in range(30):
    try:
        row = connection.execute(question).fetchone()
        print(json.dumps({'Ok': dict(zip((column[0] for column in connection.description), row))}))
    except duckdb.Error as error:
        print(json.dumps({'Err': str(error)}))
    time.sleep(0.2)";
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]).stdout;
    let mut python = python();
    python.args(["-c", SESSION, &views, question]);
    std::thread::spawn(move || {
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    })
}

fn assert_no_row_twice_and_none_missing(answers: &[Result<Value, String>]) {
    let mut seen = vec![];
    let mut unanswered = vec![];
    for answer in answers {
        match answer {
            Ok(row) => {
                assert_eq!(row["rows"], row["distinct_rows"], "a row twice");
                seen.push(row["packets"].as_u64().unwrap());
            }
            // It opens a file once for the footer and once more for the rows: ADR 13.
            Err(error) => {
                assert!(!error.contains("No files found"), "{error}");
                unanswered.push(error);
            }
        }
    }
    assert!(unanswered.len() < 4, "{unanswered:?}");
    assert!(seen.is_sorted(), "rows that were there are missing: {seen:?}");
    assert!(seen.first() < seen.last(), "nothing was published meanwhile: {seen:?}");
}

#[test]
fn a_reader_with_a_plain_glob_sees_no_row_twice_and_misses_none_while_a_file_grows() {
    let rig = Rig::new();
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    let store = Path::new(&rig.store);
    wait_for("the first windows", || !files_under(&store.join("ledger")).is_empty());
    let question = format!(
        "SELECT sum(packets_down)::BIGINT AS packets, count(*)::INT AS rows,
            count(DISTINCT (member_port, flow_start, flow_end, packets_down))::INT AS distinct_rows
         FROM read_parquet('{}/flows/**/*.parquet') WHERE protocol = 17 AND member_port BETWEEN 9 AND 28",
        rig.store
    );
    let session = session_that_asks(store, &question);
    // At least twenty answers, since at most three may be missing.
    let ask = |_| try_duckdb(duckdb_cli(), store, &question).map(|rows| rows[0].clone());
    let seen: Vec<_> = (0..23).map(ask).collect();
    assert_no_row_twice_and_none_missing(&seen);
    assert_no_row_twice_and_none_missing(&session.join().unwrap());
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}
