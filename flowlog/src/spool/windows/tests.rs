use flowlog_common::total::Count;

use super::*;
use crate::record::ledger::Account;
use crate::{record::window::WindowLedger, spool::header::Header};

/// An epoch of a window of a minute, in seconds, with so many flows.
fn epoch(closed: i64, window: i64, flows: u64) -> Run {
    const SECOND: i64 = 1_000_000_000;
    let window =
        WindowLedger { start_ns: window * SECOND, length_ms: 60_000, epochs: None, rows: vec![] };
    let header = Header {
        closed_ns: closed * SECOND,
        windows: vec![window],
        entries: (flows, 0),
        ..Header::default()
    };
    Run::of(format!("{closed}").into(), header)
}

fn ends(windows: &[Vec<Run>]) -> Vec<Vec<String>> {
    let name = |run: &Run| run.path.display().to_string();
    windows.iter().map(|epochs| epochs.iter().map(name).collect()).collect()
}

#[test]
fn a_window_is_finished_when_its_end_is_reached_or_passed() {
    let mut windows = Windows::default();
    assert!(windows.add(epoch(70, 60, 0)).is_empty());
    assert_eq!(ends(&windows.add(epoch(120, 60, 0))), [["70", "120"]]);
    assert!(windows.add(epoch(130, 120, 0)).is_empty());
    // The daemon was held up over the end of the window.
    assert_eq!(ends(&windows.add(epoch(190, 180, 0))), [["130"]]);
    assert_eq!(windows.finish().map(|epochs| epochs.len()), Some(1));
    assert!(windows.finish().is_none());
}

#[test]
fn what_was_recorded_under_another_policy_is_told_apart() {
    let mut windows = Windows::default();
    assert!(windows.add(epoch(70, 60, 0)).is_empty());
    let mut other = epoch(80, 60, 0);
    other.header.policy = "attribution".to_owned();
    assert_eq!(ends(&windows.add(other)), [["70"]]);
}

#[test]
fn a_flood_is_given_in_parts() {
    let mut windows = Windows::default();
    assert!(windows.add(epoch(70, 60, MOST_ROWS - 1)).is_empty());
    assert_eq!(ends(&windows.add(epoch(80, 60, 1))), [["70", "80"]]);
    assert!(windows.add(epoch(90, 60, 1)).is_empty());
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
