//! Windows that cannot be merged: the disk of the spool is full just then, or somebody deleted its files.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use flowlog_tests::{SmallDisk, files_under, wait_for};

use crate::rig::{BYTES, Rig, Sender, assert_stored, in_rows};

/// Most of the disk is taken by runs that the store has.
#[test]
fn a_disk_that_is_full_when_a_window_is_merged_is_emptied_through_the_store() {
    let disk = SmallDisk::new("size=1000k,mode=700");
    let mut rig = Rig::new();
    rig.spool = disk.path().join("spool");
    let daemon = rig.attached();
    let sender = Sender::to_members(&rig, 50);
    std::thread::sleep(Duration::from_secs(12));
    let sent = sender.stop();
    let waits = || daemon.status().1["store"]["waiting_windows"].as_u64() != Some(0);
    std::thread::sleep(Duration::from_secs(2));
    wait_for("everything in the store", || !waits());
    rig.end(daemon);
    assert_stored(Path::new(&rig.store), sent);
    assert_eq!(in_rows(Path::new(&rig.store)), (sent, sent * BYTES));
}

#[test]
fn files_that_somebody_deletes_from_a_spool_in_use_take_nothing_with_them_that_the_store_has() {
    let mut rig = Rig::new();
    // Long enough for the deletion to come before the next window.
    rig.window = Duration::from_secs(2);
    let mut daemon = rig.attached();
    let sender = Sender::start(&rig);
    for gone in ["files", "files/*", "scratch"] {
        wait_for_a_put(&rig);
        delete(&rig.spool, gone);
        wait_for_a_put(&rig);
    }
    daemon.wait_for("while flowlog runs");
    let sent = sender.stop();
    rig.assert_complete(daemon, sent);
}

#[test]
fn windows_that_cannot_be_merged_hold_up_no_drain_and_are_reported_until_they_are_stored() {
    let rig = Rig::new();
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    wait_for_a_put(&rig);
    let files = rig.spool.join("files");
    mount(&["-t", "tmpfs", "-o", "ro,mode=700", "tmpfs", files.to_str().unwrap()]);
    let epoch = || daemon.status().1["drain"]["epoch"].as_u64().unwrap();
    wait_for("windows that wait", || {
        daemon.status().1["store"]["waiting_windows"].as_u64() > Some(2)
    });
    let (code, status) = daemon.status();
    assert_eq!(code, 1, "{status}");
    assert!(status["spool"]["merge_error"]["text"].as_str().unwrap().contains("spool"));
    let parts = status["attention"].as_array().unwrap();
    assert!(parts.iter().any(|attention| attention["part"] == "spool"), "{status}");
    // More drains than wait in any queue.
    let before = epoch();
    wait_for("a hundred drains", || epoch() > before + 100);
    let sent = sender.stop();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let place = format!("in the spool {}", rig.spool.display());
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
    let status = Command::new("umount").arg(&files).status().unwrap();
    assert!(status.success());
    rig.assert_complete(rig.attached(), sent);
}

/// Waits until the next file was put: what was drained then is in the store, and the next window is not over.
fn wait_for_a_put(rig: &Rig) {
    let newest = || {
        let ledgers = files_under(&Path::new(&rig.store).join("ledger"));
        let times = ledgers.iter().filter_map(|path| path.metadata().ok()?.modified().ok());
        times.max().unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let before = newest();
    wait_for("a put", || newest() > before);
    std::thread::sleep(Duration::from_millis(100));
}

fn delete(spool: &Path, what: &str) {
    let mut remove = Command::new("sh");
    remove.arg("-c").arg(format!("rm -rf {what}")).current_dir(spool);
    assert!(remove.status().unwrap().success());
}

fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(status.success(), "cannot mount; these tests need root");
}

#[test]
fn a_stop_and_a_start_in_an_open_window_leave_one_pair_of_files_and_no_warning() {
    let mut rig = Rig::new();
    rig.window = Duration::from_secs(4);
    let (mut sent, mut log) = (0, String::new());
    for _ in 0..4 {
        let daemon = rig.attached();
        let sender = Sender::start(&rig);
        wait_for_a_put(&rig);
        // Into the next window.
        std::thread::sleep(Duration::from_millis(500));
        sent += sender.stop();
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        log += &ended.stderr;
    }
    let store = Path::new(&rig.store);
    let files = files_under(store);
    let hours: BTreeSet<_> = files.iter().map(|path| path.parent().unwrap()).collect();
    assert_eq!(files.len(), hours.len(), "{files:#?}");
    let is_warning = |line: &&str| line.contains(" WARN ") && !line.contains("clock");
    assert_eq!(log.lines().filter(is_warning).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(in_rows(store), (sent, sent * BYTES));
}
