//! What the store must have after a midnight.

use std::collections::BTreeMap;

use object_store::path::Path;

use super::{super::tracker::tests::second, history::History};
use crate::{
    record::{
        clock::Utc,
        epoch_set::EpochSet,
        redacted::Prefix,
        session::{CoverageReason, CoverageRow, Entry, SessionRow},
    },
    table::{COVERAGE, Reader, SESSIONS, coverage, metadata::Facts, sessions},
};

/// Seconds without a look after which nothing is taken for granted.
const TOLERANCE: i64 = 15;

/// Compares the store with the looks.
pub(super) fn judge(history: &History) -> Result<(), String> {
    let (rows, coverage) = read(history)?;
    let seconds: Vec<i64> = history.looks.keys().copied().collect();
    for pair in seconds.windows(2) {
        let [from, to] = [pair[0], pair[1]];
        let (before, after) = (&history.looks[&from], &history.looks[&to]);
        for (entry, prefix) in held(before) {
            let goes_on = held(after).any(|(of, other)| {
                other == prefix && (of.key, of.outer) == (entry.key, entry.outer)
            });
            // Twice a look is as good as any instant between two of them.
            for ms in [0, 1, (to - from) * 500, (to - from) * 1_000 - 1] {
                let at = Utc::from_ms(second(from).ms() + ms);
                let count = certain(&rows, entry, prefix, at);
                let is_vouched_for = goes_on && to - from <= TOLERANCE;
                let expected = usize::from(is_vouched_for);
                let is_allowed = count == expected || !goes_on && count == 0;
                if !is_allowed {
                    return Err(format!(
                        "{count} rows of peer {:?} between the looks at {from} and {to}, of {expected}: {rows:#?}",
                        entry.key.peer
                    ));
                }
            }
        }
    }
    let last = *seconds.last().ok_or("no look")?;
    judge_bounds(history, &rows, last)?;
    judge_gaps(history, &coverage)
}

/// No row is certain before the first or after the last look that has its session.
fn judge_bounds(history: &History, rows: &[SessionRow], last: i64) -> Result<(), String> {
    for row in rows.iter().filter(|row| !row.held.is_empty()) {
        let of_row = |entries: &[Entry]| {
            let is_it = |(entry, prefix): &(&Entry, Prefix)| is_of(row, entry, *prefix);
            held(entries).find(is_it).map(|(entry, _)| entry.clone())
        };
        let listed = history.looks.iter();
        let listed: Vec<(i64, Entry)> =
            listed.filter_map(|(at, entries)| Some((*at, of_row(entries)?))).collect();
        let (Some((first, entry)), Some((end, _))) = (listed.first(), listed.last()) else {
            return Err(format!("a row of nobody: {row:#?}"));
        };
        // A handshake is known to the nanosecond, where somebody looked before it.
        let began = second(history.looks.keys().next().copied().unwrap_or(*first));
        let since = entry.since.map(|since| since.certain).filter(|since| *since > began);
        let earliest = since.unwrap_or(second(*first)).min(second(*first));
        if row.held.start < earliest || row.held.end > second(*end) {
            return Err(format!("a row that nobody confirmed: {row:#?}"));
        }
        let is_open = *end == last;
        let ends_for_good = row.end_reason.is_some() && row.held.end >= second(last);
        if is_open && ends_for_good {
            return Err(format!("a row that goes on has an end: {row:#?}"));
        }
    }
    Ok(())
}

fn judge_gaps(history: &History, coverage: &[CoverageRow]) -> Result<(), String> {
    let mut gaps: Vec<(i64, i64)> = vec![];
    for row in coverage {
        let Some(gap) = row.gap else { continue };
        if gap.reason != CoverageReason::Down {
            // A disk that failed for longer than the source may be silent.
            continue;
        }
        let seconds = |at: Utc| (at.ms() - second(0).ms()) / 1_000;
        let (from, to) = (seconds(gap.start), seconds(gap.end));
        match gaps.last_mut() {
            // A gap is cut where a window ends.
            Some(before) if before.1 == from && gap.start == row.window.0 => before.1 = to,
            _ => gaps.push((from, to)),
        }
    }
    if gaps != history.absences {
        return Err(format!("gaps {gaps:?}, absences {:?}: {coverage:#?}", history.absences));
    }
    let reports: u64 = coverage.iter().map(|row| row.reports).sum();
    let looks = history.looks.len() as u64;
    if reports != looks {
        return Err(format!("{reports} reports in the coverage, of {looks} looks"));
    }
    Ok(())
}

fn held(entries: &[Entry]) -> impl Iterator<Item = (&Entry, Prefix)> {
    entries.iter().flat_map(|entry| entry.prefixes.iter().map(move |prefix| (entry, *prefix)))
}

fn is_of(row: &SessionRow, entry: &Entry, prefix: Prefix) -> bool {
    (row.peer, row.prefix, row.outer) == (entry.key.peer, prefix, entry.outer)
}

/// How many rows are certain of an instant.
fn certain(rows: &[SessionRow], entry: &Entry, prefix: Prefix, at: Utc) -> usize {
    let has = |row: &&SessionRow| row.held.start <= at && at < row.held.end;
    rows.iter().filter(|row| is_of(row, entry, prefix)).filter(has).count()
}

/// The rows of all files, whose events are each in one of them.
fn read(history: &History) -> Result<(Vec<SessionRow>, Vec<CoverageRow>), String> {
    let (mut rows, mut looks) = (vec![], vec![]);
    let mut events: BTreeMap<&str, EpochSet> = BTreeMap::new();
    for (path, file) in history.store.all() {
        let is_sessions = path.as_ref().starts_with("sessions/");
        let table = if is_sessions { &SESSIONS } else { &COVERAGE };
        let named = Facts::of(&file).and_then(|facts| facts.events).ok_or("no events")?;
        for (_, first, last) in named {
            let of = events.entry(table.name).or_default();
            let these = EpochSet::range(first, last);
            if of.meets(&these) {
                return Err(format!("events {these} are in two files, the second {path}"));
            }
            *of = of.union(&these);
        }
        let fault = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        let reader = Reader::open(table, &Path::from(path.as_ref()), file);
        let batches = reader.and_then(Reader::batches).map_err(|error| fault(&error))?;
        for batch in batches {
            let batch = batch.map_err(|error| fault(&error))?;
            if is_sessions {
                rows.extend(sessions::rows(&batch).map_err(|error| fault(&error))?);
            } else {
                looks.extend(coverage::rows(&batch).map_err(|error| fault(&error))?);
            }
        }
    }
    let is_whole = |of: &EpochSet| of.ranges().count() == 1 && of.first() == Some(1);
    if events.len() != 2 || !events.values().all(is_whole) {
        return Err(format!("a file lacks events: {events:?}"));
    }
    rows.sort_by_key(|row: &SessionRow| (row.held.start, row.held.end));
    looks.sort_by_key(|row: &CoverageRow| (row.window.0, row.gap.map(|gap| gap.start)));
    Ok((rows, looks))
}
