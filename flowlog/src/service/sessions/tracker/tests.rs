use std::collections::BTreeSet;

use super::*;
use crate::record::{
    redacted::{Address, Prefix},
    session::{Entry, EntryKey, Outer, Peer, Receipt, Since, Source, State},
};

const POLL: Duration = Duration::from_secs(5);

/// A second of a day.
pub(in super::super) fn second(second: i64) -> Utc {
    Utc::from_ms(1_795_651_200_000 + second * 1_000)
}

pub(in super::super) fn wg0() -> Instance {
    Instance { source: Source::Wireguard, name: "wg0".to_owned() }
}

pub(in super::super) fn prefix(text: &str) -> Prefix {
    text.parse::<ipnet::IpNet>().unwrap().into()
}

/// A peer with a tunnel since a second, and its addresses.
pub(in super::super) fn peer(number: u8, since: i64, prefixes: &[&str]) -> Entry {
    Entry {
        key: EntryKey { peer: Peer::of(&[number; 16]), discriminator: 0 },
        state: State::Tunnel,
        since: Some(Since { earliest: None, certain: second(since) }),
        until: None,
        prefixes: prefixes.iter().map(|text| prefix(text)).collect::<BTreeSet<_>>(),
        outer: Some(Outer { address: Address::from([198, 51, 100, number]), port: Some(1) }),
        bytes: Some([100, 200]),
    }
}

pub(in super::super) fn report(at: i64, content: Content) -> Report {
    let (realm, at) = ("default".to_owned(), second(at));
    Report {
        instance: wg0(),
        realm,
        at,
        answered: at,
        content,
        apart: None,
        receipt: Receipt::default(),
    }
}

fn tracker() -> Tracker {
    Tracker::new("gw1".to_owned())
}

fn take(tracker: &mut Tracker, at: i64, entries: &[Entry]) -> Vec<Event> {
    let report = report(at, Content::Listing(entries.to_vec()));
    tracker.take(report, POLL, ClockState::default())
}

/// Rows that opened and closed: prefix, second and slack; number, second, slack and reason.
fn shown(events: &[Event]) -> Vec<String> {
    let seconds = |at: Utc| (at.ms() - second(0).ms()) / 1_000;
    let shown = events.iter().filter_map(|event| match event {
        Event::Opened(OpenRow { number, row, .. }) => Some(format!(
            "+{number} {} {} {}-{} #{}",
            row.prefix.in_clear(),
            row.state.name(),
            seconds(row.held.start),
            row.held.start_slack_ms,
            row.segment
        )),
        Event::Closed(closed) => Some(format!(
            "-{} {}+{} {}",
            closed.number,
            seconds(closed.end),
            closed.end_slack_ms,
            closed.reason.map_or("goes on", crate::record::session::EndReason::name)
        )),
        Event::Gap { gap, .. } => {
            Some(format!("gap {}-{} {}", seconds(gap.start), seconds(gap.end), gap.reason.name()))
        }
        Event::Day(_) | Event::Instance(_) | Event::Looked(_) => None,
    });
    shown.collect()
}

#[test]
fn a_peer_that_stays_is_one_row_and_one_that_goes_ends_between_two_looks() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32", "2001:db8:1::/56"]);
    // Nobody looked before: certain from the first look on, possible from the handshake on.
    assert_eq!(
        shown(&take(&mut tracker, 10, std::slice::from_ref(&ada))),
        ["+1 10.0.0.1/32 tunnel 10-10000 #0", "+2 2001:db8:1::/56 tunnel 10-10000 #0"]
    );
    assert!(shown(&take(&mut tracker, 15, &[ada])).is_empty());
    assert_eq!(shown(&take(&mut tracker, 20, &[])), ["-1 15+5000 removed", "-2 15+5000 removed"]);
    assert_eq!(tracker.open(), 0);
}

#[test]
fn a_tunnel_begins_with_its_handshake_and_ends_with_its_keys() {
    let mut tracker = tracker();
    let idle = |since: Option<Since>| Entry {
        state: State::Assigned,
        since,
        ..peer(1, 0, &["10.0.0.1/32"])
    };
    take(&mut tracker, 0, &[idle(None)]);
    take(&mut tracker, 5, &[idle(None)]);
    assert_eq!(
        shown(&take(&mut tracker, 10, &[peer(1, 7, &["10.0.0.1/32"])])),
        ["-1 5+2000 replaced", "+2 10.0.0.1/32 tunnel 7-2000 #0"]
    );
    let mut at = 15;
    while at < 190 {
        assert!(shown(&take(&mut tracker, at, &[peer(1, 7, &["10.0.0.1/32"])])).is_empty());
        at += 5;
    }
    let expired = Since { earliest: Some(second(187)), certain: second(187) };
    assert_eq!(
        shown(&take(&mut tracker, 190, &[idle(Some(expired))])),
        ["-2 187+0 handshake_expired", "+3 10.0.0.1/32 assigned 187-0 #0"]
    );
}

#[test]
fn an_address_that_goes_to_another_peer_is_possible_for_both_between_the_looks() {
    let mut tracker = tracker();
    take(&mut tracker, 0, &[peer(1, 0, &["10.0.0.1/32"]), peer(2, 0, &["10.0.0.2/32"])]);
    let events =
        take(&mut tracker, 5, &[peer(1, 0, &[]), peer(2, 0, &["10.0.0.1/32", "10.0.0.2/32"])]);
    assert_eq!(shown(&events), ["-1 0+5000 removed", "+3 10.0.0.1/32 tunnel 5-5000 #0"]);
}

#[test]
fn what_changed_while_a_source_answered_is_certain_from_the_answer_on() {
    let mut tracker = tracker();
    let answer = |tracker: &mut Tracker, entries: &[Entry]| {
        let report = report(5, Content::Listing(entries.to_vec()));
        let report = Report { answered: second(8), ..report };
        shown(&tracker.take(report, POLL, ClockState::default()))
    };
    let assigned = Entry { state: State::Assigned, since: None, ..peer(3, 0, &["10.0.0.3/32"]) };
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    take(&mut tracker, 0, &[ada.clone(), assigned]);
    let given = [peer(2, 0, &["10.0.0.1/32"]), peer(3, 7, &["10.0.0.3/32"])];
    assert_eq!(
        answer(&mut tracker, &given),
        [
            "-1 0+8000 replaced",
            "+3 10.0.0.1/32 tunnel 8-8000 #0",
            "-2 0+7000 replaced",
            "+4 10.0.0.3/32 tunnel 7-7000 #0"
        ]
    );
    // Nobody looked before.
    let mut tracker = Tracker::new("gw2".to_owned());
    assert_eq!(answer(&mut tracker, &[ada]), ["+1 10.0.0.1/32 tunnel 8-8000 #0"]);
}

#[test]
fn a_handshake_is_not_the_beginning_of_an_address_that_nobody_had() {
    let mut tracker = tracker();
    take(&mut tracker, 0, &[]);
    let events = take(&mut tracker, 5, &[peer(1, 2, &["10.0.0.1/32"])]);
    assert_eq!(shown(&events), ["+1 10.0.0.1/32 tunnel 5-5000 #0"]);
}

/// When the session of each row that opened began to hold its prefix.
fn beginnings(events: &[Event]) -> Vec<i64> {
    let beginning = |event: &Event| match event {
        Event::Opened(open) => Some((open.row.session_start.ms() - second(0).ms()) / 1_000),
        _ => None,
    };
    events.iter().filter_map(beginning).collect()
}

#[test]
fn a_session_proves_no_address_of_the_time_before_it_had_it() {
    let mut tracker = tracker();
    let (own, anothers) = ("10.0.0.1/32", "10.0.0.2/32");
    let away = |entry: Entry| Entry {
        outer: Some(Outer { address: Address::from([203, 0, 113, 9]), port: Some(2) }),
        ..entry
    };
    assert_eq!(beginnings(&take(&mut tracker, 0, &[peer(1, 0, &[own])])), [0]);
    assert_eq!(beginnings(&take(&mut tracker, 5, &[peer(1, 0, &[own, anothers])])), [5]);
    // In another segment too, after a silence, and in the rows of the next day.
    let both = away(peer(1, 0, &[own, anothers]));
    assert_eq!(beginnings(&take(&mut tracker, 10, std::slice::from_ref(&both))), [0, 5]);
    tracker.pass_time(second(30));
    assert_eq!(beginnings(&take(&mut tracker, 60, std::slice::from_ref(&both))), [0, 5]);
    let day = take(&mut tracker, 86_400, std::slice::from_ref(&both));
    assert_eq!(beginnings(&day)[..2], [0, 5]);
    // A restart makes no difference.
    let rows: Vec<OpenRow> = day
        .iter()
        .filter_map(|event| match event {
            Event::Opened(row) => Some(row.clone()),
            _ => None,
        })
        .collect();
    let looked = Looked {
        instance: wg0(),
        realm: "default".to_owned(),
        at: second(86_400),
        clock_error_ms: 0,
        clock_step_ms: 0,
        errors: 0,
    };
    let mut after = Tracker::new("gw1".to_owned());
    let of_day = rows[..2].to_vec();
    after.restore(Some(second(86_400)), vec![looked], of_day);
    let home = Entry { outer: peer(1, 0, &[own]).outer, ..both };
    assert_eq!(beginnings(&take(&mut after, 86_405, &[home])), [0, 5]);
}

#[test]
fn a_session_proves_no_subscriber_of_the_time_before_it_was_anothers() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let mut mapped = |at: i64, subscriber: &str| {
        let file = format!("peer,subscriber,from,to\n{},{subscriber},,\n", ada.key.peer.hex());
        tracker.set_subscribers(Arc::new(Subscribers::parse(&file, None).unwrap()));
        beginnings(&take(&mut tracker, at, std::slice::from_ref(&ada)))
    };
    assert_eq!(mapped(0, "m-1"), [0]);
    assert_eq!(mapped(5, "m-2"), [5]);
}

#[test]
fn another_endpoint_is_another_segment_of_the_same_session() {
    let mut tracker = tracker();
    let home = peer(1, 0, &["10.0.0.1/32"]);
    let away = Entry {
        outer: Some(Outer { address: Address::from([203, 0, 113, 9]), port: Some(2) }),
        bytes: Some([150, 260]),
        ..home.clone()
    };
    take(&mut tracker, 0, &[home]);
    let events = take(&mut tracker, 5, &[away]);
    assert_eq!(shown(&events), ["-1 0+5000 roamed", "+2 10.0.0.1/32 tunnel 5-5000 #1"]);
}

#[test]
fn after_a_silence_nothing_is_taken_for_granted_and_the_time_is_a_gap() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    take(&mut tracker, 0, std::slice::from_ref(&ada));
    assert!(tracker.pass_time(second(15)).is_empty());
    assert_eq!(shown(&tracker.pass_time(second(16))), ["-1 0+16000 unknown"]);
    assert!(tracker.pass_time(second(17)).is_empty());
    assert_eq!(
        shown(&take(&mut tracker, 60, &[ada])),
        ["gap 0-60 source_silent", "+2 10.0.0.1/32 tunnel 60-60000 #0"]
    );
}

#[test]
fn the_absence_of_a_daemon_is_a_gap_and_the_session_is_the_same() {
    let mut before = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let events = take(&mut before, 0, std::slice::from_ref(&ada));
    let rows: Vec<OpenRow> = events
        .iter()
        .filter_map(|event| match event {
            Event::Opened(row) => Some(row.clone()),
            _ => None,
        })
        .collect();
    let looked = events.iter().find_map(|event| match event {
        Event::Looked(looked) => Some(looked.clone()),
        _ => None,
    });
    for (at, expected) in [
        (10, vec!["gap 0-10 down".to_owned()]),
        (
            100,
            vec![
                "gap 0-100 down".to_owned(),
                "-1 0+100000 unknown".to_owned(),
                "+2 10.0.0.1/32 tunnel 100-100000 #0".to_owned(),
            ],
        ),
    ] {
        let mut after = tracker();
        after.restore(Some(second(0)), vec![looked.clone().unwrap()], rows.clone());
        let events = take(&mut after, at, std::slice::from_ref(&ada));
        assert_eq!(shown(&events), expected);
        let opened = events.iter().find_map(|event| match event {
            Event::Opened(open) => Some(open.row.session),
            _ => None,
        });
        assert!(opened.is_none_or(|session| session == rows[0].row.session));
    }
}

#[test]
fn an_event_is_exact_and_an_older_listing_does_not_undo_it() {
    let mut tracker = tracker();
    let server = |number, since| Entry {
        since: Some(Since { earliest: Some(second(since)), certain: second(since) }),
        ..peer(number, since, &["10.8.0.6/32"])
    };
    take(&mut tracker, 0, &[]);
    let began = report(7, Content::Began(server(1, 7)));
    assert_eq!(
        shown(&tracker.take(began, POLL, ClockState::default())),
        ["+1 10.8.0.6/32 tunnel 7-0 #0"]
    );
    // The server wrote its list before.
    assert!(shown(&take(&mut tracker, 5, &[])).is_empty());
    let ended = Content::Ended {
        key: server(1, 7).key,
        reason: crate::record::session::EndReason::Disconnected,
        bytes: Some([110, 220]),
    };
    let events = tracker.take(report(9, ended), POLL, ClockState::default());
    assert_eq!(shown(&events), ["-1 9+0 disconnected"]);
    let [.., Event::Closed(closed)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(closed.bytes, Some([10, 20]));
    assert!(shown(&take(&mut tracker, 8, &[server(1, 7)])).is_empty());
}

#[test]
fn an_address_that_is_given_to_another_session_is_taken_from_the_first() {
    let mut tracker = tracker();
    take(&mut tracker, 0, &[peer(1, 0, &["10.8.0.6/32"])]);
    let began = report(3, Content::Began(peer(2, 3, &["10.8.0.6/32"])));
    assert_eq!(
        shown(&tracker.take(began, POLL, ClockState::default())),
        ["-1 0+3000 replaced", "+2 10.8.0.6/32 tunnel 3-0 #0"]
    );
}

#[test]
fn an_instance_that_goes_after_a_silence_leaves_a_gap() {
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let mut late = tracker();
    take(&mut late, 0, std::slice::from_ref(&ada));
    let gone = late.take(report(60, Content::Gone), POLL, ClockState::default());
    assert_eq!(shown(&gone), ["gap 0-60 source_silent", "-1 0+60000 source_restarted"]);
    assert_eq!(shown(&take(&mut late, 65, &[])), [""; 0]);

    let mut soon = tracker();
    take(&mut soon, 0, std::slice::from_ref(&ada));
    let gone = soon.take(report(5, Content::Gone), POLL, ClockState::default());
    assert_eq!(shown(&gone), ["-1 0+5000 source_restarted"]);

    // Another daemon has heard it last.
    let mut next = tracker();
    let looked = Looked {
        instance: wg0(),
        realm: "default".to_owned(),
        at: second(0),
        clock_error_ms: 0,
        clock_step_ms: 0,
        errors: 0,
    };
    next.restore(Some(second(0)), vec![looked], vec![]);
    let gone = next.take(report(5, Content::Gone), POLL, ClockState::default());
    assert_eq!(shown(&gone), ["gap 0-5 down"]);
}

#[test]
fn lists_that_a_server_writes_by_itself_may_be_a_minute_apart() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let apart = Some(Duration::from_secs(132));
    let mut list = |at: i64, entries: &[Entry]| {
        let report = Report { apart, ..report(at, Content::Listing(entries.to_vec())) };
        let mut events = tracker.take(report, POLL, ClockState::default());
        events.extend(tracker.pass_time(second(at + 59)));
        shown(&events)
    };
    assert_eq!(list(0, std::slice::from_ref(&ada)), ["+1 10.0.0.1/32 tunnel 0-0 #0"]);
    assert_eq!(list(60, std::slice::from_ref(&ada)), [""; 0]);
    assert_eq!(list(120, &[]), ["-1 60+60000 removed"]);
    assert_eq!(list(253, &[]), ["gap 120-253 source_silent"]);
}

#[test]
fn an_instance_is_heard_while_its_answers_are_new_enough() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let of = |tracker: &Tracker, at: i64| tracker.standings(second(at)).get(&wg0()).copied();
    assert_eq!(of(&tracker, 0), None);
    take(&mut tracker, 0, std::slice::from_ref(&ada));
    let heard = of(&tracker, 15).unwrap();
    assert_eq!(
        (heard.answered_at, heard.is_heard, heard.open_sessions),
        (Some(second(0)), true, 1)
    );
    assert!(!of(&tracker, 16).unwrap().is_heard);
    let failed = Content::Failed { is_answered: true };
    tracker.take(report(16, failed), POLL, ClockState::default());
    assert!(!of(&tracker, 16).unwrap().is_heard);
}

#[test]
fn a_row_is_of_one_subscriber() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    take(&mut tracker, 0, std::slice::from_ref(&ada));
    let file = format!("peer,subscriber,from,to\n{},m-1,,\n", ada.key.peer.hex());
    tracker.set_subscribers(Arc::new(Subscribers::parse(&file, None).unwrap()));
    let events = take(&mut tracker, 5, &[ada]);
    assert_eq!(shown(&events), ["-1 5+0 goes on", "+2 10.0.0.1/32 tunnel 5-0 #0"]);
}

#[test]
fn a_day_begins_with_all_that_is_needed_to_go_on() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    let events = take(&mut tracker, 0, std::slice::from_ref(&ada));
    assert!(matches!(events[0], Event::Day(_)), "{events:?}");
    let next = 86_400 + 2;
    let events = take(&mut tracker, next, &[ada]);
    let [Event::Day(_), Event::Instance(looked), Event::Opened(open), ..] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((looked.at, open.number), (second(0), 1));
}

#[test]
fn a_clock_that_goes_back_is_a_gap() {
    let mut tracker = tracker();
    let ada = peer(1, 0, &["10.0.0.1/32"]);
    take(&mut tracker, 100, std::slice::from_ref(&ada));
    let events = take(&mut tracker, 50, &[ada]);
    assert_eq!(
        shown(&events),
        ["gap 50-100 clock_step", "-1 100+0 unknown", "+2 10.0.0.1/32 tunnel 50-50000 #0"]
    );
}

#[test]
fn the_bytes_of_a_session_are_counted_once_whichever_prefixes_go() {
    let mut tracker = tracker();
    let with = |bytes: u64, prefixes: &[&str]| Entry {
        bytes: Some([bytes, 2 * bytes]),
        ..peer(1, 0, prefixes)
    };
    let (first, second, third) = ("10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32");
    take(&mut tracker, 0, &[with(100, &[first, second, third])]);
    take(&mut tracker, 5, &[with(130, &[first, second, third])]);
    let mut events = take(&mut tracker, 10, &[with(150, &[third])]);
    take(&mut tracker, 15, &[with(170, &[third])]);
    events.extend(take(&mut tracker, 20, &[]));
    let bytes = events.iter().filter_map(|event| match event {
        Event::Closed(closed) => Some(closed.bytes),
        _ => None,
    });
    assert_eq!(bytes.collect::<Vec<_>>(), [Some([30, 60]), None, Some([40, 80])]);
}
