//! What outlives the daemon: it is killed, stopped, upgraded and given other sizes, and every packet
//! that passed meanwhile is counted, once.

#[path = "restart/rig.rs"]
mod rig;
#[path = "restart/uninstall.rs"]
mod uninstall;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flowlog::{
    capture::{Contents, Error, MapSizes},
    record::{clock::MonotonicNs, policy::AttachMode},
};
use flowlog_tests::{SMALL, flowlog_binary, has_tcx};

use rig::{Counting, NEAR, Rig, Sender, counted, modes, ours};

#[test]
fn what_passes_while_no_daemon_lives_is_there_for_the_next_one() {
    for mode in modes() {
        let rig = Rig::new();
        let first = rig.start(SMALL, mode);
        assert!(!first.previous.is_continued && first.previous.maps.is_empty());
        rig.send(100);
        assert_eq!(first.counted(), [100; 2]);
        drop(first);
        rig.send(50);
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");

        let second = rig.start(SMALL, mode);
        rig.send(30);

        assert!(second.previous.is_continued && second.previous.maps.is_empty());
        assert_eq!(second.attached, [NEAR]);
        assert_eq!(second.counted(), [180; 2], "{mode:?}");
        assert_eq!(second.interruptions(), 0, "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
    }
}

#[test]
fn a_daemon_that_is_killed_loses_no_count() {
    for mode in modes() {
        let rig = Rig::new();
        let name = if mode == AttachMode::Clsact { "clsact" } else { "auto" };
        for _ in 0..3 {
            let mut child = rig.child(name);
            rig.send(100);
            // SIGKILL.
            child.kill().unwrap();
            child.wait().unwrap();
            rig.send(50);
        }
        let last = rig.start(SMALL, mode);
        rig.send(30);
        assert_eq!(last.counted(), [480; 2], "{mode:?}");
        assert_eq!(last.interruptions(), 0, "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
    }
}

#[test]
fn the_program_is_replaced_without_losing_a_packet() {
    for mode in modes() {
        let rig = Rig::new();
        let mut daemon = rig.start(SMALL, mode);
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, stopped) = (Sender::new(&rig), Arc::clone(&stop));
        let sending = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                sender.send(32).unwrap();
                sent += 32;
            }
            sent
        });
        for _ in 0..20 {
            drop(daemon);
            daemon = rig.start(SMALL, mode);
            assert!(daemon.previous.is_continued);
        }
        stop.store(true, Ordering::Relaxed);
        let sent = sending.join().unwrap();
        assert!(sent > 0);
        assert_eq!(daemon.counted(), [sent; 2], "{mode:?}");
    }
}

#[test]
fn maps_of_other_sizes_are_handed_out_with_what_they_hold() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let larger = MapSizes { flows_v4: 4096, ..SMALL };
        // Killed before it had drained the old ones: the next daemon finds them again.
        drop(rig.start(larger, mode));
        rig.send(20);

        let mut daemon = rig.start(larger, mode);
        rig.send(30);

        assert!(daemon.previous.is_continued);
        assert_eq!(daemon.counted(), [50; 2], "{mode:?}");
        assert_eq!(daemon.interruptions(), 0);
        assert_eq!(rig.programs(mode), ours());
        assert_eq!(rig.layouts().len(), 2);
        let previous = daemon.previous.maps.pop().unwrap();
        let Contents::Counts(counts) = &previous.contents else { panic!("their layout is known") };
        let slot = counts.presence.slot(NEAR).unwrap();
        assert_eq!(counted(&counts.totals, &counts.flows_v4, slot), [100; 2], "{mode:?}");
        previous.into_counts().1.remove().unwrap();
        assert_eq!(rig.layouts().len(), 1);
        rig.send(5);
        assert_eq!(daemon.counted(), [55; 2], "{mode:?}");
    }
}

#[test]
fn maps_of_an_older_layout_that_is_unknown_are_told_and_counting_goes_on() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let [layout]: [PathBuf; 1] = rig.layouts().try_into().unwrap();
        fs::rename(&layout, layout.with_file_name("v0-something-else")).unwrap();

        let mut daemon = rig.start(SMALL, mode);
        rig.send(30);

        assert!(!daemon.previous.is_continued);
        assert_eq!(daemon.counted(), [30; 2], "{mode:?}");
        assert_eq!(rig.programs(mode), ours(), "{mode:?}");
        let previous = daemon.previous.maps.pop().unwrap();
        assert!(matches!(previous.contents, Contents::Unreadable));
        previous.into_counts().1.remove().unwrap();
        assert_eq!(rig.layouts(), [layout]);
    }
}

#[test]
fn an_interface_that_went_or_is_not_wanted_any_more_keeps_its_counts_and_loses_its_program() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        rig.send(100);
        let daemon = rig.start_on(SMALL, mode, "another").unwrap();
        rig.send(7);
        rig.wait_for_no_programs(mode);
        assert_eq!(daemon.counted(), [100; 2], "{mode:?}");
        let opened = MonotonicNs::from_ns(1);
        let observed = daemon.presence.between(opened, MonotonicNs::MAX);
        let of_interface = observed.iter().find(|observed| observed.name == NEAR).unwrap();
        assert!(of_interface.was_counted && of_interface.from == opened);
        assert!(of_interface.to < MonotonicNs::MAX);
        assert!(daemon.maps.control.counted().is_empty());
        drop(daemon);

        drop(rig.start(SMALL, mode));
        rig.gateway.ip(&["link", "del", NEAR]).unwrap();
        let daemon = rig.start(SMALL, mode);
        assert_eq!(daemon.counted(), [100; 2], "{mode:?}");
        assert!(daemon.maps.control.counted().is_empty());
        let [layout]: [PathBuf; 1] = rig.layouts().try_into().unwrap();
        let links = fs::read_dir(layout).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("link-")
        });
        assert_eq!(links.count(), 0, "{mode:?}");
    }
}

#[test]
fn a_gateway_has_one_daemon_at_a_time() {
    let rig = Rig::new();
    let daemon = rig.start(SMALL, AttachMode::Auto);
    let refused = rig.start_on(SMALL, AttachMode::Auto, NEAR).err().unwrap();
    assert!(matches!(refused, Error::Running { .. }), "{refused}");
    let Counting { capture, maps, presence, .. } = daemon;
    // Its maps are still being drained.
    drop(capture);
    rig.send(1);
    let refused = rig.start_on(SMALL, AttachMode::Auto, NEAR).err();
    assert!(matches!(refused, Some(Error::Running { .. })));
    drop((maps, presence));
    drop(rig.start(SMALL, AttachMode::Auto));
}

#[test]
fn another_way_of_attaching_takes_the_place_of_the_one_before() {
    if !has_tcx() {
        return;
    }
    let rig = Rig::new();
    drop(rig.start(SMALL, AttachMode::Tcx));
    for (mode, other) in
        [(AttachMode::Clsact, AttachMode::Tcx), (AttachMode::Tcx, AttachMode::Clsact)]
    {
        let daemon = rig.start(SMALL, mode);
        assert_eq!(rig.programs(mode), ours());
        rig.wait_for_no_programs(other);
        assert_eq!(daemon.interruptions(), 1);
    }
    assert!(!rig.tc(&["qdisc", "show", "dev", NEAR]).contains("clsact"), "it was made for us");
}

#[test]
fn the_units_are_sound_and_their_configuration_is_read() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let file = flowlog::config::File::read(&packaging.join("flowlog.toml")).unwrap();
    flowlog::config::Config::from_file(file, "gw1").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = fs::read_dir(packaging).unwrap().map(|entry| entry.unwrap().path());
    let is_unit = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "service" || extension == "timer")
    };
    let mut units = vec![];
    for unit in files.filter(is_unit) {
        // It names where the program is once it is installed.
        let text = fs::read_to_string(&unit).unwrap();
        let text = text.replace("/usr/bin/flowlog", flowlog_binary().to_str().unwrap());
        units.push(directory.path().join(unit.file_name().unwrap()));
        fs::write(units.last().unwrap(), text).unwrap();
    }
    assert_eq!(units.len(), 4);
    // They want one another, and so are verified together.
    let verified = Command::new("systemd-analyze").arg("verify").args(&units).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("flowlog"), "{said}");
}
