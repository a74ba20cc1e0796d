//! What is recorded of whom: the profiles, as the loaded kernel program keeps to them.

use std::{
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use flowlog::{
    capture::MapSizes,
    config::{Config, File},
    record::{
        clock::{self, Utc},
        epoch::{Entries, Epoch},
        policy::Policy,
    },
};
use flowlog_common::{
    flow::{Direction, FlowCounters, detail, partial},
    total::Count,
};
use flowlog_tests::{Daemon, Loaded, duckdb, flowlog, quiet_tun};

const SIZES: MapSizes = MapSizes { flows_v4: 64, flows_v6: 64, overflow: 64, interfaces: 4 };
const V4_BYTES: u64 = 28;
const V6_BYTES: u64 = 48;

fn policy(text: &str) -> Policy {
    let file = File::parse(&format!("interfaces = [\"lo\"]\n{text}")).unwrap();
    Config::from_file(file, "gw1").unwrap().policy
}

/// Orders for these members, from now on for so long.
fn targeted(members: &[&str], lasts: Duration) -> Policy {
    let (from, to) = (clock::now(), clock::now().plus(lasts));
    let target = |member: &&str| {
        format!("[[targets]]\nprefix = \"{member}\"\nfrom = \"{from}\"\nto = \"{to}\"\n")
    };
    let targets: String = members.iter().map(target).collect();
    policy(&format!("profile = \"targeted\"\n{targets}"))
}

/// A UDP packet from 192.0.2.1 to 10.0.0.`member`.
fn packet_to_v4(member: u8) -> Vec<u8> {
    let mut packet = packet_v4(member, 1);
    packet[12..20].rotate_left(4);
    packet
}

/// A UDP packet from 10.0.0.`member` to 192.0.2.`remote`.
fn packet_v4(member: u8, remote: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
    packet.extend([10, 0, 0, member, 192, 0, 2, remote]);
    packet.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    packet
}

/// The same from `2001:db8::member` to `2001:db8:1::remote`.
fn packet_v6(member: u16, remote: u16) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
    packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, member).octets());
    packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, remote).octets());
    packet.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    packet
}

fn sum<K>(entries: &Entries<K, FlowCounters>) -> Count {
    let mut sum = Count::default();
    for counters in &entries.values {
        sum.add(counters.packets_up, counters.bytes_up);
    }
    sum
}

/// Packets from members: seen, excluded.
fn totals(epoch: &Epoch) -> (Count, Count) {
    let totals = &epoch.totals[0].1[Direction::Up as usize];
    (totals.seen, totals.excluded)
}

#[test]
fn for_attribution_the_other_side_is_not_even_in_the_kernels_memory() {
    let policy = policy("profile = \"attribution\"");
    let mut loaded = Loaded::with_policy(SIZES, &policy);
    for remote in 1..=3 {
        loaded.run("up_l3", &packet_v4(7, remote), 1);
        loaded.run("up_l3", &packet_v6(7, u16::from(remote)), 1);
    }
    let epoch = loaded.drain();
    let (v4, v6) = (&epoch.flows_v4, &epoch.flows_v6);
    // One entry for all that the member did from this port.
    assert_eq!((v4.len(), v6.len()), (1, 1));
    assert_eq!((v4.keys[0].remote, v4.keys[0].remote_port), ([0; 4], [0; 2]));
    assert_eq!((v6.keys[0].remote, v6.keys[0].remote_port), ([0; 16], [0; 2]));
    assert_eq!((v4.keys[0].member, v4.keys[0].member_port), ([10, 0, 0, 7], [0x9c, 0x40]));
    assert_eq!(
        (v4.keys[0].detail, v6.keys[0].detail),
        (detail::WITHOUT_REMOTE, detail::WITHOUT_REMOTE)
    );
    assert_eq!(sum(v4), Count { packets: 3, bytes: 3 * V4_BYTES });
    assert_eq!(sum(v6), Count { packets: 3, bytes: 3 * V6_BYTES });
    assert_eq!(totals(&epoch).0, Count { packets: 6, bytes: 3 * (V4_BYTES + V6_BYTES) });

    // Nor in the fragment cache: a later fragment does not know its first one.
    let (mut first, mut later) = (packet_v4(7, 1), packet_v4(7, 1));
    first[6] = 0x20;
    later[7] = 1;
    loaded.run("up_l3", &first, 1);
    loaded.run("up_l3", &later, 1);
    let epoch = loaded.drain();
    let reasons = epoch.flows_v4.values.iter().map(FlowCounters::partial);
    assert_eq!(reasons.fold(0, |all, reason| all | reason), partial::FRAGMENT_WITHOUT_FIRST);
    assert_eq!(sum(&epoch.flows_v4), totals(&epoch).0);
}

#[test]
fn only_members_under_an_order_are_recorded_and_the_rest_is_counted() {
    let policy = targeted(&["10.0.0.4/30", "2001:db8::7"], Duration::from_hours(1));
    let mut loaded = Loaded::with_policy(SIZES, &policy);
    for member in 1..=8 {
        loaded.run("up_l3", &packet_v4(member, 1), 1);
        loaded.run("up_l3", &packet_v6(u16::from(member), 1), 1);
    }
    let epoch = loaded.drain();
    let mut members: Vec<u8> = epoch.flows_v4.keys.iter().map(|key| key.member[3]).collect();
    members.sort_unstable();
    assert_eq!(members, [4, 5, 6, 7]);
    assert_eq!(epoch.flows_v6.len(), 1);
    assert_eq!(epoch.flows_v6.keys[0].member[15], 7);
    let (seen, excluded) = totals(&epoch);
    assert_eq!(seen, Count { packets: 16, bytes: 8 * (V4_BYTES + V6_BYTES) });
    assert_eq!(excluded, Count { packets: 11, bytes: 4 * V4_BYTES + 7 * V6_BYTES });

    // The remote side of a member is none, until packets go to it as to a member.
    loaded.run("down_l3", &packet_v4(4, 5), 1);
    assert!(loaded.drain().flows_v4.is_empty());
    loaded.run("down_l3", &packet_to_v4(4), 1);
    assert_eq!(loaded.drain().flows_v4.keys[0].member, [10, 0, 0, 4]);
}

/// A program that was given a packet of 10.0.0.7 within its order, and when that ends. On a busy or
/// an emulated machine the verifier takes its time, so that an order may have to be longer.
fn loaded_before_an_order_ends(lasts: Duration) -> (Loaded, Utc) {
    let began = Instant::now();
    let policy = targeted(&["10.0.0.7"], lasts);
    let end = policy.targets[0].periods[0].1;
    let mut loaded = Loaded::with_policy(SIZES, &policy);
    loaded.run("up_l3", &packet_v4(7, 1), 1);
    if clock::now() < end {
        return (loaded, end);
    }
    loaded_before_an_order_ends(2 * began.elapsed())
}

/// Nothing in user space runs between the two packets.
#[test]
fn an_order_ends_on_time_by_the_kernels_own_clock() {
    let (mut loaded, end) = loaded_before_an_order_ends(Duration::from_secs(1));
    while clock::now() <= end.plus(Duration::from_millis(50)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    loaded.run("up_l3", &packet_v4(7, 2), 1);
    let epoch = loaded.drain();
    assert_eq!(epoch.flows_v4.keys.iter().map(|key| key.remote[3]).collect::<Vec<_>>(), [1]);
    assert_eq!(totals(&epoch).1, Count { packets: 1, bytes: V4_BYTES });
}

#[test]
fn a_profile_that_is_not_used_costs_no_instruction() {
    let size = |policy: &Policy| {
        let mut loaded = Loaded::with_policy(SIZES, policy);
        let info = loaded.program.classifier("up_l3").unwrap().info().unwrap();
        info.size_translated().unwrap()
    };
    let flows = size(&Policy::FLOWS);
    let targets = size(&targeted(&["10.0.0.7"], Duration::from_hours(1)));
    assert!(flows < targets, "{flows} bytes for everybody, {targets} bytes for some");
}

#[test]
fn rows_for_attribution_name_no_remote_and_verify_balances() {
    let directory = tempfile::tempdir().unwrap();
    let (file, store) = (directory.path().join("flowlog.toml"), directory.path().join("store"));
    std::fs::write(&file, "profile = \"attribution\"\n").unwrap();
    let (gateway, tun) = quiet_tun("fltun");
    let store_text = store.to_str().unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--store", store_text];
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    for remote in 1..=5 {
        nix::unistd::write(&tun, &packet_v4(7, remote)).unwrap();
    }
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let question = "SELECT member_ip, member_port, remote_ip, remote_port, protocol,
        packets_up::INT AS packets, partial FROM flows";
    let rows = duckdb(&store, question);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["member_ip"], "10.0.0.7");
    assert_eq!((&rows[0]["member_port"], &rows[0]["packets"]), (&40_000.into(), &5.into()));
    for unknown in ["remote_ip", "remote_port", "partial"] {
        assert!(rows[0][unknown].is_null(), "{unknown}: {rows:?}");
    }
    let verified = flowlog(&["verify", "--store", store_text]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
}
