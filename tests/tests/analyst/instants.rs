//! Who used an address at an instant.

use std::{path::Path, time::Duration};

use flowlog::{
    record::clock::Utc,
    table::{FLOWS, FlowsWriter, ObjectName},
};
use flowlog_tests::duckdb;

use super::flow;

const HOUR_MS: i64 = 3_600_000;
/// 2026-01-01, 00:00 UTC.
const MIDNIGHT_MS: i64 = 1_767_225_600_000;

/// Writes the file of an hour, counted from midnight, into a store.
fn write_hour(store: &Path, hour: i64, file: &[u8]) {
    let begins = Utc::from_ms(MIDNIGHT_MS + hour * HOUR_MS);
    let name = ObjectName::new(&FLOWS, "gw-1", begins, Duration::from_mins(5));
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
}

/// A file of flows from this remote, which lasted from and until these milliseconds after midnight.
fn file_of(remote: u8, flows: &[(i64, i64)]) -> Vec<u8> {
    let mut file = FlowsWriter::new(vec![]).unwrap();
    for (start, end) in flows {
        let mut row = flow(0);
        row.remote = Some([198, 51, 100, remote].into());
        row.activity.start_ms = MIDNIGHT_MS + start;
        row.activity.end_ms = MIDNIGHT_MS + end;
        file.push(&row).unwrap();
    }
    file.finish(vec![]).unwrap()
}

/// When the flows began that `at_instant` finds, in milliseconds after midnight; asked in a time
/// zone that is half an hour off.
fn found_at(store: &Path, remote: u8, instant: i64, more: &str) -> Vec<i64> {
    let us = (MIDNIGHT_MS + instant) * 1_000;
    let question = format!(
        "SET TimeZone = 'Asia/Kolkata';
        SELECT (epoch_ms(flow_start) - {MIDNIGHT_MS})::INT AS start
        FROM at_instant('198.51.100.{remote}', 443, make_timestamptz({us}) {more})"
    );
    duckdb(store, &question).iter().map(|row| row["start"].as_i64().unwrap()).collect()
}

/// The hours before and after cannot be read, and need not be.
#[test]
fn an_instant_is_found_at_both_ends_of_an_hour_by_reading_no_hour_far_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for hour in -3..=3 {
        let (first, last) = (hour * HOUR_MS, hour * HOUR_MS + HOUR_MS - 1);
        write_hour(store, hour, &file_of(1, &[(first, first), (last, last)]));
    }
    write_hour(store, -2, b"not a file of Parquet");
    write_hour(store, 3, b"not a file of Parquet");
    let last = HOUR_MS - 1;
    assert_eq!(found_at(store, 1, -1, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, 0, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, last, ""), [last, HOUR_MS]);
    assert_eq!(found_at(store, 1, HOUR_MS, ""), [last, HOUR_MS]);
    // A second either way, and no millisecond more.
    assert_eq!(found_at(store, 1, -1_000, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, -1_001, ""), [-1]);
    assert_eq!(found_at(store, 1, 1_000, ""), [0]);
}

/// Of the other hours only those can be read of which DuckDB may list one first, to take the columns
/// from it.
#[test]
fn an_instant_is_found_in_any_hour_by_reading_that_and_the_next_one() {
    for hour in [8, 9, 19, 22, 23] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path();
        let instant = hour * HOUR_MS + HOUR_MS / 2;
        for each in 0..=25 {
            let file = file_of(1, &[(instant, instant + each)]);
            let is_read = [0, 10, hour, hour + 1].contains(&each);
            write_hour(store, each, if is_read { &file } else { b"not a file of Parquet" });
        }
        let rows = if hour == 23 { 3 } else { 2 };
        assert_eq!(found_at(store, 1, instant, ""), vec![instant; rows], "{hour}");
    }
}

#[test]
fn an_instant_in_an_outage_is_found_where_the_outage_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let minutes = |minutes: i64| minutes * 60_000;
    write_hour(store, -1, &file_of(1, &[(-1, -1)]));
    // No daemon for 50 minutes, and for 26 hours.
    write_hour(store, 0, &file_of(2, &[(minutes(-45), minutes(5))]));
    write_hour(store, 25, &file_of(3, &[(minutes(-40), minutes(26 * 60 - 40))]));
    assert_eq!(found_at(store, 2, minutes(-30), ""), [minutes(-45)]);
    assert_eq!(found_at(store, 3, minutes(-30), ", outage := INTERVAL 26 HOUR"), [minutes(-40)]);
}
