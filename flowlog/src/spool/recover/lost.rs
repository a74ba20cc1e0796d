//! What is lost: what cannot be read, and numbers of which there is no trace.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::super::{
    HourFile, Spool,
    files::FileIdentity,
    identity::{Identity, Lost, Numbering, UNKNOWN, without},
    incidents::Incident,
    run::Run,
};
use crate::{
    record::{clock::Utc, epoch_set::EpochSet, ledger::GapReason, location::Location},
    table::HOUR,
};

/// Writes down what is lost.
pub(super) fn remember(
    spool: &Spool,
    found: &[Run],
    files: &[HourFile],
    unreadable: Vec<Lost>,
    seen: &BTreeSet<String>,
    of_files: &[FileIdentity],
) {
    let mut kept = spool.kept();
    let identity = &mut kept.value;
    let runs: Vec<&Run> = files.iter().flat_map(|file| &file.runs).chain(found).collect();
    compare(identity, &runs);
    for lost in unreadable {
        if lost.numbering == UNKNOWN {
            for piece in in_pieces(lost, &runs) {
                identity.lose(piece);
            }
            continue;
        }
        let known = identity.lost_of(&lost.numbering);
        let stored = identity.of(&lost.numbering).stored.clone();
        let epochs = lost.epochs.minus(&known).minus(&stored);
        if !epochs.is_empty() {
            let pieces = in_pieces(Lost { epochs, ..lost }, &runs);
            for lost in pieces {
                identity.lose(lost);
            }
        }
    }
    for (numbering, known) in identity.numberings.clone() {
        let of: Vec<&Run> =
            runs.iter().filter(|run| run.header.numbering == numbering).copied().collect();
        let held = of.iter().fold(EpochSet::default(), |all, run| all.union(&run.header.held()));
        let accounted = held.union(&known.stored).union(&identity.lost_of(&numbering));
        let put = of_files.iter().filter(|of_file| of_file.numbering == numbering);
        let put = put.filter_map(|of_file| of_file.put).max();
        // Where a numbering ended was found out by the runs that could be read: one that cannot may be behind it.
        let end = match known.last {
            Some(last) => Some(last).max(accounted.last()),
            None => accounted.last().max(put.map(|(last, _)| last)),
        };
        let Some((begin, end)) = known.first.zip(end) else { continue };
        for (first, last) in EpochSet::range(begin, end).minus(&accounted).ranges() {
            let lost = without_trace(identity, &numbering, (first, last), &of, put);
            Incident::WithoutTrace { first, last }.emit();
            identity.lose(lost);
        }
        // A window that was open at a stop went where its file goes.
        for lost in identity.lost.iter_mut().filter(|lost| lost.numbering == numbering) {
            let reserving = files.iter().find(|file| {
                file.identity.numbering == numbering
                    && file.identity.provisional.meets(&lost.epochs)
            });
            let reserving = reserving.and_then(|file| file.identity.store.clone());
            lost.store = lost.store.take().or(reserving).or_else(|| store_of(lost, of_files));
        }
        if known.last.is_some() && !seen.contains(&numbering) {
            // All of them are accounted for.
            let is_reported = |lost: &Lost| lost.numbering != numbering;
            if identity.lost.iter().all(is_reported) {
                identity.forget(&numbering);
            }
        }
    }
}

/// Compares what was lost with what is there: what was found after all is not lost, and what an epoch told that
/// is gone without a trace is told by another one.
fn compare(identity: &mut Identity, runs: &[&Run]) {
    let mut held: BTreeMap<&str, EpochSet> = BTreeMap::new();
    for run in runs {
        let held = held.entry(&run.header.numbering).or_default();
        *held = held.union(&run.header.held());
    }
    for mut lost in mem::take(&mut identity.lost) {
        if let Some((numbering, number)) = &lost.reported_by {
            let number = EpochSet::range(*number, *number);
            let is_there = held.get(&**numbering).is_some_and(|held| held.meets(&number));
            let known = identity.numberings.get(numbering);
            let is_stored = known.is_some_and(|known| known.stored.meets(&number));
            if !is_there && !is_stored {
                lost.reported_by = None;
            }
            identity.lost.push(lost);
            continue;
        }
        match held.get(&*lost.numbering) {
            Some(held) if held.contains(&lost.epochs) && !lost.epochs.is_empty() => {}
            Some(held) if held.meets(&lost.epochs) => {
                let epochs = lost.epochs.minus(held);
                identity.lost.extend(in_pieces(Lost { epochs, ..lost }, runs));
            }
            _ => identity.lost.push(lost),
        }
    }
}

/// The store that the files of a time went to, where that is one: it is asked, and waited for, rather than
/// the one that is configured now. A file has gone of which no run is left, but not what it stated.
fn store_of(lost: &Lost, of_files: &[FileIdentity]) -> Option<Location> {
    let of = of_files.iter().filter(|of_file| {
        let end = Utc::from_ns(of_file.hour_ns).plus(HOUR).ns();
        of_file.numbering == lost.numbering && of_file.hour_ns <= lost.end_ns && lost.start_ns < end
    });
    let stores: BTreeSet<&Location> = of.filter_map(|of_file| of_file.store.as_ref()).collect();
    stores.first().filter(|_| stores.len() == 1).map(|store| (*store).clone())
}

/// Epochs that were written once, by what comes before and after them.
fn without_trace(
    identity: &Identity,
    numbering: &str,
    (first, last): (u64, u64),
    runs: &[&Run],
    put: Option<(u64, i64)>,
) -> Lost {
    let known = identity.numberings.get(numbering);
    let known_from = |known: &&Numbering| known.first.is_some_and(|begin| begin <= first);
    let begun = known.filter(known_from).map(|known| known.opened_ns);
    let stored = known.and_then(|known| Some((known.stored.last()?, known.stored_until_ns)));
    let ends_later = |known: &&Numbering| known.last.is_some_and(|end| end >= last);
    let ended = known.filter(ends_later).and_then(|known| known.until_ns);
    let before = runs.iter().filter(|run| run.header.epochs.1 < first);
    let before = before.map(|run| run.header.closed_ns);
    let after = runs.iter().filter(|run| run.header.epochs.0 > last);
    let after = after.map(|run| run.header.opened().ns());
    // Where nobody knows when the epochs between two losses were counted, a time of one bounds the other no
    // further than this. What was counted then is taken out of the gap when the store is asked.
    let others = || {
        let of = identity.lost.iter().filter(|other| other.numbering == numbering);
        // A stranger may have the name of a run that came before all of them.
        of.filter(|other| other.epochs.first() >= known.and_then(|known| known.first))
    };
    let earlier = others().filter_map(|other| {
        let end = other.epochs.last().filter(|end| *end < first)?;
        Some(if end + 1 == first { other.end_ns } else { other.start_ns })
    });
    let later = others().filter_map(|other| {
        let next = other.epochs.first().filter(|next| *next > last)?;
        Some(if last + 1 == next { other.start_ns } else { other.end_ns })
    });
    let stored_before = stored.filter(|(end, _)| *end < first).map(|(_, until)| until);
    let stored_after = stored.filter(|(end, _)| *end > last).map(|(_, until)| until);
    let start = before.chain(earlier).chain(stored_before).chain(begun).max();
    let put = put.filter(|(end, _)| *end >= last).map(|(_, until)| until);
    let end = after.chain(later).chain(stored_after).chain(put).chain(ended).min();
    let at_least = known.map_or(0, |known| known.opened_ns.max(known.stored_until_ns));
    let start_ns = start.or(end).unwrap_or(at_least);
    let rows = runs.iter().flat_map(|run| &run.header.windows).flat_map(|window| &window.rows);
    let interfaces: BTreeSet<String> = rows.map(|row| row.interface.clone()).collect();
    Lost {
        numbering: numbering.to_owned(),
        epochs: EpochSet::range(first, last),
        start_ns,
        end_ns: end.unwrap_or(start_ns),
        reason: GapReason::Damaged,
        interfaces: interfaces.into_iter().collect(),
        reported_by: None,
        gateway: known.map_or(&identity.gateway, |known| &known.gateway).clone(),
        store: None,
        is_settled: false,
    }
}

/// Something lost, without the times of what is there. The first piece stands for the numbers.
fn in_pieces(lost: Lost, runs: &[&Run]) -> Vec<Lost> {
    let lost = bounded(lost, runs);
    let between = between(&lost, runs).into_iter().enumerate();
    let piece = |(place, (start_ns, end_ns))| {
        let epochs = if place == 0 { lost.epochs.clone() } else { EpochSet::default() };
        Lost { epochs, start_ns, end_ns, ..lost.clone() }
    };
    between.map(piece).collect()
}

/// A gap is not longer than what is known of the epochs beside it allows.
fn bounded(mut gap: Lost, runs: &[&Run]) -> Lost {
    let (Some(first), Some(last)) = (gap.epochs.first(), gap.epochs.last()) else { return gap };
    let of = || runs.iter().filter(|run| run.header.numbering == gap.numbering);
    let before = of().filter(|run| run.header.epochs.1 < first);
    let after = of().filter(|run| run.header.epochs.0 > last);
    let start = before.map(|run| run.header.closed_ns).max();
    let end = after.map(|run| run.header.opened().ns()).min();
    let no_time = i64::MIN;
    if gap.start_ns == no_time {
        gap.start_ns = start.or(end).unwrap_or(0);
        gap.end_ns = end.unwrap_or(gap.start_ns);
    }
    gap.start_ns = start.map_or(gap.start_ns, |start| gap.start_ns.max(start));
    gap.end_ns = end.map_or(gap.end_ns, |end| gap.end_ns.min(end)).max(gap.start_ns);
    if gap.interfaces.is_empty() {
        let rows = of().flat_map(|run| &run.header.windows).flat_map(|window| &window.rows);
        let names: BTreeSet<String> = rows.map(|row| row.interface.clone()).collect();
        gap.interfaces = names.into_iter().collect();
    }
    gap
}

/// The times of something lost, without those of runs in its middle that are there.
fn between(lost: &Lost, runs: &[&Run]) -> Vec<(i64, i64)> {
    let all = EpochSet::range(lost.epochs.first().unwrap_or(0), lost.epochs.last().unwrap_or(0));
    let is_within = |run: &&&Run| {
        lost.numbering == UNKNOWN
            || run.header.numbering == lost.numbering && all.contains(&run.header.held())
    };
    let within = runs.iter().filter(is_within);
    let times = within.map(|run| (run.header.opened().ns(), run.header.closed_ns));
    without((lost.start_ns, lost.end_ns), &times.collect::<Vec<_>>())
}
