//! Random histories of sessions: `trace`, DuckDB and a model that knows the whole history give the same answers.
//!
//! Many histories share a store, each with an address of its own, so that one DuckDB answers all questions about them.

#[path = "histories/asked.rs"]
mod asked;
#[path = "histories/history.rs"]
mod history;
#[path = "histories/model.rs"]
mod model;

use std::{collections::BTreeSet, fs, path::Path, time::Instant};

use flowlog::record::session::SessionRow;
use flowlog_tests::{
    duckdbs,
    holders::{polls, write_days},
    times,
};

use asked::{Answers, Asked, by_macro, by_question, by_tables, by_trace};
use history::{GATEWAYS, History, MINUTE, midnight};

/// Histories of a store.
const STORE: usize = 500;
/// Questions about a history.
const QUESTIONS: usize = 2;
/// So many questions of a store are also asked as a user asks them, one at a time: of every release of DuckDB, and of
/// `trace`.
const SAMPLE: usize = 12;
/// In so many stores.
const SAMPLED_STORES: usize = 4;

/// How many histories: `FLOWLOG_HISTORIES`, or as many as there is time for.
fn histories() -> usize {
    let chosen = std::env::var("FLOWLOG_HISTORIES").ok().and_then(|n| n.parse().ok());
    chosen.unwrap_or_else(|| times(100_000, 2_000))
}

/// Writes histories into a store; the first day of those whose records were deleted in part is not there.
fn write(store: &Path, histories: &[History], is_purged: bool) {
    let looks = polls(midnight().minus(MINUTE * 20), midnight().plus(MINUTE * 20));
    for (place, gateway) in GATEWAYS.iter().enumerate() {
        let rows: Vec<SessionRow> = histories.iter().flat_map(|of| of.rows(place)).collect();
        write_days(store, gateway, &rows, &looks);
        if is_purged {
            let day = midnight().minus(MINUTE).to_string();
            let folder = format!("sessions/gateway={gateway}/date={}", &day[..10]);
            fs::remove_dir_all(store.join(folder)).unwrap();
        }
    }
}

#[test]
fn trace_and_duckdb_answer_as_a_model_that_knows_the_whole_history() {
    let (histories, began) = (histories(), Instant::now());
    let (mut candidates, mut questions) = (0, 0);
    for first in (0..histories).step_by(STORE) {
        let numbers = first..histories.min(first + STORE);
        let of_store: Vec<History> = numbers.map(|number| History::of(number as u64)).collect();
        // A model that knows of no deletion has no answer in every fourth of the stores.
        let is_purged = first / STORE % 4 == 3;
        let store = tempfile::tempdir().unwrap();
        write(store.path(), &of_store, is_purged);
        let asked: Vec<Asked<'_>> =
            of_store.iter().flat_map(|of| Asked::about(of, QUESTIONS)).collect();
        let (traced, outcomes) = by_trace(store.path(), &asked);
        assert_same("DuckDB", &by_tables(store.path(), &asked), &traced, &asked);
        if first / STORE < SAMPLED_STORES {
            let some = &asked[..SAMPLE.min(asked.len())];
            let of_some: Answers =
                traced.iter().filter(|of| of.number < some.len()).cloned().collect();
            let (read, of_read) = by_question(store.path(), some);
            assert_same("trace that reads for each question", &read, &of_some, some);
            assert_eq!(of_read, outcomes[..some.len()]);
            for mut cli in duckdbs() {
                let (found, what) = (by_macro(store.path(), &mut cli, some), format!("{cli:?}"));
                assert_same(&what, &found, &of_some, some);
            }
        }
        if !is_purged {
            for (question, outcome) in asked.iter().zip(outcomes) {
                let model = model::answer(question.history, question.at, question.error_ms);
                let number = question.number;
                let found: BTreeSet<_> = traced
                    .iter()
                    .filter(|of| of.number == number)
                    .map(|of| (of.session.clone(), of.segment, of.certainty.clone()))
                    .collect();
                assert_eq!((found, outcome), model, "{question:?}");
            }
        }
        candidates += traced.len();
        questions += asked.len();
        println!(
            "{} histories, {questions} questions, {candidates} candidates: {:.0?}",
            first + of_store.len(),
            began.elapsed()
        );
    }
}

fn assert_same(what: &str, found: &Answers, traced: &Answers, asked: &[Asked<'_>]) {
    let differs = found.symmetric_difference(traced).next();
    if let Some(differs) = differs {
        let of = |all: &Answers| {
            let of_it: Vec<_> = all.iter().filter(|of| of.number == differs.number).collect();
            format!("{of_it:#?}")
        };
        let question = asked.iter().find(|of| of.number == differs.number);
        panic!("{question:#?}\n{what}: {}\ntrace: {}", of(found), of(traced));
    }
}
