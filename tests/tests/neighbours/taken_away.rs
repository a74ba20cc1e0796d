//! Flowlog is taken away from its hook, its interface gets another name, or its pins are removed: it
//! counts again within a drain, and the ledger names the time in between.

use std::{fs, time::Duration};

use flowlog_tests::{has_tcx, wait_for};

use crate::cable::{Cable, NEAR, two_drains};

#[test]
fn a_discipline_that_somebody_removes_is_made_again_and_the_time_is_a_gap() {
    let cable = Cable::new();
    let daemon = cable.start_durable(NEAR, &["--attach", "clsact"]);
    cable.send_up(10);
    two_drains();
    cable.tc(&format!("qdisc del dev {NEAR} clsact"));
    cable.send_up(5);
    two_drains();
    cable.send_up(7);
    two_drains();
    let ended = cable.end(daemon);
    assert!(ended.stderr.contains("somebody took flowlog away"), "{}", ended.stderr);
    let [up, _] = cable.ledger();
    assert_eq!((up.seen, up.on_interface), (17, Some(22)));
    let gaps = cable.gaps();
    assert!(!gaps.is_empty(), "{}", ended.stderr);
    for (reason, length) in gaps {
        assert!(reason == "detached" && length < 1_000 || reason == "not_reached", "{length} ms");
    }
}

#[test]
fn a_link_that_somebody_detaches_is_made_again_and_the_time_is_a_gap() {
    if !has_tcx() {
        return;
    }
    let cable = Cable::new();
    let mut daemon = cable.start_durable(NEAR, &[]);
    cable.send_up(10);
    two_drains();
    let link = cable.bpffs.base().join("gw");
    let layout = fs::read_dir(link).unwrap().map(|entry| entry.unwrap().path());
    let layout = layout.into_iter().find(|path| path.join("CONTROL").exists()).unwrap();
    let pins = fs::read_dir(layout).unwrap().map(|entry| entry.unwrap().path());
    let is_up = |path: &std::path::PathBuf| path.to_str().unwrap().ends_with("-up");
    detach(&pins.into_iter().find(is_up).unwrap());
    cable.send_up(5);
    daemon.wait_for("somebody took flowlog away");
    two_drains();
    cable.send_up(7);
    two_drains();
    let ended = cable.end(daemon);
    assert!(ended.stderr.contains("somebody took flowlog away"), "{}", ended.stderr);
    let [up, _] = cable.ledger();
    assert_eq!((up.seen, up.on_interface), (17, Some(22)));
    assert!(cable.gaps().iter().any(|(reason, _)| reason == "detached"), "{:?}", cable.gaps());
}

/// As `bpftool link detach` does it.
fn detach(pin: &std::path::Path) {
    let path = std::ffi::CString::new(pin.to_str().unwrap()).unwrap();
    let call = |command: libc::c_int, words: &mut [u64; 2]| {
        // SAFETY: the attribute has the size that is said, and the path outlives the call.
        unsafe { libc::syscall(libc::SYS_bpf, command, words.as_mut_ptr(), size_of_val(words)) }
    };
    let link = call(7, &mut [path.as_ptr().expose_provenance() as u64, 0]);
    assert!(link >= 0, "{}", std::io::Error::last_os_error());
    assert_eq!(call(34, &mut [link.cast_unsigned(), 0]), 0);
    assert!(nix::unistd::close(i32::try_from(link).unwrap()).is_ok());
}

#[test]
fn pins_that_somebody_removes_are_made_again_and_nothing_is_lost() {
    let cable = Cable::new();
    let daemon = cable.start_durable(NEAR, &[]);
    cable.send_up(10);
    let gateway = cable.bpffs.base().join("gw");
    fs::remove_dir_all(&gateway).unwrap();
    cable.send_up(5);
    wait_for("the pins to be there again", || gateway.exists());
    two_drains();
    // Killed, it goes on counting by what was made again.
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    cable.send_up(7);
    let daemon = cable.start_durable(NEAR, &[]);
    cable.end(daemon);
    let [up, _] = cable.ledger();
    assert_eq!(up.seen, 22);
    assert_eq!(cable.gaps(), []);
}

#[test]
fn an_interface_that_is_renamed_is_counted_all_the_while() {
    let cable = Cable::new();
    let daemon = cable.start_durable("flnea*", &[]);
    let mut name = NEAR.to_owned();
    for number in 0..6 {
        let next = format!("flnea{number}");
        cable.rename(&name, &next);
        name = next;
        cable.send_up(10);
        std::thread::sleep(Duration::from_millis(200));
        cable.send_up(10);
    }
    let ended = cable.end(daemon);
    let [up, _] = cable.ledger();
    assert_eq!((up.seen, up.on_interface), (120, Some(120)), "{}", ended.stderr);
    assert_eq!(cable.gaps(), []);
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
}

/// An interface that gets a name which is not wanted is not counted, and back under the old one it is.
#[test]
fn a_name_that_is_not_wanted_ends_counting() {
    let cable = Cable::new();
    let mut daemon = cable.start_durable(NEAR, &[]);
    cable.send_up(10);
    cable.rename(NEAR, "other");
    daemon.wait_for("gone");
    cable.send_up(5);
    cable.rename("other", NEAR);
    daemon.wait_for("attached");
    cable.send_up(7);
    cable.end(daemon);
    assert_eq!(cable.ledger()[0].seen, 17);
}

/// What nobody was there to see: while no daemon lived, its link was detached.
#[test]
fn what_was_detached_while_no_daemon_lived_is_a_gap() {
    let cable = Cable::new();
    let daemon = cable.start_durable(NEAR, &["--attach", "clsact"]);
    cable.send_up(10);
    two_drains();
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    cable.tc(&format!("qdisc del dev {NEAR} clsact"));
    cable.send_up(5);
    let daemon = cable.start_durable(NEAR, &["--attach", "clsact"]);
    cable.send_up(7);
    two_drains();
    let ended = cable.end(daemon);
    assert_eq!(cable.ledger()[0].seen, 17);
    let gaps = cable.gaps();
    assert!(gaps.iter().any(|(reason, _)| reason == "detached"), "{gaps:?} {}", ended.stderr);
}

#[test]
fn beside_an_ingress_discipline_packets_are_counted_once_and_the_right_way() {
    let cable = Cable::new();
    cable.tc(&format!("qdisc add dev {NEAR} handle ffff: ingress"));
    if !has_tcx() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().to_str().unwrap();
        let arguments = ["--interface", NEAR, "--store", store];
        let refused = flowlog_tests::Daemon::start(&cable.gateway, &arguments).end();
        assert!(refused.stderr.contains("tc qdisc del dev flnear ingress"), "{}", refused.stderr);
        return;
    }
    for attach in ["clsact", "auto"] {
        let daemon = cable.start(&["--attach", attach]);
        cable.send_up(10);
        cable.send_down(5);
        let ended = cable.end(daemon);
        let is_told = ended.stderr.contains("`ingress` queueing discipline");
        assert_eq!(is_told, attach == "clsact", "{}", ended.stderr);
    }
    let [up, down] = cable.ledger();
    assert_eq!((up.seen, up.on_interface), (20, Some(20)));
    assert!(down.seen >= 10 && Some(down.seen) == down.on_interface, "{down:?}");
}

/// A drain that is late by more than a window: the row of the window in which its epoch ended says
/// since when it was observed, and so do readers of an instant.
#[test]
fn the_row_of_an_epoch_that_reaches_into_the_next_window_says_when_it_began() {
    let cable = Cable::new();
    let daemon = cable.start(&[]);
    cable.send_up(10);
    two_drains();
    daemon.signal(nix::sys::signal::Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(2_500));
    cable.send_up(5);
    daemon.signal(nix::sys::signal::Signal::SIGCONT);
    two_drains();
    cable.end(daemon);
    assert_eq!(cable.ledger()[0].seen, 15);
    assert!(cable.reaches_back(), "an epoch of more than two windows");
}
