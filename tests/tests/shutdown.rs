//! Whenever the daemon is told to end, and whatever hangs: it is gone in time, and its last line
//! reports where the counts are.

#[path = "shutdown/merge.rs"]
mod merge;
#[path = "shutdown/put.rs"]
mod put;
#[path = "shutdown/rig.rs"]
mod rig;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use flowlog_tests::{HungServer, SmallDisk, flowlog};
use nix::sys::signal::Signal;

use rig::{GRACE, Rig, TIMEOUT, last_line, terminate};

#[test]
fn told_to_end_at_any_step_of_the_start_it_is_gone_in_time_and_nothing_is_lost() {
    let rig = Rig::new();
    let (store, spool) = (rig.path("store"), rig.path("spool"));
    // Something to recover.
    std::fs::create_dir_all(Path::new(&spool).join("epochs")).unwrap();
    let run = std::fs::File::create(Path::new(&spool).join("epochs/1.run")).unwrap();
    run.set_len(256 << 20).unwrap();
    drop(run);
    let mut sent = 0;
    for ms in [0, 10, 30, 60, 100, 150, 200, 300, 400, 600, 900] {
        let daemon = rig.start(&store, Some(&spool));
        std::thread::sleep(Duration::from_millis(ms));
        let ended = terminate(daemon, TIMEOUT + GRACE);
        // Before it hears signals, it has begun nothing, and one ends it.
        let is_unborn = ended.code == -1 && ended.stderr.is_empty();
        assert!(is_unborn || [0, 3].contains(&ended.code), "{ms} ms: {ended:?}");
        // Counted as soon as a first daemon was attached; what comes before is nobody's.
        if ms >= 900 {
            rig.send(10);
            sent += 10;
        }
    }
    rig.assert_stored(sent);
}

#[test]
fn a_store_that_never_answers_does_not_hold_up_the_end() {
    let rig = Rig::new();
    let server = HungServer::start();
    let (store, spool) = (server.url(&rig.netns), rig.path("spool"));
    let mut daemon = rig.start(&store, Some(&spool));
    daemon.wait_for("attached");
    rig.send(10);
    std::thread::sleep(Duration::from_secs(3));
    let ended = terminate(daemon, TIMEOUT + GRACE);
    assert_eq!(ended.code, 3, "{ended:?}");
    for words in [" windows with 1 flow rows", &spool, "stored when flowlog starts again"] {
        assert!(last_line(&ended).contains(words), "{words:?} is not in {}", ended.stderr);
    }
    rig.assert_stored(10);
}

#[test]
fn a_full_spool_does_not_hold_up_the_end_and_the_kernel_keeps_the_counts() {
    let rig = Rig::new();
    let disk = SmallDisk::new("size=1m");
    std::os::unix::fs::symlink(disk.path(), rig.path("spool")).unwrap();
    let store = rig.path("store");
    let spool = disk.path().join("spool").display().to_string();
    let mut daemon = rig.start(&store, Some(&spool));
    daemon.wait_for("attached");
    std::thread::sleep(Duration::from_secs(1));
    disk.fill();
    rig.send(10);
    daemon.wait_for("the kernel holds the counts");
    let ended = terminate(daemon, TIMEOUT + GRACE);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(last_line(&ended).contains("in the kernel"), "{}", ended.stderr);
    disk.free();
    let mut daemon = rig.start(&store, Some(&spool));
    daemon.wait_for("attached");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(terminate(daemon, TIMEOUT + GRACE).code, 0);
    let verified = flowlog(&["verify", "--store", &store]);
    assert!(verified.stdout.contains(" 10 packets"), "{verified:?}");
}

#[test]
fn an_interrupt_while_it_ends_ends_it_at_once_and_safely_and_sigterm_again_does_not() {
    let rig = Rig::new();
    rig.configure(Duration::from_mins(1));
    let server = HungServer::start();
    for repeated in [false, true] {
        let mut daemon = rig.start(&server.url(&rig.netns), Some(&rig.path("spool")));
        daemon.wait_for("attached");
        rig.send(5);
        std::thread::sleep(Duration::from_secs(2));
        daemon.signal(Signal::SIGTERM);
        std::thread::sleep(Duration::from_millis(500));
        if repeated {
            daemon.signal(Signal::SIGTERM);
            std::thread::sleep(Duration::from_millis(500));
        }
        daemon.signal(Signal::SIGINT);
        let told = Instant::now();
        let ended = daemon.end();
        assert!(told.elapsed() < Duration::from_secs(1), "{}", ended.stderr);
        assert_eq!(ended.code, 3, "{ended:?}");
        for words in ["SIGINT", &rig.path("spool"), "starts again"] {
            assert!(last_line(&ended).contains(words), "{words:?} is not in {}", ended.stderr);
        }
    }
    rig.assert_stored(10);
}

#[test]
fn without_a_spool_a_store_that_hangs_at_the_start_does_not_hold_up_the_end() {
    let rig = Rig::new();
    let server = HungServer::start();
    let daemon = rig.start(&server.url(&rig.netns), None);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(terminate(daemon, GRACE).code, 0);
}
