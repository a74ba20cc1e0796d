//! Days of a zone that is not UTC.

use flowlog::{record::clock::Utc, table::FLOWS};
use flowlog_tests::{ask_duckdb, duckdbs, flowlog};
use serde_json::json;

use super::written::{Written, tcp, utc, write_hour};

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// A flow in each half hour of four days; what is not in the hours of `whole` cannot be read.
fn store(whole: std::ops::RangeInclusive<&str>) -> tempfile::TempDir {
    let hour = |text: &str| utc(&format!("{text}:00:00Z"));
    let whole = hour(whole.start())..=hour(whole.end());
    let mut store = Written::new();
    let first = utc("2026-10-23T00:00:00Z");
    let half_hours = (0..4 * 48).map(|half| Utc::from_ms(first.ms() + half * 1_800_000));
    store.flows(
        "gw-1",
        half_hours.clone().map(|start| tcp("10.0.0.7", "192.0.2.1", 443, start, start)),
    );
    let directory = store.write();
    for hour in half_hours.step_by(2).filter(|hour| !whole.contains(hour)) {
        // DuckDB may list an hour of midnight first, to take the columns from it.
        if hour.floor(DAY) != hour {
            write_hour(directory.path(), &FLOWS, "gw-1", hour, b"not a file of Parquet");
        }
    }
    directory
}

fn count(store: &tempfile::TempDir, more: &str, question: &str, expected: u32) {
    let views = flowlog(&["duckdb", "--store", store.path().to_str().unwrap()]).stdout;
    for mut cli in duckdbs() {
        let question = format!("{more}; SELECT count(*)::INT AS rows FROM {question}");
        let answer = ask_duckdb(&mut cli, &views, &question);
        assert_eq!(answer, Ok(vec![json!({"rows": expected})]), "{question}");
    }
}

#[test]
fn a_day_in_brussels_has_25_hours_once_a_year_and_no_other_hour_is_read() {
    // An hour more, where the counts of an outage may be.
    let store = store("2026-10-24T22"..="2026-10-25T23");
    let day = "flows_between('2026-10-25 00:00:00 Europe/Brussels', '2026-10-26 00:00:00 Europe/Brussels')";
    count(&store, "", day, 50);
    let with_offsets = "flows_between('2026-10-25T00:00:00+02:00', '2026-10-26T00:00:00+01:00')";
    count(&store, "", with_offsets, 50);
    let zone = "SET TimeZone = 'Europe/Brussels'";
    count(&store, zone, "flows_between('2026-10-25', '2026-10-26')", 50);
    count(&store, zone, "flows_between(DATE '2026-10-25', DATE '2026-10-26')", 50);
    // The hour from two to three is twice.
    let twice = "flows_between('2026-10-25 02:00:00+02', '2026-10-25 03:00:00+01')";
    count(&store, "", twice, 4);
}

#[test]
fn an_ordinary_day_in_brussels_has_24_hours() {
    let store = store("2026-10-23T22"..="2026-10-24T22");
    count(
        &store,
        "SET TimeZone = 'Europe/Brussels'",
        "flows_between('2026-10-24', '2026-10-25')",
        48,
    );
}

#[test]
fn the_ends_of_a_period_are_exact() {
    let store = store("2026-10-23T00"..="2026-10-26T23");
    let from = |since: &str, until: &str| {
        format!("flows_between('2026-10-24 {since}+00', '2026-10-24 {until}+00')")
    };
    count(&store, "", &from("09:00:00", "10:00:00"), 2);
    count(&store, "", &from("09:00:00.001", "10:00:00"), 1);
    count(&store, "", &from("09:00:00.001", "10:00:00.001"), 2);
    count(&store, "", "flows_between('2026-10-23 00:00:00+00', '2026-10-27 00:00:00+00')", 192);
}

#[test]
fn a_period_that_cannot_be_is_an_error() {
    let store = store("2026-10-23T00"..="2026-10-26T23");
    let views = flowlog(&["duckdb", "--store", store.path().to_str().unwrap()]).stdout;
    for (question, error) in [
        ("flows_between('2026-10-25', '2026-10-24')", "exchange its two instants"),
        ("flows_between('2026-10-25', NULL)", "an instant is missing"),
        (
            "conversations('2026-10-25', '2026-10-25', remote := '10.0.0')",
            "\"10.0.0\" is no IP address",
        ),
        ("rate('10.0.0.7/8', '1 hour')", "has bits set behind its length"),
        ("flows_of('10.0.0.0/33')", "greater than the addresses have bits"),
        ("top_talkers(3, gateway := 'gw-3')", "gateway=gw-3"),
    ] {
        for mut cli in duckdbs() {
            let answer = ask_duckdb(&mut cli, &views, &format!("FROM {question}")).unwrap_err();
            assert!(answer.contains(error), "{question}: {answer}");
        }
    }
}
