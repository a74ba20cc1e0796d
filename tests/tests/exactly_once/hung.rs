//! A disk that hangs under a local store: whoever waits for it cannot be ended, so nobody who counts
//! waits for it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use flowlog_tests::{HangingDisk, flowlog};

use crate::rig::{BYTES, Rig, Sender, in_rows, kill};

/// Longer than `shutdown_timeout`, and whatever a slow machine needs besides.
const SOON: Duration = Duration::from_secs(12);

fn rig_on(disk: &HangingDisk) -> Rig {
    let mut rig = Rig::new();
    disk.path().join("store").to_str().unwrap().clone_into(&mut rig.store);
    "shutdown_timeout = \"2s\"\n".clone_into(&mut rig.configuration);
    rig
}

#[test]
fn a_disk_that_hangs_keeps_a_daemon_neither_from_counting_nor_from_ending() {
    let disk = HangingDisk::new();
    let rig = rig_on(&disk);
    let mut daemon = rig.attached();
    let mut sender = Sender::start(&rig);
    std::thread::sleep(Duration::from_secs(2));
    let mut sent = 0;
    // In the middle of a put, and before the store is opened.
    for _ in 0..2 {
        disk.hang();
        std::thread::sleep(Duration::from_secs(1));
        // Nobody counts between a stop and the next start.
        sent += sender.stop();
        let begin = Instant::now();
        let ended = daemon.terminate();
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("stored when flowlog starts again"), "{}", ended.stderr);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        daemon = rig.attached();
        sender = Sender::start(&rig);
        std::thread::sleep(Duration::from_secs(1));
        disk.go_on();
    }
    sent += sender.stop();
    rig.end(daemon);
    let verified = flowlog(&["verify", "--store", &rig.store]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert_eq!(in_rows(Path::new(&rig.store)), (sent, sent * BYTES));
}

#[test]
fn a_put_that_a_killed_daemon_left_to_a_disk_that_hangs_undoes_nothing() {
    let disk = HangingDisk::new();
    let rig = rig_on(&disk);
    let daemon = rig.attached();
    let sender = Sender::start(&rig);
    std::thread::sleep(Duration::from_secs(2));
    disk.hang();
    std::thread::sleep(Duration::from_secs(1));
    kill(daemon);
    let daemon = rig.attached();
    std::thread::sleep(Duration::from_secs(1));
    disk.go_on();
    rig.assert_complete(daemon, sender.stop());
}
