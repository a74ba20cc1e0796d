//! A disk that hangs under a local store: whoever waits for it cannot be ended, so nobody who counts
//! waits for it.

use std::time::{Duration, Instant};

use flowlog_tests::HangingDisk;

use crate::rig::{Rig, Sender, kill};

/// Longer than `shutdown_timeout`, and whatever a slow machine needs besides.
const SOON: Duration = Duration::from_secs(12);

fn rig_on(disk: &HangingDisk) -> Rig {
    let mut rig = Rig::new();
    rig.store = disk.path().join("store").to_str().unwrap().to_owned();
    rig.configuration = "shutdown_timeout = \"2s\"\n".to_owned();
    rig
}

#[test]
fn a_disk_that_hangs_keeps_a_daemon_neither_from_counting_nor_from_ending() {
    let disk = HangingDisk::new();
    let rig = rig_on(&disk);
    let sender = Sender::start(&rig);
    let mut daemon = rig.attached();
    std::thread::sleep(Duration::from_secs(2));
    // In the middle of a put, and before the store is opened.
    for _ in 0..2 {
        disk.hang();
        std::thread::sleep(Duration::from_secs(1));
        let begin = Instant::now();
        let ended = daemon.terminate();
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("stored when flowlog starts again"), "{}", ended.stderr);
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        daemon = rig.attached();
        std::thread::sleep(Duration::from_secs(1));
        disk.go_on();
    }
    rig.assert_complete(daemon, sender.stop());
}

#[test]
fn a_put_that_a_killed_daemon_left_to_a_disk_that_hangs_undoes_nothing() {
    let disk = HangingDisk::new();
    let rig = rig_on(&disk);
    let sender = Sender::start(&rig);
    let daemon = rig.attached();
    std::thread::sleep(Duration::from_secs(2));
    disk.hang();
    std::thread::sleep(Duration::from_secs(1));
    kill(daemon);
    let daemon = rig.attached();
    std::thread::sleep(Duration::from_secs(1));
    disk.go_on();
    rig.assert_complete(daemon, sender.stop());
}
