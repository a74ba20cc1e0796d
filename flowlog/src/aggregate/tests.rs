use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4, detail, marks},
    total::{Count, Totals},
};

use super::{ledger::Account, *};
use crate::{capture::presence::Observed, clock::Offset, clock::Utc, drain::Entries};

const SECOND: u64 = 1_000_000_000;

fn key(last_octet: u8) -> FlowKeyV4 {
    FlowKeyV4 {
        member: [10, 0, 0, last_octet],
        remote: [192, 0, 2, 1],
        member_port: [0x9c, 0x40],
        remote_port: [1, 0xbb],
        interface: 0,
        protocol: 6,
        detail: detail::FULL,
    }
}

/// An epoch between two instants in seconds, in which these flows sent one packet of 100 bytes.
fn epoch(opened: u64, closed: u64, flows: &[(FlowKeyV4, u64, Direction)]) -> Epoch {
    let utc = |seconds: u64| Utc::from_ns(i64::try_from(seconds * SECOND).unwrap());
    let mut totals = [Totals::default(); 2];
    let mut entries = Entries { keys: vec![], values: vec![] };
    for (key, at, direction) in flows {
        totals[*direction as usize].seen.add(1, 100);
        let sent = u64::from(*direction == Direction::Up);
        entries.keys.push(*key);
        entries.values.push(FlowCounters {
            packets_up: sent,
            bytes_up: sent * 100,
            packets_down: 1 - sent,
            bytes_down: (1 - sent) * 100,
            first_ns: at * SECOND,
            last_ns: at * SECOND,
            marks: marks::of_initiator(*direction) | marks::of_packet(*direction, 2, 0),
        });
    }
    let observed = Observed {
        slot: 0,
        name: "wg0".to_owned(),
        from: opened * SECOND,
        to: closed * SECOND,
        interruptions: 0,
        was_counted: true,
    };
    Epoch {
        opened: utc(opened),
        closed: utc(closed),
        offset: Offset::from_ns(0),
        flows_v4: entries,
        flows_v6: Entries::default(),
        overflow_v4: Entries::default(),
        overflow_v6: Entries::default(),
        totals: vec![(observed, totals)],
    }
}

fn minute() -> Aggregator {
    Aggregator::new(Duration::from_mins(1))
}

#[test]
fn epochs_of_a_window_give_one_row_per_flow() {
    let mut aggregator = minute();
    let first = epoch(60, 70, &[(key(1), 61, Direction::Down), (key(2), 65, Direction::Up)]);
    let last = epoch(70, 120, &[(key(1), 71, Direction::Up)]);
    assert!(aggregator.add(&first, Duration::from_millis(1)).is_empty());
    let mut finished = aggregator.add(&last, Duration::from_millis(3));
    let window = finished.pop().unwrap();
    assert!(finished.is_empty());
    assert_eq!(window.flow_count(), 2);
    let flow = window.flows().find(|f| f.member.to_string() == "10.0.0.1").unwrap();
    assert_eq!((flow.activity.start_ms, flow.activity.end_ms), (61_000, 71_000));
    assert_eq!((flow.activity.packets_up, flow.activity.packets_down), (1, 1));
    assert_eq!(flow.activity.initiator, Direction::Down);
    assert_eq!(flow.interface, "wg0");
    let ledger = window.ledger().next().unwrap();
    assert_eq!(ledger.account(Direction::Up).seen, Count { packets: 2, bytes: 200 });
    assert_eq!(ledger.account(Direction::Up).missing(), (0, 0));
    assert_eq!(ledger.account(Direction::Down).missing(), (0, 0));
    assert_eq!(ledger.clock_error, Duration::from_millis(3));
    assert_eq!(ledger.observed_end, window.end());
}

#[test]
fn a_window_is_finished_when_its_end_is_reached_or_passed() {
    let mut aggregator = minute();
    assert!(aggregator.add(&epoch(60, 70, &[]), Duration::ZERO).is_empty());
    // The daemon was held up over the end of the window.
    let finished = aggregator.add(&epoch(70, 130, &[(key(1), 75, Direction::Up)]), Duration::ZERO);
    assert_eq!(finished.len(), 1);
    assert_eq!((finished[0].start().ms(), finished[0].flow_count()), (60_000, 0));
    // The rows are kept with the later window, and say when they were.
    let late = aggregator.finish().unwrap();
    assert_eq!(late.start().ms(), 120_000);
    assert_eq!(late.flows().next().unwrap().activity.start_ms, 75_000);
    assert!(aggregator.finish().is_none());
}

#[test]
fn a_slewed_clock_does_not_put_a_packet_before_its_epoch() {
    let mut late_clock = epoch(60, 70, &[(key(1), 60, Direction::Up)]);
    late_clock.offset = Offset::from_ns(-2_000_000);
    let mut aggregator = minute();
    aggregator.add(&late_clock, Duration::ZERO);
    let window = aggregator.finish().unwrap();
    assert_eq!(window.flows().next().unwrap().activity.start_ms, 60_000);
}

#[test]
fn an_account_says_what_is_missing() {
    let account = Account {
        seen: Count { packets: 10, bytes: 1_000 },
        flows: Count { packets: 6, bytes: 700 },
        overflow: Count { packets: 1, bytes: 60 },
        remainder: Count { packets: 0, bytes: 40 },
        not_ip: Count { packets: 1, bytes: 50 },
        malformed: Count { packets: 1, bytes: 50 },
        excluded: Count { packets: 1, bytes: 100 },
        fragments_without_first: Count { packets: 2, bytes: 9 },
    };
    assert_eq!(account.missing(), (0, 0));
    let short = Account { flows: Count { packets: 5, bytes: 800 }, ..account };
    assert_eq!(short.missing(), (1, -100));
}
