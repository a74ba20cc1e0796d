//! Stores of sessions that earlier versions wrote: the same answers come of them, and the audit finds nothing.

use std::{fs, time::Duration};

use flowlog_tests::{
    flowlog,
    holders::{polls, session, utc, write_days},
    root,
};
use serde_json::{Value, json};

use super::rig::{expected, generations};

/// The answer to a question, as far as it must stay the same, and the exit code.
fn answer(store: &str, question: &Value) -> Value {
    let text = |key: &str| question[key].as_str().unwrap().to_owned();
    let (ip, at) = (text("ip"), text("at"));
    let asked = flowlog(&["trace", "--store", store, "--ip", &ip, "--at", &at, "--format", "json"]);
    let answer: Value = serde_json::from_str(&asked.stdout).unwrap_or_else(|_| panic!("{asked:?}"));
    let candidates: Vec<Value> = answer["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| {
            json!([
                of["subscriber"],
                of["certainty"],
                of["peer"],
                of["session_id"],
                of["inner_prefix"],
                of["outer_ip"],
                of["outer_port"],
                of["from"],
                of["to"],
                of["to_slack_ms"]
            ])
        })
        .collect();
    json!({"code": asked.code, "outcome": answer["outcome"], "candidates": candidates})
}

#[test]
fn sessions_of_an_earlier_version_give_the_same_answers() {
    for generation in generations("sessions-") {
        let store = generation.join("store");
        let store = store.to_str().unwrap();
        let verified = flowlog(&["verify", "--deep", "--store", store]);
        assert_eq!(verified.code, 0, "{verified:?}");
        for case in expected(&generation).as_array().unwrap() {
            assert_eq!(answer(store, &case["question"]), case["answer"], "{case}");
        }
    }
}

/// Writes the first generation: two members, of whom one has the address after the other, over midnight.
#[test]
#[ignore = "makes golden files"]
fn make_a_generation_of_sessions() {
    let generation = root().join("tests/golden/sessions-1");
    fs::create_dir(&generation).unwrap();
    let (evening, night) = (utc("2026-03-01T20:00:00Z"), utc("2026-03-02T02:00:00Z"));
    let later = night.plus(Duration::from_mins(10));
    let sessions = [
        session("golden", 7, "10.0.0.7/32", evening, night),
        session("golden", 7, "2001:db8:7::/56", evening, night),
        session("golden", 8, "10.0.0.7/32", later, later.plus(Duration::from_hours(1))),
    ];
    let coverage = polls(utc("2026-03-01T00:00:00Z"), utc("2026-03-03T00:00:00Z"));
    write_days(&generation.join("store"), "golden", &sessions, &coverage);
}
