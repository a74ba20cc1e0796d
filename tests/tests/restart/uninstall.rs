//! `flowlog uninstall`: nothing of flowlog is left, and all of others.

use flowlog::{demo::Netns, record::policy::AttachMode};
use flowlog_tests::{Counter, Place, SMALL, Side, Verdict, has_tcx};

use crate::rig::{FAR, NEAR, Rig, modes, ours};

#[test]
fn uninstalled_nothing_of_flowlog_is_left_and_all_of_others() {
    for mode in modes() {
        let rig = Rig::new();
        rig.tc(&["qdisc", "add", "dev", NEAR, "clsact"]);
        let theirs = "filter add dev flnear ingress protocol all u32 match u32 0 0 flowid 1:1";
        rig.tc(&theirs.split(' ').collect::<Vec<_>>());
        let others = has_tcx().then(|| {
            Counter::attach(&rig.gateway, NEAR, Side::Ingress, Place::First, Verdict::Next)
        });
        let daemon = rig.start(SMALL, mode);
        rig.send(10);

        let refused = rig.flowlog(&["uninstall"]);
        assert_eq!(refused.code, 3, "{}", refused.stdout);
        assert!(refused.stderr.contains("stop that one first"), "{}", refused.stderr);
        drop(daemon);
        let planned = rig.flowlog(&["uninstall", "--dry-run"]);
        assert_eq!(planned.code, 0, "{}", planned.stderr);
        assert!(planned.stdout.contains("10 maps") && planned.stdout.contains("with 1 flows"));
        assert!(rig.programs(mode).concat().contains(&"up_l2".to_owned()));

        let removed = rig.flowlog(&["uninstall", "--format", "json"]);

        assert_eq!(removed.code, 0, "{}", removed.stderr);
        let answer: serde_json::Value = serde_json::from_str(&removed.stdout).unwrap();
        let gateway = &answer["found"]["gateways"][0];
        assert_eq!(gateway["gateway"], "gw.example", "{answer}");
        assert_eq!(gateway["attached"].as_array().unwrap().len(), 2, "{answer}");
        assert!(!rig.bpffs.base().exists());
        for mode in modes() {
            rig.wait_for_no_programs(mode);
        }
        let filters = rig.tc(&["filter", "show", "dev", NEAR, "ingress"]);
        assert!(filters.contains("u32"), "{filters}");
        if let Some(others) = others {
            rig.send(5);
            assert_eq!(others.passed().buffers, 15);
        }
        let again = rig.flowlog(&["uninstall"]);
        assert_eq!((again.code, again.stdout.lines().count()), (0, 1), "{}", again.stdout);
    }
}

#[test]
fn uninstalled_from_another_network_namespace_no_interface_is_called_by_the_name_of_another() {
    for mode in modes() {
        let rig = Rig::new();
        drop(rig.start(SMALL, mode));
        let index = |netns: &Netns, name| {
            netns.run(move || Ok(nix::net::if_::if_nametoindex(name)?)).unwrap()
        };
        let near = index(&rig.gateway, NEAR);
        // Both were the first to be made after the loopback interface.
        assert_eq!(index(&rig.peer, FAR), near);
        let tc_of_peer = |what: &str| {
            let mut command = rig.peer.command("tc").unwrap();
            let output = command
                .args(["qdisc", what, "dev", FAR])
                .args((what == "add").then_some("clsact"))
                .output()
                .unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        tc_of_peer("add");

        assert!(rig.flowlog(&["uninstall", "--dry-run"]).stdout.contains("flnear up ("));
        let elsewhere = rig.flowlog_in(&rig.peer, &["uninstall"]);

        assert_eq!(elsewhere.code, 0, "{}", elsewhere.stderr);
        let said = elsewhere.stdout;
        assert!(said.contains(&format!("interface number {near} ")), "{said}");
        assert!(!said.contains(FAR) && !said.contains(NEAR), "{said}");
        assert!(tc_of_peer("show").contains("clsact"), "it is not flowlog's");
        if mode == AttachMode::Clsact {
            assert!(said.contains("run this command there too"), "{said}");
            let there = rig.flowlog(&["uninstall"]);
            assert!(there.stdout.contains("flnear up (clsact)"), "{}", there.stdout);
        }
        rig.wait_for_no_programs(mode);
    }
}

#[test]
fn filters_of_a_daemon_that_kept_nothing_and_was_killed_are_removed_too() {
    let rig = Rig::new();
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    let arguments = ["--store", store, "--attach", "clsact"];
    let daemon = flowlog_tests::Daemon::attached(&rig.gateway, NEAR, &arguments);
    let refused = rig.flowlog(&["uninstall"]);
    assert_eq!(refused.code, 3, "{}", refused.stdout);
    assert!(refused.stderr.contains(&daemon.id().to_string()), "{}", refused.stderr);
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end();
    assert_eq!(rig.programs(AttachMode::Clsact), ours());
    let removed = rig.flowlog(&["uninstall"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(rig.programs(AttachMode::Clsact), [vec![], vec![]] as [Vec<String>; 2]);
}
