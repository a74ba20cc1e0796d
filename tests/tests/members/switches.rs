//! Addresses, endpoints and members that change places.

use std::{collections::BTreeSet, net::IpAddr, thread::sleep, time::Duration};

use flowlog::{
    demo::GATEWAY,
    record::clock::{self, Utc},
};
use flowlog_tests::{KernelClock, WallClock, sysctl};
use ipnet::IpNet;
use serde_json::json;

use super::{
    journal::Journal,
    site::{Name, POLL, Site},
};

const ONE: &[Name] = &[("gw1", "default")];
/// So long nothing changes before and after something does.
const WHILE: Duration = Duration::from_secs(5);

fn address(number: u8) -> IpAddr {
    IpAddr::from([10, 66, 0, number])
}

fn prefix(number: u8) -> IpNet {
    address(number).into()
}

fn assigned(member: usize, number: u8) -> (usize, String) {
    (member, prefix(number).to_string())
}

/// A member connects, and sends a packet, so that there is a tunnel.
fn connect(site: &mut Site, member: usize, gateway: usize, number: u8) {
    site.members.connect(member, gateway);
    site.members.send(member, address(number), GATEWAY[0]);
}

/// An instant in the middle of the time that passes.
fn pass() -> Utc {
    sleep(WHILE / 2);
    let middle = clock::now();
    sleep(WHILE / 2);
    middle
}

#[test]
fn an_address_that_two_others_have_within_a_second_is_never_taken_for_anothers() {
    let _clock = KernelClock::good();
    let mut site = Site::new(ONE, 3);
    let mut journal = Journal::default();
    site.members.assign(0, &[assigned(0, 10), assigned(1, 11), assigned(2, 12)]);
    site.run();
    for (member, number) in [(0, 10), (1, 11), (2, 12)] {
        connect(&mut site, member, 0, number);
    }
    sleep(WHILE);
    let begin = clock::now();
    journal.give([prefix(10)], Some(0), || ());
    sleep(WHILE);
    let give = |member, own| {
        site.members.assign(0, &[(member, format!("{},{}", prefix(own), prefix(10)))]);
    };
    journal.give([prefix(10)], Some(1), || give(1, 11));
    sleep(Duration::from_millis(300));
    // For a moment it is nobody's.
    journal.give([prefix(10)], None, || site.members.assign(0, &[assigned(1, 11)]));
    sleep(Duration::from_millis(100));
    journal.give([prefix(10)], Some(2), || give(2, 12));
    let given = clock::now();
    sleep(WHILE);
    site.finish();

    let mut identified = BTreeSet::new();
    let mut at = begin.plus(Duration::from_millis(50));
    while at < given.plus(WHILE / 2) {
        let answer = site.ask(address(10), at, &[]);
        let holders = journal.holders(&prefix(10), at);
        assert_ne!(answer.outcome, "none", "{answer:#?}");
        let far = !journal.is_near_change(&prefix(10), at, 2 * POLL) || at < begin.plus(WHILE / 2);
        if let Some(member) = answer.identified() {
            assert!(holders.contains(&Some(member)), "{holders:?} {answer:#?}");
            identified.insert(member);
        } else {
            assert!(!far, "{holders:?} {answer:#?}");
            assert_eq!((answer.code, answer.outcome.as_str()), (4, "ambiguous"), "{answer:#?}");
        }
        at = at.plus(Duration::from_millis(100));
    }
    assert_eq!(identified, [0, 2].into());
}

#[test]
fn three_endpoints_of_a_member_are_one_session_in_three_segments() {
    let _clock = KernelClock::good();
    let mut site = Site::new(ONE, 1);
    site.members.assign(0, &[assigned(0, 10)]);
    site.run();
    connect(&mut site, 0, 0, 10);
    let mut instants = vec![(pass(), 20_000)];
    for port in [31_001, 31_002] {
        site.members.roam(0, port);
        site.members.send(0, address(10), GATEWAY[0]);
        instants.push((pass(), port));
    }
    site.finish();
    let mut sessions = BTreeSet::new();
    for (segment, (at, port)) in instants.iter().enumerate() {
        let answer = site.ask(address(10), *at, &[]);
        assert_eq!(answer.identified(), Some(0), "{answer:#?}");
        let candidate = &answer.whole["candidates"][0];
        assert_eq!(candidate["segment"], segment, "{answer:#?}");
        assert_eq!(candidate["outer_ip"], "192.168.79.2", "{answer:#?}");
        assert_eq!(candidate["outer_port"], *port, "{answer:#?}");
        sessions.insert(candidate["session_id"].to_string());
    }
    assert_eq!(sessions.len(), 1);
    // The subscriber is certain all along, also where the endpoint is not known.
    let (mut at, end) = (instants[0].0, instants[2].0);
    while at < end {
        let answer = site.ask(address(10), at, &[]);
        assert_eq!(answer.identified(), Some(0), "{answer:#?}");
        at = at.plus(Duration::from_millis(200));
    }
}

#[test]
fn a_packet_from_member_to_member_is_evidence_of_both() {
    let _clock = KernelClock::good();
    let mut site = Site::new(ONE, 2);
    let (gateway, interface) = (&site.members.gateway, site.members.interface(0));
    sysctl(gateway, "ipv4/ip_forward", "1");
    gateway.ip(&["route", "add", "10.66.0.0/24", "dev", interface]).unwrap();
    site.members.assign(0, &[assigned(0, 10), assigned(1, 11)]);
    site.run();
    connect(&mut site, 0, 0, 10);
    connect(&mut site, 1, 0, 11);
    sleep(WHILE);
    site.members.send(0, address(10), address(11));
    let at = clock::now();
    sleep(WHILE);
    site.finish();
    for (member, own, other, bytes) in [(0, 10, 11, [32, 0]), (1, 11, 10, [0, 32])] {
        let remote = address(other).to_string();
        // The packet came a moment before.
        let answer = site.ask_about(address(own), at, "1s", &["--remote", &remote]);
        assert_eq!(answer.identified(), Some(member), "{answer:#?}");
        let evidence = &answer.whole["candidates"][0]["evidence"];
        let found = ["flows", "bytes_up", "bytes_down"].map(|key| evidence[key].clone());
        assert_eq!(found, [json!(1), json!(bytes[0]), json!(bytes[1])], "{answer:#?}");
    }
}

#[test]
fn a_member_who_moves_from_one_gateway_to_the_other_is_the_same_subscriber() {
    const GATEWAYS: &[Name] = &[("gw1", "default"), ("gw2", "default")];
    let _clock = KernelClock::good();
    let mut site = Site::new(GATEWAYS, 1);
    for gateway in [0, 1] {
        site.members.assign(gateway, &[assigned(0, 10)]);
    }
    site.run();
    let mut instants = vec![];
    for gateway in [0, 1] {
        connect(&mut site, 0, gateway, 10);
        instants.push(pass());
    }
    site.finish();
    let outcome = |at, gateway| {
        let answer = site.ask(address(10), at, &["--gateway", gateway]);
        (answer.outcome.clone(), answer.has_reason("idle"))
    };
    for at in &instants {
        let answer = site.ask(address(10), *at, &[]);
        assert_eq!(answer.identified(), Some(0), "{answer:#?}");
    }
    let (identified, idle) = (("identified".into(), false), ("undetermined".into(), true));
    assert_eq!(
        [outcome(instants[0], "gw1"), outcome(instants[0], "gw2")],
        [identified.clone(), idle]
    );
    // The keys of the first gateway live on for three minutes.
    assert_eq!(
        [outcome(instants[1], "gw1"), outcome(instants[1], "gw2")],
        [(); 2].map(|()| identified.clone())
    );
}

#[test]
fn of_two_gateways_with_the_same_addresses_a_realm_or_a_gateway_tells_which() {
    const GATEWAYS: &[Name] = &[("gw1", "north"), ("gw2", "south")];
    let _clock = KernelClock::good();
    let mut site = Site::new(GATEWAYS, 2);
    for member in [0, 1] {
        site.members.assign(member, &[assigned(member, 10)]);
    }
    site.run();
    for member in [0, 1] {
        connect(&mut site, member, member, 10);
    }
    let at = pass();
    site.finish();
    let answer = site.ask(address(10), at, &[]);
    assert_eq!((answer.code, answer.members.len()), (4, 2), "{answer:#?}");
    assert!(answer.has_reason("realms"), "{answer:#?}");
    for (member, (gateway, realm)) in GATEWAYS.iter().enumerate() {
        for more in [["--realm", realm], ["--gateway", gateway]] {
            let answer = site.ask(address(10), at, &more);
            assert_eq!((answer.code, answer.identified()), (0, Some(member)), "{answer:#?}");
        }
    }
}

#[test]
fn a_clock_that_nothing_keeps_makes_an_answer_less_than_certain_and_is_named() {
    let mut site = Site::new(ONE, 1);
    site.members.assign(0, &[assigned(0, 10)]);
    // Nothing keeps this one, whatever keeps that of the machine.
    site.run_with(&WallClock::new().variables());
    connect(&mut site, 0, 0, 10);
    let at = pass();
    site.finish();
    let answer = site.ask(address(10), at, &[]);
    assert_eq!((answer.code, answer.outcome.as_str()), (5, "undetermined"), "{answer:#?}");
    assert!(answer.has_reason("clock_unsynchronised"), "{answer:#?}");
    assert_eq!(answer.members, [0].into());
    assert!(answer.whole["clock"]["gateway_error_ms"].as_u64().unwrap() >= 16_000, "{answer:#?}");
}
