//! What the store must have after all the kills.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use flowlog_tests::duckdb;
use serde_json::Value;

use super::{churn::Truth, rig::Life};

/// Instants are whole milliseconds, rounded outwards.
const ROUNDED: u64 = 1;

#[derive(Clone, Debug)]
struct Row {
    session: String,
    state: String,
    prefix: String,
    certain: (u64, u64),
    possible: (u64, u64),
    end_reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    from: u64,
    to: u64,
    reason: String,
}

/// The sessions and the gaps of a store.
pub struct Stored {
    rows: Vec<Row>,
    gaps: BTreeMap<String, Vec<Gap>>,
    looks: BTreeMap<String, (u64, u64)>,
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_else(|| panic!("{name}: {row}")).to_owned()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"))
}

impl Stored {
    pub fn read(store: &Path) -> Self {
        let question =
            "SELECT session_id, state, inner_prefix, end_reason, epoch_ms(held_start) AS since,
            epoch_ms(held_end) AS until, start_slack_ms, end_slack_ms FROM sessions ORDER BY ALL";
        let row = |row: &Value| {
            let certain = (number(row, "since"), number(row, "until"));
            let slacks = (number(row, "start_slack_ms"), number(row, "end_slack_ms"));
            Row {
                session: text(row, "session_id"),
                state: text(row, "state"),
                prefix: text(row, "inner_prefix"),
                certain,
                possible: (certain.0 - slacks.0, certain.1 + slacks.1),
                end_reason: row["end_reason"].as_str().map(str::to_owned),
            }
        };
        let rows = duckdb(store, question).iter().map(row).collect();
        let question = "SELECT instance, epoch_ms(window_start) AS opened, epoch_ms(gap_start) AS since,
            epoch_ms(gap_end) AS until, gap_reason FROM coverage WHERE gap_reason IS NOT NULL ORDER BY ALL";
        let mut gaps: BTreeMap<String, Vec<Gap>> = BTreeMap::new();
        for row in duckdb(store, question) {
            let (from, to) = (number(&row, "since"), number(&row, "until"));
            let of = gaps.entry(text(&row, "instance")).or_default();
            match of.last_mut() {
                // One is cut where a window ends.
                Some(before) if before.to == from && from == number(&row, "opened") => {
                    before.to = to;
                }
                _ => of.push(Gap { from, to, reason: text(&row, "gap_reason") }),
            }
        }
        let question = "SELECT instance, min(epoch_ms(observed_start)) AS since, max(epoch_ms(observed_end)) AS until
            FROM coverage WHERE reports > 0 GROUP BY ALL";
        let looks = duckdb(store, question);
        let looks = looks
            .iter()
            .map(|row| (text(row, "instance"), (number(row, "since"), number(row, "until"))));
        Self { rows, gaps, looks: looks.collect() }
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Each time without a daemon lies in one gap of each source, and each gap has such a time.
    pub fn assert_gaps(&self, lives: &[Life]) {
        assert_eq!(self.looks.len(), 3, "{:?}", self.looks);
        for (instance, (first, last)) in &self.looks {
            let gaps = self.gaps.get(instance).cloned().unwrap_or_default();
            assert!(gaps.iter().all(|gap| gap.reason == "down"), "{instance}: {gaps:#?}");
            assert!(gaps.is_sorted_by(|a, b| a.to <= b.from + ROUNDED), "{instance}: {gaps:#?}");
            let absences = lives.windows(2).map(|pair| (pair[0].dead, pair[1].began));
            let absences: Vec<_> =
                absences.filter(|(dead, back)| first < dead && back < last).collect();
            let has = |gap: &Gap, (dead, back): &(u64, u64)| gap.from <= *dead && *back <= gap.to;
            for absence in &absences {
                let count = gaps.iter().filter(|gap| has(gap, absence)).count();
                assert_eq!(count, 1, "{instance}: {absence:?} in {gaps:#?}");
            }
            for gap in &gaps {
                assert!(absences.iter().any(|of| has(gap, of)), "{instance}: {gap:?} {absences:?}");
            }
            assert!(absences.len() + 3 > lives.len(), "{instance}: {absences:?}");
        }
    }

    /// Each session is there once, no longer than it was confirmed, and with all of its time but gaps.
    pub fn assert_sessions(&self, truths: &[Truth]) {
        let known: BTreeSet<&str> = truths.iter().map(|truth| truth.prefix.as_str()).collect();
        let stranger = self.rows.iter().find(|row| !known.contains(row.prefix.as_str()));
        assert!(stranger.is_none(), "nobody had this: {stranger:?}");
        for truth in truths {
            let rows: Vec<&Row> =
                self.rows.iter().filter(|row| row.prefix == truth.prefix).collect();
            let gaps = self.gaps.get(truth.instance).cloned().unwrap_or_default();
            let of = || format!("{truth:?}\n{rows:#?}\n{gaps:?}");
            for (place, row) in rows.iter().enumerate() {
                for other in &rows[place + 1..] {
                    let is_apart =
                        row.certain.1 <= other.certain.0 || other.certain.1 <= row.certain.0;
                    let is_double = row.certain == other.certain && row.possible == other.possible;
                    assert!(is_apart && !is_double, "twice: {}", of());
                }
                // One that is certain of no time is of the instant in which the source had answered.
                if row.certain.0 + ROUNDED < row.certain.1 {
                    let (from, to) = truth.bounds;
                    let is_confirmed =
                        row.certain.0 + ROUNDED >= from && row.certain.1 <= to + ROUNDED;
                    assert!(is_confirmed, "longer than confirmed: {}", of());
                }
            }
            // An assigned address and the tunnel on it are two sessions of one peer.
            for state in ["tunnel", "assigned"] {
                let of_state = rows.iter().filter(|row| row.state == state);
                let ids: BTreeSet<&str> = of_state.map(|row| row.session.as_str()).collect();
                assert!(ids.len() <= 1, "two sessions: {}", of());
            }
            let mut covered: Vec<(u64, u64)> = rows.iter().map(|row| row.certain).collect();
            covered.extend(gaps.iter().map(|gap| (gap.from, gap.to)));
            assert!(is_covered(truth.held, covered), "a part is missing: {}", of());
            let ends = rows.iter().filter(|row| row.end_reason.is_some()).count();
            assert!(ends > 0 || rows.is_empty(), "it never ends: {}", of());
        }
    }
}

/// Whether some times are all of another one.
fn is_covered((from, to): (u64, u64), mut times: Vec<(u64, u64)>) -> bool {
    times.sort_unstable();
    let mut until = from;
    for (start, end) in times {
        if start <= until + ROUNDED {
            until = until.max(end);
        }
    }
    until + ROUNDED >= to
}
