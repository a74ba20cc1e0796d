//! Dating epochs again that were counted before the wall clock was corrected.
//!
//! A machine without a battery begins in 1970 and learns the time a minute later. Until the window of
//! that minute is over its epochs are apart from each other in the spool, and each has the reading of
//! the clock by which it is dated: all of its times move by the difference to the corrected one.
//!
//! Each epoch is written anew under its own name, whole or not at all, so that this can end at any
//! step and be done again.

use std::time::Duration;

use super::{
    Error,
    header::Header,
    run::{Cursor, Run, RunWriter},
};
use crate::record::{clock::Utc, dated::Dated, ledger::Gap};

/// By how many nanoseconds the times of an epoch are to move, now that the clock reads otherwise;
/// `None` where they are right, or were those of another start of the machine.
#[must_use]
pub fn correction(epoch: &Header, now: &Dated) -> Option<i64> {
    let dated = epoch.dated.as_ref().filter(|dated| dated.boot == now.boot)?;
    let (before, after) = (dated.dating(), now.dating());
    let step = before.step(after, apart(epoch))?;
    (before.better(after, epoch.closed()) == after).then_some(step)
}

/// Writes an epoch anew with times that are so many nanoseconds later.
pub fn redate(epoch: &Run, by: i64, now: &Dated) -> Result<Run, Error> {
    let mut writer = RunWriter::create(epoch.disk(), epoch.path.clone())?;
    let (v4, v6) = epoch.cursors()?;
    copy(v4, by, &mut writer)?;
    copy(v6, by, &mut writer)?;
    writer.finish(moved(&epoch.header, by, now))
}

/// How long an epoch was open: for so long the clock may have been slewed.
fn apart(epoch: &Header) -> Duration {
    let rows = epoch.windows.iter().flat_map(|window| &window.rows);
    let opened = rows.map(|row| row.observed_start).min();
    opened.map_or(Duration::ZERO, |opened| opened.distance(epoch.closed()))
}

fn copy<const A: usize>(mut from: Cursor<A>, by: i64, to: &mut RunWriter) -> Result<(), Error> {
    let by_ms = by / 1_000_000;
    while let Some(mut entry) = from.next_entry()? {
        entry.activity.start_ms = entry.activity.start_ms.saturating_add(by_ms);
        entry.activity.end_ms = entry.activity.end_ms.saturating_add(by_ms);
        to.push(&entry)?;
    }
    Ok(())
}

/// The description of an epoch whose times have moved: it may belong to another window now.
fn moved(header: &Header, by: i64, now: &Dated) -> Header {
    let later = |utc: Utc| Utc::from_ns(utc.ns().saturating_add(by));
    let mut moved = header.clone();
    let was_closed = header.closed();
    moved.closed_ns = later(was_closed).ns();
    moved.opened_ns = header.opened_ns.map(|opened| opened.saturating_add(by));
    moved.dated = Some(now.clone());
    for window in &mut moved.windows {
        let last = later(was_closed).minus(Duration::from_nanos(1));
        window.start_ns = last.floor(Duration::from_millis(window.length_ms)).ns();
        for row in &mut window.rows {
            row.observed_start = later(row.observed_start);
            row.observed_end = later(row.observed_end);
            for gap in &mut row.gaps {
                *gap = gap_until(gap, was_closed, by);
            }
        }
    }
    moved
}

/// A gap began when something else was last counted, by a clock of that time. Only its other bound,
/// which is the one nearer to the epoch, was read from the clock that was corrected.
fn gap_until(gap: &Gap, closed: Utc, by: i64) -> Gap {
    let (far, near) = if gap.start.distance(closed) < gap.end.distance(closed) {
        (gap.end, gap.start)
    } else {
        (gap.start, gap.end)
    };
    Gap::between(far, Utc::from_ns(near.ns().saturating_add(by)), gap.reason)
}

#[cfg(test)]
mod tests {
    use flowlog_common::flow::Direction;

    use super::*;
    use crate::spool::{
        merge::Duplicates,
        tests::{epoch, key, rows, spool},
    };

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn dated(boot: &str, offset_ns: i64, synchronised: bool) -> Dated {
        Dated { boot: boot.to_owned(), offset_ns, synchronised }
    }

    #[test]
    fn only_epochs_of_this_start_of_the_machine_move() {
        let header = Header { dated: Some(dated("this", 0, false)), ..Header::default() };
        assert_eq!(correction(&header, &dated("this", HOUR_NS, true)), Some(HOUR_NS));
        assert_eq!(correction(&header, &dated("this", HOUR_NS, false)), Some(HOUR_NS));
        assert_eq!(correction(&header, &dated("this", 1, true)), None);
        assert_eq!(correction(&header, &dated("other", HOUR_NS, true)), None);
        assert_eq!(correction(&Header::default(), &dated("this", HOUR_NS, true)), None);
        let kept = Header { dated: Some(dated("this", 0, true)), ..Header::default() };
        assert_eq!(correction(&kept, &dated("this", HOUR_NS, false)), None);
        assert_eq!(correction(&kept, &dated("this", -HOUR_NS, true)), Some(-HOUR_NS));
    }

    #[test]
    fn all_times_of_an_epoch_move_and_none_of_its_counts() {
        let (_spool, mut epochs) = spool();
        let flows = [(key(2), 61, Direction::Down), (key(3), 65, Direction::Up)];
        let run = epochs.append(&epoch(60, 70, &flows), Duration::ZERO).unwrap();
        let now = dated("this", HOUR_NS, true);
        let again = redate(&run, HOUR_NS, &now).unwrap();
        assert_eq!(again.path, run.path);
        assert_eq!(Run::open(again.disk(), &again.path).unwrap(), again);
        assert_eq!(again.header.closed(), Utc::from_ms(3_670_000));
        assert_eq!(again.header.dated, Some(now));
        let [window] = again.header.windows.as_slice() else { panic!("{:?}", again.header) };
        assert_eq!(window.start(), Utc::from_ms(3_660_000));
        assert_eq!(window.rows[0].observed_start, Utc::from_ms(3_660_000));
        assert_eq!(window.rows[0].observed_end, Utc::from_ms(3_670_000));
        let mut expected = rows_before(&flows);
        expected.sort_unstable();
        let mut found = rows(std::slice::from_ref(&again), Duplicates::Merge);
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(window.rows[0].totals, run.header.windows[0].rows[0].totals);
    }

    fn rows_before(
        flows: &[(flowlog_common::flow::FlowKeyV4, u64, Direction)],
    ) -> Vec<(String, i64, u64)> {
        flows
            .iter()
            .map(|(key, at, _)| {
                let member = std::net::Ipv4Addr::from(key.member).to_string();
                (member, i64::try_from(at * 1000).unwrap() + 3_600_000, 1)
            })
            .collect()
    }

    #[test]
    fn of_a_gap_only_the_end_that_the_wrong_clock_read_moves() {
        use crate::record::ledger::GapReason;

        // Counted until an hour; then, by a clock that began at zero, again from ten seconds on.
        let gap = Gap::between(Utc::from_ms(3_600_000), Utc::from_ms(10_000), GapReason::Down);
        let until = gap_until(&gap, Utc::from_ms(20_000), 2 * HOUR_NS);
        assert_eq!((until.start, until.end), (Utc::from_ms(3_600_000), Utc::from_ms(7_210_000)));
    }
}
