//! Stores of earlier versions, and of a later one.

use std::path::PathBuf;

use flowlog_tests::{files_under, flowlog};
use serde_json::Value;

use super::rig::{assert_rows, assert_same, expected, generations, packets, rows, verify_deep};

#[test]
fn a_store_of_an_earlier_version_balances_to_the_packet() {
    for generation in generations("store-") {
        let ended = verify_deep(&generation.join("store"));
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        let expected = expected(&generation);
        assert_eq!(report["packets"].as_u64(), Some(packets(&expected["ledger"])), "{report}");
        assert_eq!(report["rows"], expected["flows"].as_array().unwrap().len(), "{report}");
        let gaps = expected["gaps"].as_array().unwrap();
        assert_eq!(report["gaps"].as_array().unwrap().len(), gaps.len(), "{report}");
        assert_eq!(report["differences"], Value::Array(vec![]), "{report}");
    }
}

#[test]
fn the_sql_of_this_version_reads_each_row_of_a_store_of_an_earlier_one() {
    for generation in generations("store-") {
        let (store, expected) = (generation.join("store"), expected(&generation));
        assert_rows(&store, &expected);
        let gaps = rows(
            &store,
            "SELECT gateway, interface, epoch_ms(gap_start), epoch_ms(gap_end) FROM gaps()",
        );
        assert_same(&gaps, &expected["gaps"]);
    }
}

/// What version 2 of the ledger has beside version 1.
#[test]
fn a_ledger_of_an_earlier_version_has_its_epochs_reasons_and_the_interfaces_own_counters() {
    let generations = generations("store-").into_iter();
    let has_windows = |(_, expected): &(PathBuf, Value)| expected.get("windows").is_some();
    let of_version_2: Vec<_> =
        generations.map(|path| (path.join("store"), expected(&path))).filter(has_windows).collect();
    assert!(!of_version_2.is_empty());
    for (store, expected) in of_version_2 {
        let windows = rows(
            &store,
            "SELECT gateway, epoch_ms(window_start), interface, direction, epoch_first, epoch_last,
                packets_interface, bytes_interface, clock_step_ms
             FROM ledger WHERE packets_seen > 0",
        );
        assert_same(&windows, &expected["windows"]);
        let reasons =
            rows(&store, "SELECT gateway, interface, epoch_ms(gap_start), gap_reason FROM gaps()");
        assert_same(&reasons, &expected["reasons"]);
    }
}

/// These stores have windows of a quarter of an hour; no row of theirs is of a time without a daemon.
#[test]
fn a_row_of_flows_has_the_window_that_the_ledger_has() {
    for generation in generations("store-") {
        let strays = rows(
            &generation.join("store"),
            "SELECT DISTINCT gateway, window_start::VARCHAR FROM flows f WHERE NOT EXISTS (FROM ledger l
             WHERE l.gateway = f.gateway AND l.interface = f.interface AND l.window_start = f.window_start)",
        );
        assert_eq!(strays, Vec::<Value>::new());
    }
}

#[test]
fn the_macros_answer_about_a_store_of_an_earlier_version() {
    for generation in generations("store-") {
        let instant = "SELECT DISTINCT gateway, member_ip
             FROM at_instant('192.0.2.1', 443, TIMESTAMPTZ '2026-03-01 09:31:00+00')";
        let store = generation.join("store");
        let found = rows(&store, instant);
        assert!(found.contains(&serde_json::json!(["golden-a", "10.20.0.7"])), "{found:?}");
    }
}

#[test]
fn retention_plans_what_has_expired_of_a_store_of_an_earlier_version() {
    for generation in generations("store-") {
        let store = generation.join("store");
        let store = store.to_str().unwrap();
        let at = ["--keep", "30d", "--at", "2026-03-01T12:00:00Z", "--format", "json"];
        let ended = flowlog(&[&["retention", "plan", "--store", store][..], &at].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
        let partitions = plan["expired"].as_array().unwrap().iter();
        let partitions: Vec<&str> =
            partitions.map(|expired| expired["partition"].as_str().unwrap()).collect();
        let old = "gateway=golden-b/date=2026-01-10/hour=23";
        assert_eq!(partitions, [format!("flows/{old}"), format!("ledger/{old}")]);
        let files = files_under(store.as_ref()).len();
        assert_eq!(plan["kept_files"], files - partitions.len(), "{plan}");
    }
}
