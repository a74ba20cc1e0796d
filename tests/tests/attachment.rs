//! At the hooks of an interface: by TCX or by clsact, and beside whoever else is there.

use std::{net::UdpSocket, time::Duration};

use flowlog::demo::{self, INTERFACE, Netns, Vpn};
use flowlog_tests::{Daemon, duckdb, flowlog, has_tcx, quiet_tun, veth_pair};

fn store(directory: &tempfile::TempDir) -> String {
    directory.path().join("store").to_str().unwrap().to_owned()
}

/// Runs `tc` within a namespace and returns what it prints.
fn tc(netns: &Netns, arguments: &str) -> String {
    let output = netns.command("tc").unwrap().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn has_clsact(netns: &Netns, interface: &str) -> bool {
    tc(netns, &format!("qdisc show dev {interface}")).contains("clsact")
}

#[test]
fn whatever_it_is_attached_by_it_counts_the_same() {
    let mut counted = vec![];
    for attach in ["auto", "clsact"] {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let vpn = Vpn::new().expect("these tests need root");
        let arguments = ["--store", &store, "--attach", attach];
        let daemon = Daemon::attached(&vpn.gateway, INTERFACE, &arguments);
        demo::generate(&vpn).unwrap();
        let filters = tc(&vpn.gateway, &format!("filter show dev {INTERFACE} ingress"));
        assert_eq!(filters.contains("up_l3"), attach == "clsact" || !has_tcx(), "{filters}");
        let ended = daemon.terminate();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let verified = flowlog(&["verify", "--store", &store]);
        assert_eq!(verified.code, 0, "{}", verified.stdout);
        counted.push(duckdb(
            store.as_ref(),
            "SELECT protocol, remote_port, count(*)::INT AS flows, sum(packets_up)::INT AS packets
             FROM flows WHERE remote_port = 5353 OR icmp_type IN (8, 128) GROUP BY ALL ORDER BY ALL",
        ));
    }
    assert_eq!(counted[0], counted[1]);
    assert_eq!(counted[0].len(), 3, "{counted:?}");
}

#[test]
fn tcx_is_used_where_there_is_tcx_and_refused_with_a_remedy_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, _tun) = quiet_tun("fltun");
    let store = store(&directory);
    let arguments = ["--interface", "fltun", "--store", &store, "--attach", "tcx"];
    let mut daemon = Daemon::start(&gateway, &arguments);
    if has_tcx() {
        daemon.wait_for("attached");
        assert!(!has_clsact(&gateway, "fltun"));
        assert_eq!(daemon.terminate().code, 0);
    } else {
        let ended = daemon.end();
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        assert!(ended.stderr.contains("--attach auto"), "{}", ended.stderr);
    }
}

#[test]
fn a_clsact_that_was_made_for_us_goes_with_us_and_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, _made) = quiet_tun("flmade");
    let _used = gateway.tun("flused").unwrap();
    let _there = gateway.tun("flthere").unwrap();
    tc(&gateway, "qdisc add dev flthere clsact");
    let interfaces = "flmade,flused,flthere";
    let daemon = Daemon::attached(&gateway, interfaces, &["--store", &store, "--attach", "clsact"]);
    for interface in interfaces.split(',') {
        assert!(has_clsact(&gateway, interface), "{interface}");
    }
    // Somebody else finds one and hangs a filter from it.
    tc(&gateway, "filter add dev flused egress protocol all u32 match u32 0 0 flowid 1:1");

    let ended = daemon.terminate();

    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!has_clsact(&gateway, "flmade"), "left behind");
    assert!(has_clsact(&gateway, "flthere"), "it was there before");
    let filters = tc(&gateway, "filter show dev flused egress");
    assert!(filters.contains("u32") && !filters.contains("down_l3"), "{filters}");
}

#[test]
fn packets_go_on_to_who_comes_next_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let (gateway, peer) = veth_pair("flnear", "flfar");
    tc(&gateway, "qdisc add dev flnear clsact");
    let everything = "protocol all u32 match u32 0 0 action mirred egress redirect dev lo";
    tc(&gateway, &format!("filter add dev flnear ingress {everything}"));
    let daemon = Daemon::attached(&gateway, "flnear", &["--store", &store]);
    for (netns, interface, address) in
        [(&gateway, "flnear", "10.8.0.1/24"), (&peer, "flfar", "10.8.0.2/24")]
    {
        netns.ip(&["address", "add", address, "dev", interface]).unwrap();
    }
    peer.run(|| {
        let socket = UdpSocket::bind("10.8.0.2:0")?;
        (0..20).try_for_each(|_| socket.send_to(&[0; 72], "10.8.0.1:9").map(|_| ()))
    })
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    // The filter of somebody else saw them all, and took them away as it does.
    let statistics = tc(&gateway, "-s filter show dev flnear ingress");
    assert!(statistics.contains("20 pkt"), "{statistics}");
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("20 packets, 2000 bytes"), "{}", ended.stdout);
    for hook in ["ingress", "egress"] {
        let filters = tc(&gateway, &format!("filter show dev flnear {hook}"));
        assert!(!filters.contains("bpf"), "{filters}");
    }
}
