use flowlog_common::total::Count;

use super::*;
use crate::record::ledger::LedgerEntry;

fn attached(names: &[&str]) -> Attached {
    Attached {
        names: names.iter().map(ToString::to_string).collect(),
        refused: vec![],
        unmatched: vec![],
    }
}

fn row(packets: u64, gaps: &[(i64, i64, GapReason)]) -> LedgerEntry {
    let gap = |(start, end, reason)| Gap { start: utc(start), end: utc(end), reason };
    let gaps = gaps.iter().copied().map(gap).collect();
    let mut row = LedgerEntry::new("wg0".to_owned(), utc(0), utc(0));
    row.gaps = gaps;
    row.totals[0].seen = Count { packets, bytes: packets * 100 };
    row
}

fn utc(seconds: i64) -> Utc {
    Utc::from_ms(seconds * 1_000)
}

fn state_of(name: &str, status: &Status) -> InterfaceState {
    status.now().interface(name).unwrap().state
}

#[test]
fn an_interface_that_is_attached_is_reached_when_packets_show_it() {
    let status = Status::default();
    looked(&status, Ok(attached(&["wg0"])));
    assert_eq!(state_of("wg0", &status), InterfaceState::Quiet);
    let see = |row: &LedgerEntry, closed| {
        status.update(|snapshot| observed(snapshot.interface("wg0").unwrap(), row, utc(closed)));
        status.now().interface("wg0").unwrap().clone()
    };
    let reached = see(&row(7, &[]), 10);
    assert_eq!((reached.state, reached.last_packets), (InterfaceState::Reached, Some(utc(10))));
    // Some packets of one direction make up for none of the other.
    let missed = see(&row(7, &[(10, 20, GapReason::NotReached)]), 30);
    assert_eq!(missed.state, InterfaceState::NotReached);
    let missed = see(&row(0, &[(20, 30, GapReason::NotReached)]), 40);
    assert_eq!((missed.state, missed.unreached_since), (InterfaceState::NotReached, Some(utc(10))));
    let gap = missed.last_gap.unwrap();
    assert_eq!((gap.start, gap.end), (Some(utc(10)), Some(utc(30))));
    let again = see(&row(1, &[]), 50);
    assert_eq!((again.state, again.unreached_since), (InterfaceState::Reached, None));
    assert_eq!((again.up_packets_total, again.up_bytes_total), (15, 1_500));
    assert_eq!(see(&row(0, &[]), 60).state, InterfaceState::Quiet);
}

#[test]
fn a_gap_of_another_reason_or_time_is_another_gap() {
    let gap = |start, end, reason| Gap { start: utc(start), end: utc(end), reason };
    let first = following(None, gap(1, 2, GapReason::Detached));
    let second = following(Some(first.clone()), gap(2, 3, GapReason::Down));
    assert_eq!((second.start, second.reason.as_str()), (Some(utc(2)), "down"));
    let later = following(Some(first), gap(5, 6, GapReason::Detached));
    assert_eq!(later.start, Some(utc(5)));
}

#[test]
fn interfaces_that_go_are_absent_by_name_and_forgotten_by_pattern() {
    let status = Status::default();
    looked(&status, Ok(attached(&["tun1", "wg0"])));
    let patterns = ["wg0", "tun*"].map(|pattern| pattern.parse().unwrap());
    let gone = Attached {
        refused: vec![("eth9".to_owned(), "no room".to_owned())],
        unmatched: patterns.to_vec(),
        names: vec![],
    };
    looked(&status, Ok(gone));
    let mut snapshot = status.now();
    assert_eq!(snapshot.interface("wg0").unwrap().state, InterfaceState::Absent);
    assert_eq!(snapshot.interface("tun1"), None);
    assert_eq!(snapshot.interface("eth9").unwrap().refusal.as_deref(), Some("no room"));
    assert_eq!(snapshot.unmatched_patterns, ["tun*"]);
    looked(&status, Ok(attached(&["wg0"])));
    assert_eq!(state_of("wg0", &status), InterfaceState::Quiet);
}
