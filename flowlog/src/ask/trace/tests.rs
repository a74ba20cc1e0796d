mod history;

use ipnet::IpNet;

use super::*;
use crate::record::{
    redacted::Prefix,
    session::{
        CoverageGap, CoverageReason, EndReason, Held, Instance, Outer, Peer, SessionId, Source,
        State,
    },
};

/// An instant of 2026-11-26, or of another day.
fn utc(text: &str) -> Utc {
    let text = if text.contains('T') { text.to_owned() } else { format!("2026-11-26T{text}Z") };
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn wg0() -> Instance {
    Instance { source: Source::Wireguard, name: "wg0".to_owned() }
}

/// A row of a member `m-N`, whose only session began with it.
fn row(member: u8, prefix: &str, from: &str, to: &str) -> SessionRow {
    let (peer, start) = (Peer::of(&[member; 32]), utc(from));
    SessionRow {
        session: SessionId::of("gw1", &wg0(), peer, start),
        segment: 0,
        instance: wg0(),
        realm: "default".to_owned(),
        peer,
        subscriber: Some(format!("m-{member}").into()),
        state: State::Tunnel,
        prefix: Prefix::from(prefix.parse::<IpNet>().unwrap()),
        outer: Some(Outer { address: [198, 51, 100, member].into(), port: Some(51_820) }),
        held: Held { start, end: utc(to), start_slack_ms: 0, end_slack_ms: 0 },
        session_start: start,
        session_start_slack_ms: 0,
        continues: false,
        end_reason: Some(EndReason::Disconnected),
        bytes: None,
        clock_error_ms: 12,
    }
}

const ADDRESS: &str = "10.0.0.7/32";

/// A row of the address that most tests ask for.
fn held(member: u8, from: &str, to: &str) -> SessionRow {
    row(member, ADDRESS, from, to)
}

/// Polls of a source, every five seconds of windows of five minutes.
fn polls(from: &str, to: &str) -> Vec<CoverageRow> {
    let (window, end) = (Duration::from_mins(5), utc(to));
    let windows = std::iter::successors(Some(utc(from)), |start| Some(start.plus(window)));
    let row = |start: Utc| CoverageRow {
        instance: wg0(),
        realm: "default".to_owned(),
        window: (start, start.plus(window)),
        observed: (start.plus(Duration::from_secs(2)), start.plus(Duration::from_secs(297))),
        reports: 60,
        longest_pause_ms: 5_000,
        errors: 0,
        overruns: 0,
        gap: None,
        clock_error_ms: 12,
        clock_step_ms: 0,
    };
    windows.take_while(|start| *start < end).map(row).collect()
}

fn with_gap(mut rows: Vec<CoverageRow>, from: &str, to: &str) -> Vec<CoverageRow> {
    let (start, end) = (utc(from), utc(to));
    let gap = Some(CoverageGap { start, end, reason: CoverageReason::SourceSilent });
    for row in &mut rows {
        if row.window.0 <= start && start < row.window.1 {
            row.gap = gap;
        }
    }
    rows
}

fn gateway(name: &str, sessions: Vec<SessionRow>, coverage: Vec<CoverageRow>) -> Recorded {
    let oldest = Some(utc("2026-01-01T00:00:00Z"));
    Recorded { gateway: name.to_owned(), sessions, coverage, oldest }
}

/// A gateway that was looked at all day.
fn watched(sessions: Vec<SessionRow>) -> Recorded {
    gateway("gw1", sessions, polls("2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"))
}

fn question(at: &str, error_ms: u32) -> Question {
    let address = "10.0.0.7".parse::<std::net::IpAddr>().unwrap().into();
    Question { address, at: utc(at), error_ms, realm: None }
}

/// Outcome, reasons, and each candidate with its certainty.
fn told(answer: &Answer) -> (Outcome, Vec<Reason>, Vec<(String, Certainty)>) {
    let name = |of: &Candidate| of.subscriber.as_ref().map_or("?", |of| of.in_clear()).to_owned();
    let candidates = answer.candidates.iter().map(|of| (name(of), of.certainty)).collect();
    (answer.outcome, answer.reasons.clone(), candidates)
}

fn asked(recorded: &[Recorded], at: &str, error_ms: u32) -> Answer {
    judge(&question(at, error_ms), recorded)
}

fn certain(member: &str) -> (String, Certainty) {
    (member.to_owned(), Certainty::Certain)
}

fn possible(member: &str) -> (String, Certainty) {
    (member.to_owned(), Certainty::Possible)
}

#[test]
fn a_tunnel_that_was_up_all_the_time_around_the_instant_identifies_its_subscriber() {
    let recorded = [watched(vec![held(1, "10:00:00", "11:00:00")])];
    let answer = asked(&recorded, "10:30:00", 1_000);
    assert_eq!(told(&answer), (Outcome::Identified, vec![], vec![certain("m-1")]));
    assert_eq!((answer.gateway_error_ms, answer.candidates[0].from), (12, utc("10:00:00")));
    // A millisecond further, the error of the gateway's clock reaches beyond the end.
    let answer = asked(&recorded, "10:59:58.987", 1_000);
    assert_eq!(answer.outcome, Outcome::Identified);
    let answer = asked(&recorded, "10:59:58.988", 1_000);
    let expected = (Outcome::Undetermined, vec![Reason::Fringe], vec![possible("m-1")]);
    assert_eq!(told(&answer), expected);
    assert_eq!(asked(&recorded, "11:00:01.012", 1_000).outcome, Outcome::None);
}

#[test]
fn slices_at_midnight_are_one_claim() {
    let whole = SessionRow {
        session_start: utc("2026-11-25T20:00:00Z"),
        ..held(1, "2026-11-25T22:00:00Z", "2026-11-26T01:00:00Z")
    };
    let coverage = polls("2026-11-25T00:00:00Z", "2026-11-27T00:00:00Z");
    let recorded = [gateway("gw1", whole.slices(), coverage)];
    assert_eq!(recorded[0].sessions.len(), 2);
    let answer = asked(&recorded, "2026-11-26T00:00:00Z", 60_000);
    assert_eq!(told(&answer), (Outcome::Identified, vec![], vec![certain("m-1")]));
    let Candidate { from, to, continues, .. } = answer.candidates[0];
    assert_eq!((from, to, continues), (whole.held.start, whole.held.end, false));
}

#[test]
fn who_roams_between_two_looks_holds_the_address_for_certain() {
    for (first_end, second_start, second_end) in [
        ("10:10:00", "10:10:05", "11:00:00"),
        // The change of the endpoint, or the look after it, may be at midnight.
        ("2026-11-26T23:59:58Z", "2026-11-27T00:00:03Z", "2026-11-27T02:00:00Z"),
        ("2026-11-26T23:59:55Z", "2026-11-27T00:00:00Z", "2026-11-27T02:00:00Z"),
    ] {
        let mut before = held(1, "10:00:00", first_end);
        before.held.end_slack_ms = 5_000;
        before.end_reason = Some(EndReason::Roamed);
        let mut after = SessionRow { segment: 1, ..before.clone() };
        after.outer = Some(Outer { address: [203, 0, 113, 1].into(), port: None });
        after.end_reason = Some(EndReason::Disconnected);
        after.held = Held {
            start: utc(second_start),
            end: utc(second_end),
            start_slack_ms: 5_000,
            end_slack_ms: 0,
        };
        let rows = [before.slices(), after.slices()].concat();
        let coverage = polls("2026-11-26T00:00:00Z", "2026-11-28T00:00:00Z");
        let recorded = [gateway("gw1", rows, coverage)];
        let at = utc(first_end).plus(Duration::from_secs(2));
        let answer = judge(&Question { at, ..question("10:00:00", 500) }, &recorded);
        let expected = (Outcome::Identified, vec![], vec![certain("m-1"), certain("m-1")]);
        assert_eq!(told(&answer), expected, "{first_end}");
        let endpoints: Vec<_> = answer.candidates.iter().map(|of| of.outer).collect();
        assert_eq!(endpoints, [before.outer, after.outer]);
        assert_eq!(answer.subscribers, 1);
    }
}

#[test]
fn a_tunnel_that_ended_and_came_back_is_not_certain_in_between() {
    let mut before = held(1, "10:00:00", "10:10:00");
    before.held.end_slack_ms = 5_000;
    let mut after = SessionRow { segment: 1, ..before.clone() };
    after.held.start = utc("10:10:05");
    after.held.end = utc("11:00:00");
    after.held.start_slack_ms = 5_000;
    let answer = asked(&[watched(vec![before, after])], "10:10:02", 500);
    let expected = vec![possible("m-1"), possible("m-1")];
    assert_eq!(told(&answer), (Outcome::Undetermined, vec![Reason::Fringe], expected));
}

#[test]
fn three_endpoints_are_three_candidates_of_one_subscriber() {
    let segment = |segment: u16, from: &str, to: &str| SessionRow {
        segment: segment.into(),
        session: held(1, "10:00:00", "10:00:01").session,
        end_reason: Some(EndReason::Roamed),
        outer: Some(Outer { address: [203, 0, 113, 9].into(), port: Some(segment) }),
        ..held(1, from, to)
    };
    let rows = vec![
        segment(0, "10:00:00", "10:00:10"),
        segment(1, "10:00:10", "10:00:11"),
        segment(2, "10:00:11", "10:30:00"),
    ];
    let answer = asked(&[watched(rows)], "10:00:10.500", 1_000);
    let all = vec![certain("m-1"); 3];
    assert_eq!(told(&answer), (Outcome::Identified, vec![], all));
    let segments: Vec<u32> = answer.candidates.iter().map(|of| of.segment).collect();
    assert_eq!((segments, answer.subscribers), (vec![0, 1, 2], 1));
}

#[test]
fn an_address_that_goes_to_another_member_within_a_second_is_ambiguous() {
    let rows = vec![held(1, "10:00:00", "10:10:00.300"), held(2, "10:10:00.300", "10:20:00")];
    let recorded = [watched(rows)];
    let answer = asked(&recorded, "10:10:00", 1_000);
    let both = vec![possible("m-1"), possible("m-2")];
    assert_eq!(told(&answer).0, Outcome::Ambiguous);
    let mut candidates = told(&answer).2;
    candidates.sort();
    assert_eq!((candidates, answer.reasons), (both, vec![Reason::Fringe]));
    // With good clocks, the answer is one of them.
    for (at, member) in [("10:10:00.200", "m-1"), ("10:10:00.400", "m-2")] {
        assert_eq!(told(&asked(&recorded, at, 50)).2, [certain(member)]);
    }
}

#[test]
fn an_address_without_a_tunnel_is_never_certain() {
    let idle = SessionRow { state: State::Assigned, ..held(1, "10:00:00", "11:00:00") };
    let answer = asked(&[watched(vec![idle.clone()])], "10:30:00", 0);
    let expected = (Outcome::Undetermined, vec![Reason::Idle], vec![possible("m-1")]);
    assert_eq!(told(&answer), expected);
    // The same subscriber's tunnel beside it is.
    let recorded = [watched(vec![idle, held(1, "10:20:00", "10:40:00")])];
    let answer = asked(&recorded, "10:30:00", 0);
    let expected = (Outcome::Identified, vec![], vec![certain("m-1"), possible("m-1")]);
    assert_eq!(told(&answer), expected);
}

#[test]
fn equal_pools_behind_two_gateways_are_ambiguous_until_a_realm_is_named() {
    let mut other = watched(vec![held(2, "10:00:00", "11:00:00")]);
    other.gateway = "gw2".to_owned();
    let first = watched(vec![held(1, "10:00:00", "11:00:00")]);
    let answer = asked(&[first.clone(), other.clone()], "10:30:00", 1_000);
    let both = vec![certain("m-1"), certain("m-2")];
    assert_eq!(told(&answer), (Outcome::Ambiguous, vec![], both.clone()));
    other.sessions[0].realm = "north".to_owned();
    other.coverage.iter_mut().for_each(|row| row.realm = "north".to_owned());
    let recorded = [first, other];
    let answer = asked(&recorded, "10:30:00", 1_000);
    assert_eq!(told(&answer), (Outcome::Ambiguous, vec![Reason::Realms], both));
    let realm = Some("north".to_owned());
    let answer = judge(&Question { realm, ..question("10:30:00", 1_000) }, &recorded);
    assert_eq!(told(&answer), (Outcome::Identified, vec![], vec![certain("m-2")]));
}

#[test]
fn a_member_who_moves_to_another_gateway_is_one_subscriber() {
    let mut other = watched(vec![held(1, "10:30:00.400", "11:00:00")]);
    other.gateway = "gw2".to_owned();
    let recorded = [watched(vec![held(1, "10:00:00", "10:30:00")]), other];
    let answer = asked(&recorded, "10:30:00", 1_000);
    let both = vec![possible("m-1"), possible("m-1")];
    assert_eq!(told(&answer), (Outcome::Undetermined, vec![Reason::Fringe], both));
    assert_eq!(answer.subscribers, 1);
    for at in ["10:29:58", "10:30:02"] {
        assert_eq!(told(&asked(&recorded, at, 1_000)).2, [certain("m-1")]);
    }
}

#[test]
fn of_two_members_that_talk_to_each_other_each_has_its_address() {
    let rows = vec![
        held(1, "10:00:00", "11:00:00"),
        row(2, "10.0.0.8/32", "10:00:00", "11:00:00"),
        row(3, "10.0.0.70/32", "10:00:00", "11:00:00"),
    ];
    let recorded = [watched(rows)];
    for (address, member) in [([10, 0, 0, 7], "m-1"), ([10, 0, 0, 8], "m-2")] {
        let asked = Question { address: address.into(), ..question("10:30:00", 0) };
        assert_eq!(told(&judge(&asked, &recorded)).2, [certain(member)]);
    }
}

#[test]
fn an_address_is_found_in_the_prefix_that_was_held() {
    let rows = vec![
        row(1, "2001:db8:7::/56", "10:00:00", "11:00:00"),
        row(2, "2001:db8:8::/56", "10:00:00", "11:00:00"),
        row(3, "::/128", "10:00:00", "11:00:00"),
    ];
    let recorded = [watched(rows)];
    for (address, found) in [
        ("2001:db8:7::", vec![certain("m-1")]),
        ("2001:db8:7:ff:1:2:3:4", vec![certain("m-1")]),
        ("2001:db8:7:100::", vec![]),
        ("2001:db8:8:ff:ffff:ffff:ffff:ffff", vec![certain("m-2")]),
    ] {
        let address = address.parse::<std::net::IpAddr>().unwrap().into();
        let asked = Question { address, ..question("10:30:00", 0) };
        assert_eq!(told(&judge(&asked, &recorded)).2, found);
    }
}

#[test]
fn the_longest_prefix_has_the_address() {
    let wide = |to: &str| row(1, "10.0.0.0/24", "10:00:00", to);
    let narrow = held(2, "10:20:00", "10:40:00");
    let recorded = [watched(vec![wide("11:00:00"), narrow.clone()])];
    let answer = asked(&recorded, "10:30:00", 1_000);
    assert_eq!(told(&answer), (Outcome::Identified, vec![], vec![certain("m-2")]));
    // Another address of the wider prefix, and the same one before and after.
    for at in ["10:10:00", "10:50:00"] {
        assert_eq!(told(&asked(&recorded, at, 1_000)).2, [certain("m-1")], "{at}");
    }
    let other = Question { address: [10, 0, 0, 8].into(), ..question("10:30:00", 1_000) };
    assert_eq!(told(&judge(&other, &recorded)).2, [certain("m-1")]);
    // At the edge of the longer one it may have been either, and neither is certain.
    let answer = asked(&recorded, "10:40:00", 1_000);
    let both = vec![possible("m-1"), possible("m-2")];
    let mut told_of_edge = told(&answer);
    told_of_edge.2.sort();
    assert_eq!(told_of_edge, (Outcome::Ambiguous, vec![Reason::Fringe], both));
    // Reserved for a peer without a tunnel, the address is nobody else's.
    let idle = SessionRow { state: State::Assigned, ..narrow.clone() };
    let answer = asked(&[watched(vec![wide("11:00:00"), idle])], "10:30:00", 1_000);
    let expected = (Outcome::Undetermined, vec![Reason::Idle], vec![possible("m-2")]);
    assert_eq!(told(&answer), expected);
    // Sources, address spaces and gateways have tables of their own.
    let wg1 = Instance { name: "wg1".to_owned(), ..wg0() };
    let elsewhere = [
        vec![watched(vec![wide("11:00:00"), SessionRow { instance: wg1, ..narrow.clone() }])],
        vec![watched(vec![
            wide("11:00:00"),
            SessionRow { realm: "b".to_owned(), ..narrow.clone() },
        ])],
        vec![
            watched(vec![wide("11:00:00")]),
            Recorded { gateway: "gw2".to_owned(), ..watched(vec![narrow]) },
        ],
    ];
    for recorded in elsewhere {
        let mut answer = told(&asked(&recorded, "10:30:00", 1_000));
        answer.2.sort();
        assert_eq!(
            (answer.0, answer.2),
            (Outcome::Ambiguous, vec![certain("m-1"), certain("m-2")])
        );
    }
}

#[test]
fn a_session_of_fourteen_months_is_known_from_its_last_slice() {
    let first_day = "2024-10-01T08:00:00Z";
    let whole = SessionRow {
        outer: Some(Outer { address: [203, 0, 113, 1].into(), port: None }),
        ..held(1, first_day, "2025-12-01T12:00:00Z")
    };
    // Twelve months after the end of each day, eleven months after that of the session.
    let oldest = utc("2025-11-01T00:00:00Z");
    let is_kept = |row: &SessionRow| row.held.start == oldest;
    let kept: Vec<_> = whole.slices().into_iter().filter(is_kept).collect();
    assert_eq!(kept.len(), 1);
    let mut recorded = gateway("gw1", kept, polls("2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z"));
    recorded.oldest = Some(oldest);
    let answer = asked(std::slice::from_ref(&recorded), "2024-10-01T09:00:00Z", 1_000);
    let expected = (Outcome::Identified, vec![Reason::SessionStart], vec![certain("m-1")]);
    assert_eq!(told(&answer), expected);
    let Candidate { basis, from, outer, .. } = &answer.candidates[0];
    assert_eq!((*basis, *from, *outer), (Basis::SessionStart, utc(first_day), whole.outer));
    // Its endpoint has changed since: that of the first day was left, and is not kept.
    recorded.sessions[0].segment = 1;
    let answer = asked(std::slice::from_ref(&recorded), "2024-10-01T09:00:00Z", 1_000);
    assert_eq!((answer.outcome, answer.candidates[0].outer), (Outcome::Identified, None));
    // Before the session, nothing is known any more.
    let answer = asked(std::slice::from_ref(&recorded), "2024-10-01T07:00:00Z", 1_000);
    assert_eq!(told(&answer), (Outcome::Undetermined, vec![Reason::Purged], vec![]));
    // A prefix that came to the session later was not held from its beginning, as far as is known.
    recorded.sessions[0].held.start = utc("2025-11-01T10:00:00Z");
    let answer = asked(&[recorded], "2024-10-01T09:00:00Z", 1_000);
    let reasons = vec![Reason::Fringe, Reason::SessionStart];
    assert_eq!(told(&answer), (Outcome::Undetermined, reasons, vec![possible("m-1")]));
}

#[test]
fn nobody_is_an_answer_only_where_somebody_looked() {
    let none = |recorded: &[Recorded], at: &str| {
        let answer = asked(recorded, at, 1_000);
        assert_eq!(answer.candidates, []);
        (answer.outcome, answer.reasons, answer.gaps.len())
    };
    let unknown = Reason::UnknownAddress;
    let whole = watched(vec![held(1, "10:00:00", "11:00:00")]);
    assert_eq!(none(std::slice::from_ref(&whole), "12:00:00"), (Outcome::None, vec![], 0));
    let whole = watched(vec![]);
    assert_eq!(none(std::slice::from_ref(&whole), "12:00:00"), (Outcome::None, vec![unknown], 0));
    let broken =
        gateway("gw2", vec![], with_gap(whole.coverage.clone(), "12:00:00.500", "12:01:00"));
    let expected = (Outcome::Undetermined, vec![Reason::Gap, unknown], 1);
    assert_eq!(none(&[whole.clone(), broken.clone()], "12:00:00"), expected);
    assert_eq!(
        none(&[whole.clone(), broken.clone()], "12:02:00"),
        (Outcome::None, vec![unknown], 0)
    );
    // Nobody wrote down why nobody looked.
    let mut absent = whole.clone();
    absent.gateway = "gw3".to_owned();
    absent.coverage.retain(|row| row.window.0 != utc("12:00:00"));
    let expected = (Outcome::Undetermined, vec![Reason::Gap, unknown], 1);
    assert_eq!(none(&[whole.clone(), absent], "12:02:00"), expected);
    // Of an hour, only its beginning was looked at.
    let mut short = whole.clone();
    short.gateway = "gw4".to_owned();
    short.coverage.iter_mut().for_each(|row| {
        if row.window.0 == utc("12:00:00") {
            row.observed.1 = utc("12:01:00");
        }
    });
    assert_eq!(none(&[whole.clone(), short], "12:02:00"), expected);
    assert_eq!(none(&[], "12:02:00"), (Outcome::Undetermined, vec![Reason::Gap, unknown], 0));
}

#[test]
fn after_the_last_records_and_before_the_first_ones_nothing_is_known() {
    let told = |recorded: &[Recorded], at: &str| {
        let answer = asked(recorded, at, 1_000);
        (answer.outcome, answer.reasons)
    };
    let unknown = Reason::UnknownAddress;
    let until_noon = gateway("gw1", vec![], polls("2026-11-25T00:00:00Z", "12:00:00"));
    let one = std::slice::from_ref(&until_noon);
    assert_eq!(told(one, "11:59:50"), (Outcome::None, vec![unknown]));
    let horizon = (Outcome::Undetermined, vec![Reason::Horizon, unknown]);
    assert_eq!(told(one, "12:00:00"), horizon);
    assert_eq!(told(one, "2026-11-30T12:00:00Z"), horizon);
    let purged = (Outcome::Undetermined, vec![Reason::Purged, unknown]);
    assert_eq!(told(one, "2026-11-24T12:00:00Z"), purged);
    // Another gateway reports on: of the first one nothing is known for a day; then it was given up.
    let goes_on = gateway("gw2", vec![], polls("2026-11-26T00:00:00Z", "2026-11-30T00:00:00Z"));
    let both = [until_noon, goes_on];
    assert_eq!(told(&both, "2026-11-26T13:00:00Z"), horizon);
    assert_eq!(told(&both, "2026-11-27T13:00:00Z"), (Outcome::None, vec![unknown]));
    // Before the second one was there, the first one answers.
    assert_eq!(told(&both, "2026-11-25T13:00:00Z"), (Outcome::None, vec![unknown]));
}

#[test]
fn a_gap_beside_a_candidate_leaves_it_undetermined() {
    let mut recorded = watched(vec![held(1, "10:00:00", "11:00:00")]);
    recorded.coverage = with_gap(recorded.coverage, "10:30:00", "10:31:00");
    let answer = asked(std::slice::from_ref(&recorded), "10:30:30", 1_000);
    assert_eq!(told(&answer), (Outcome::Undetermined, vec![Reason::Gap], vec![certain("m-1")]));
    let [gap] = &answer.gaps[..] else { panic!("{:?}", answer.gaps) };
    assert_eq!((gap.reason, gap.to), (Some(CoverageReason::SourceSilent), Some(utc("10:31:00"))));
    // One of another gateway says nothing about this one.
    let other = gateway("gw2", vec![], recorded.coverage.clone());
    recorded.coverage = watched(vec![]).coverage;
    let answer = asked(&[recorded, other], "10:30:30", 1_000);
    assert_eq!((answer.outcome, answer.gaps), (Outcome::Identified, vec![]));
}

#[test]
fn a_gap_over_several_windows_is_one() {
    let mut rows = with_gap(polls("10:00:00", "11:00:00"), "10:33:00", "10:35:00");
    rows.retain(|row| row.window.0 != utc("10:35:00"));
    let of_window = CoverageRow { reports: 0, ..rows[0].clone() };
    let gap = |from: &str, to: &str, reason| CoverageRow {
        window: (utc("10:35:00"), utc("10:40:00")),
        gap: Some(CoverageGap { start: utc(from), end: utc(to), reason }),
        ..of_window.clone()
    };
    rows.push(gap("10:35:00", "10:37:00", CoverageReason::SourceSilent));
    // Another one follows it in the middle of a window.
    rows.push(gap("10:37:00", "10:40:00", CoverageReason::Down));
    let recorded = [gateway("gw1", vec![], rows)];
    let answer = asked(&recorded, "10:36:00", 180_000);
    let gaps: Vec<_> = answer.gaps.iter().map(|gap| (gap.from, gap.to)).collect();
    let expected = [("10:33:00", "10:37:00"), ("10:37:00", "10:40:00")];
    assert_eq!(gaps, expected.map(|(from, to)| (utc(from), Some(utc(to)))));
}

#[test]
fn coverage_in_fewer_rows_says_the_same() {
    let mut rows = with_gap(polls("09:00:00", "12:00:00"), "10:30:00", "10:31:00");
    rows.retain(|row| row.window.0 != utc("11:00:00"));
    let condensed = watch::condensed(&rows);
    assert_eq!(condensed.len(), 3);
    let [one, other] = [rows, condensed].map(|rows| gateway("gw1", vec![], rows));
    for at in ["09:00:01", "09:30:00", "10:30:30", "10:59:58", "11:02:00", "11:30:00", "12:30:00"] {
        let [one, other] = [&one, &other].map(|of| asked(std::slice::from_ref(of), at, 1_000));
        assert_eq!(one, other, "{at}");
    }
}

#[test]
fn peers_without_a_subscriber_count_as_subscribers() {
    let unmapped =
        |member: u8| SessionRow { subscriber: None, ..held(member, "10:00:00", "11:00:00") };
    let answer = asked(&[watched(vec![unmapped(1)])], "10:30:00", 0);
    assert_eq!(told(&answer), (Outcome::Identified, vec![Reason::Unmapped], vec![certain("?")]));
    let answer = asked(&[watched(vec![unmapped(1), unmapped(2)])], "10:30:00", 0);
    assert_eq!((answer.outcome, answer.subscribers), (Outcome::Ambiguous, 2));
    // The same peer with its subscriber, in another session.
    let mut named = held(1, "09:00:00", "10:40:00");
    named.segment = 7;
    let answer = asked(&[watched(vec![unmapped(1), named])], "10:30:00", 0);
    assert_eq!((answer.outcome, answer.subscribers), (Outcome::Identified, 1));
}

#[test]
fn a_clock_that_nothing_keeps_makes_hardly_anything_certain() {
    let row = |to| SessionRow { clock_error_ms: 16_000, ..held(1, "10:00:00", to) };
    let recorded = |to| [watched(vec![row(to)])];
    let answer = asked(&recorded("10:00:30"), "10:00:15", 0);
    let reasons = vec![Reason::Fringe, Reason::ClockUnsynchronised];
    assert_eq!(told(&answer), (Outcome::Undetermined, reasons, vec![possible("m-1")]));
    let answer = asked(&recorded("10:01:00"), "10:00:30", 0);
    assert_eq!(answer.reasons, [Reason::ClockUnsynchronised]);
    assert_eq!((answer.outcome, answer.gateway_error_ms), (Outcome::Identified, 16_000));
}

#[test]
fn a_row_that_is_certain_of_no_time_is_a_possible_candidate() {
    let mut fleeting = held(1, "10:00:00", "10:00:00");
    fleeting.held.start_slack_ms = 2_000;
    fleeting.held.end_slack_ms = 3_000;
    let recorded = [watched(vec![fleeting])];
    let answer = asked(&recorded, "10:00:02", 0);
    assert_eq!(told(&answer).2, [possible("m-1")]);
    let Candidate { from_slack_ms, to_slack_ms, .. } = answer.candidates[0];
    assert_eq!((from_slack_ms, to_slack_ms), (2_000, 3_000));
    assert_eq!(told(&asked(&recorded, "10:00:04", 0)).2, []);
}
