//! From events to the rows of each day. Pure.
//!
//! A file of a day is made of the rows of its day, whichever event they come from, and states the numbers of the
//! events from the [`Day`](Event::Day) that began it to the next one. Rows of open sessions end where their instance was
//! looked at last. The day is over once every instance was looked at after it, or has no row left that is open.

mod ended;
mod gap;

use std::{collections::BTreeMap, time::Duration};

use super::event::{ClosedRow, Event, Looked, OpenRow};
use crate::{
    record::{
        clock::{DAY, Utc},
        session::{CoverageGap, CoverageRow, EntryKey, Held, Instance, SessionRow, slack},
    },
    table::metadata::Events,
};
use ended::Ended;
pub(super) use ended::REMEMBERED;
use gap::rows_of_gap;

/// Length of a window of coverage.
const WINDOW: Duration = Duration::from_hours(1);

/// So long a day waits for instances that were not looked at after its end.
const AWAITED: Duration = Duration::from_mins(10);

/// All that the events tell.
#[derive(Debug, Default)]
pub(super) struct Fold {
    open: BTreeMap<u64, OpenRow>,
    ended: Ended,
    instances: BTreeMap<Instance, Seen>,
    days: BTreeMap<Utc, Day>,
    /// The day to which events are numbered.
    current: Option<Utc>,
    /// Rows that ended in days that are in the store for good, of each instance.
    late: BTreeMap<Instance, u64>,
}

/// An instance, as it was looked at last.
#[derive(Debug)]
struct Seen {
    realm: String,
    at: Utc,
    clock_error_ms: u32,
    /// The end of its last gap.
    gap_until: Option<Utc>,
}

/// What a day has.
#[derive(Debug, Default)]
struct Day {
    events: Vec<Events>,
    closed: Vec<SessionRow>,
    coverage: BTreeMap<(Instance, Utc), CoverageRow>,
    gaps: Vec<(Instance, String, CoverageGap)>,
    /// Whether something changed since it was taken for the store.
    is_changed: bool,
}

/// The files of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DayFiles {
    pub(super) day: Utc,
    pub(super) events: Vec<Events>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) coverage: Vec<CoverageRow>,
}

impl Fold {
    /// Takes the event of a number and a time, which a segment of the spool has.
    pub(super) fn take(&mut self, (segment, number, time): (&str, u64, Utc), event: Event) {
        // The event that begins a day may be lost.
        self.current.get_or_insert(time.floor(DAY));
        if let Event::Day(day) = event {
            self.current = Some(self.current.map_or(day, |current| current.max(day)));
        }
        self.count(segment, number);
        match event {
            Event::Day(_) => self.touch_open(),
            Event::Instance(looked) => self.begin_instance(looked),
            Event::Opened(row) => {
                self.touch(row.row.held.possible_start());
                self.open.entry(row.number).or_insert(row);
            }
            Event::Closed(closed) => self.close(closed),
            Event::Looked(looked) => self.look(looked),
            Event::Gap { instance, realm, gap } => self.gap(&instance, &realm, gap),
        }
    }

    /// The days of which something changed since they were taken.
    pub(super) fn changed(&self) -> Vec<Utc> {
        let changed = self.days.iter().filter(|(_, day)| day.is_changed);
        changed.map(|(day, _)| *day).collect()
    }

    /// The files of a day, as far as it is known; it has not changed from now on.
    pub(super) fn files(&mut self, day: Utc) -> Option<DayFiles> {
        let end = day.plus(DAY);
        let open = self.open.values().filter_map(|open| self.row_of(open, day));
        let mut sessions: Vec<SessionRow> = open.collect();
        let of = self.days.get_mut(&day)?;
        of.is_changed = false;
        sessions.extend(of.closed.iter().cloned());
        sessions.sort_by(|a, b| {
            let key = |row: &SessionRow| {
                let prefix = *row.prefix.in_clear();
                (
                    crate::table::sessions::hex_of(prefix.network()),
                    row.held.start,
                    row.held.end,
                    row.session,
                )
            };
            key(a).cmp(&key(b))
        });
        let mut coverage: Vec<CoverageRow> = of.coverage.values().cloned().collect();
        coverage.extend(
            of.gaps
                .iter()
                .flat_map(|(instance, realm, gap)| rows_of_gap(instance, realm, *gap, (day, end))),
        );
        coverage.sort_by(|a, b| {
            let key = |row: &CoverageRow| {
                (row.instance.clone(), row.window.0, row.gap.map(|gap| gap.start))
            };
            key(a).cmp(&key(b))
        });
        Some(DayFiles { day, events: of.events.clone(), sessions, coverage })
    }

    /// The days that are over, each with the last number of its events.
    pub(super) fn over(&self) -> Vec<(Utc, u64)> {
        let Some(current) = self.current else { return vec![] };
        let latest = self.instances.values().map(|seen| seen.at).max();
        let is_open = |end: Utc| {
            let has_row = self.open.values().any(|open| {
                let seen = self.instances.get(&open.row.instance);
                open.row.held.start < end && seen.is_none_or(|seen| seen.at < end)
            });
            let is_awaited = self.instances.values().any(|seen| seen.at < end)
                && latest.is_none_or(|latest| latest < end.plus(AWAITED));
            has_row || is_awaited
        };
        let days = self.days.range(..current);
        let over = days.filter(|(day, _)| !is_open(day.plus(DAY)));
        over.map(|(day, of)| (*day, of.events.last().map_or(0, |(_, _, last)| *last))).collect()
    }

    /// A day is to be put again.
    pub(super) fn again(&mut self, day: Utc) {
        if let Some(day) = self.days.get_mut(&day) {
            day.is_changed = true;
        }
    }

    /// Whether a day is not in the store as it is.
    pub(super) fn is_changed(&self, day: Utc) -> bool {
        self.days.get(&day).is_some_and(|day| day.is_changed)
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> Option<u64> {
        self.days.values().filter_map(|day| Some(day.events.last()?.2)).max()
    }

    /// A day is in the store for good.
    pub(super) fn forget(&mut self, day: Utc) {
        self.days.remove(&day);
    }

    /// The rows since this was asked before that ended too late for their days.
    pub(super) fn take_late(&mut self) -> BTreeMap<Instance, u64> {
        std::mem::take(&mut self.late)
    }

    /// The rows that are open, and the instances as they were looked at last.
    pub(super) fn standing(&self) -> (Option<Utc>, Vec<Looked>, Vec<OpenRow>) {
        let looked = self.instances.iter().map(|(instance, seen)| Looked {
            instance: instance.clone(),
            realm: seen.realm.clone(),
            at: seen.at,
            clock_error_ms: seen.clock_error_ms,
            clock_step_ms: 0,
            errors: 0,
        });
        (self.current, looked.collect(), self.open.values().cloned().collect())
    }

    /// The sessions that ended a short while ago.
    pub(super) fn ended(&self) -> Vec<(Instance, EntryKey, Utc)> {
        self.ended.but_for(self.open.values())
    }

    fn count(&mut self, segment: &str, number: u64) {
        let Some(current) = self.current else { return };
        let day = self.days.entry(current).or_default();
        day.is_changed = true;
        match day.events.last_mut() {
            Some((of, _, last)) if of == segment && *last + 1 == number => *last = number,
            Some((of, _, last)) if of == segment && *last >= number => {}
            _ => day.events.push((segment.to_owned(), number, number)),
        }
    }

    /// The first day that is not in the store for good.
    fn first(&self) -> Option<Utc> {
        self.days.keys().next().copied().or(self.current)
    }

    /// The day of an instant, where it is not in the store for good.
    fn day(&mut self, instant: Utc) -> Option<&mut Day> {
        let day = instant.floor(DAY);
        if day < self.first()? {
            return None;
        }
        let day = self.days.entry(day).or_default();
        day.is_changed = true;
        Some(day)
    }

    fn touch(&mut self, instant: Utc) {
        let _known = self.day(instant).is_some();
    }

    /// Open rows reach into a day that begins.
    fn touch_open(&mut self) {
        self.days.values_mut().for_each(|day| day.is_changed = true);
    }

    fn begin_instance(&mut self, looked: Looked) {
        let Looked { instance, realm, at, clock_error_ms, .. } = looked;
        let seen = Seen { realm, at, clock_error_ms, gap_until: None };
        self.instances.entry(instance).or_insert(seen);
    }

    fn look(&mut self, looked: Looked) {
        let Looked { instance, realm, at, clock_error_ms, clock_step_ms, errors } = looked;
        let before = self.instances.get(&instance).map(|seen| seen.at);
        if let Some(before) = before {
            // What is open reaches from the day of the look before to that of this one.
            for day in before.starts(DAY, at) {
                self.touch(day);
            }
        }
        let gap_until = self.instances.get(&instance).and_then(|seen| seen.gap_until);
        let seen = Seen { realm: realm.clone(), at, clock_error_ms, gap_until };
        self.instances.insert(instance.clone(), seen);
        let window = at.floor(WINDOW);
        // Without a gap since the look before, it was observed all along.
        let before =
            before.filter(|before| *before < at && gap_until.is_none_or(|end| end <= *before));
        if let Some(before) = before.filter(|before| *before < window)
            && let Some(day) = self.day(before)
            && let Some(row) = day.coverage.get_mut(&(instance.clone(), before.floor(WINDOW)))
        {
            row.observed.1 = row.window.1;
        }
        let since = before.map_or(at, |before| before.max(window));
        let Some(day) = self.day(at) else { return };
        let row = day.coverage.entry((instance.clone(), window)).or_insert_with(|| CoverageRow {
            instance,
            realm,
            window: (window, window.plus(WINDOW)),
            observed: (since, at),
            reports: 0,
            longest_pause_ms: 0,
            errors: 0,
            overruns: 0,
            gap: None,
            clock_error_ms: 0,
            clock_step_ms: 0,
        });
        row.observed = (row.observed.0.min(since), row.observed.1.max(at));
        row.reports += 1;
        row.longest_pause_ms = row.longest_pause_ms.max(slack(since, at));
        row.errors += errors;
        row.clock_error_ms = row.clock_error_ms.max(clock_error_ms);
        row.clock_step_ms = row.clock_step_ms.saturating_add(clock_step_ms);
    }

    fn close(&mut self, closed: ClosedRow) {
        let ClosedRow { number, end, end_slack_ms, reason, continues, bytes } = closed;
        let Some(OpenRow { row, key, .. }) = self.open.remove(&number) else { return };
        self.ended.close(&row.instance, key, &closed);
        let clock = self.instances.get(&row.instance).map_or(0, |seen| seen.clock_error_ms);
        let closed = SessionRow {
            held: Held { end, end_slack_ms, ..row.held },
            end_reason: reason,
            continues,
            bytes,
            clock_error_ms: row.clock_error_ms.max(clock),
            ..row
        };
        if self.first().is_some_and(|first| closed.held.possible_end() <= first) {
            *self.late.entry(closed.instance.clone()).or_default() += 1;
        }
        // Of days that are in the store for good it has rows already.
        for slice in closed.slices() {
            if let Some(day) = self.day(slice.day()) {
                day.closed.push(slice);
            }
        }
    }

    fn gap(&mut self, instance: &Instance, realm: &str, gap: CoverageGap) {
        if let Some(seen) = self.instances.get_mut(instance) {
            seen.gap_until = seen.gap_until.max(Some(gap.end));
        }
        for day in gap.start.starts(DAY, gap.end) {
            let (start, end) = (gap.start.max(day), gap.end.min(day.plus(DAY)));
            let part = CoverageGap { start, end, reason: gap.reason };
            if let Some(of) = self.day(day) {
                of.gaps.push((instance.clone(), realm.to_owned(), part));
            }
        }
    }

    /// The part of an open row in a day.
    fn row_of(&self, open: &OpenRow, day: Utc) -> Option<SessionRow> {
        let seen = self.instances.get(&open.row.instance);
        let until = seen.map_or(open.row.held.start, |seen| seen.at).max(open.row.held.start);
        let clock_error_ms =
            open.row.clock_error_ms.max(seen.map_or(0, |seen| seen.clock_error_ms));
        let row = SessionRow {
            held: Held { end: until, ..open.row.held },
            clock_error_ms,
            ..open.row.clone()
        };
        row.slices().into_iter().find(|slice| slice.day() == day)
    }
}

#[cfg(test)]
mod tests;
