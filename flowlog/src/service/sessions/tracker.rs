//! From the reports of sources to rows that open and close. Pure: times and reports are arguments.
//!
//! Between two looks at a source nothing is known. What is the same at both went on; what changed, changed at
//! some instant between them: the row before it is certain until the first look and possible until the second one,
//! and the row behind it the other way round. Where the looks are further apart than they should be, nothing is
//! taken for granted: rows end at the first look, and the time between is a gap.

mod change;
mod compare;
mod session;
mod tracked;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::event::{Event, Looked, OpenRow};
use crate::{
    record::{
        clock::{DAY, Utc},
        session::{Content, CoverageGap, CoverageReason, EntryKey, Instance, Report},
        subscriber::Subscribers,
    },
    spool::planted::{Bug, planted},
};
use change::Span;
pub(super) use tracked::Standing;
use tracked::Tracked;

/// Shortest time without a look after which nothing is taken for granted.
const LEAST_TOLERANCE: Duration = Duration::from_secs(15);
/// So many polls may fail before that.
const TOLERATED_POLLS: u32 = 3;
/// A source whose time goes back by more was set, or is another one.
const STEP: Duration = Duration::from_secs(1);

/// What becomes of the sessions of all sources.
#[derive(Debug)]
pub(super) struct Tracker {
    gateway: String,
    subscribers: Arc<Subscribers>,
    instances: BTreeMap<Instance, Tracked>,
    next_row: u64,
    day: Option<Utc>,
}

/// The clock at a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockState {
    /// Its greatest error, in milliseconds.
    pub(super) error_ms: u32,
    /// By how many milliseconds it was set since the look before.
    pub(super) step_ms: i64,
}

impl Tracker {
    pub(super) fn new(gateway: String) -> Self {
        Self {
            gateway,
            subscribers: Arc::default(),
            instances: BTreeMap::new(),
            next_row: 1,
            day: None,
        }
    }

    /// Goes on where another daemon ended: with the instances that it looked at, and the rows that were open.
    pub(super) fn restore(&mut self, day: Option<Utc>, looked: Vec<Looked>, rows: Vec<OpenRow>) {
        self.day = day;
        for Looked { instance, realm, at, .. } in looked {
            self.instances.insert(instance, Tracked::restored(realm, at));
        }
        for open in rows {
            self.next_row = self.next_row.max(open.number + 1);
            let Some(tracked) = self.instances.get_mut(&open.row.instance) else { continue };
            tracked.restore(open);
        }
    }

    /// What ended while another daemon was there.
    pub(super) fn restore_ended(&mut self, ended: Vec<(Instance, EntryKey, Utc)>) {
        for (instance, key, at) in ended {
            if let Some(tracked) = self.instances.get_mut(&instance) {
                tracked.ended.insert(key, at);
            }
        }
    }

    /// The subscribers from now on.
    pub(super) fn set_subscribers(&mut self, subscribers: Arc<Subscribers>) {
        self.subscribers = subscribers;
    }

    /// How each instance is at an instant.
    pub(super) fn standings(&self, now: Utc) -> BTreeMap<&Instance, Standing> {
        let standing = |(instance, tracked): (_, &Tracked)| (instance, tracked.standing(now));
        self.instances.iter().map(standing).collect()
    }

    /// Takes a report.
    pub(super) fn take(&mut self, report: Report, poll: Duration, clock: ClockState) -> Vec<Event> {
        let Report { instance, realm, at, answered, content, apart, receipt: _ } = report;
        let mut events = self.begin_day(at);
        let tracked =
            self.instances.entry(instance.clone()).or_insert_with(|| Tracked::new(realm.clone()));
        tracked.realm.clone_from(&realm);
        let by_polls = LEAST_TOLERANCE.max(poll.saturating_mul(TOLERATED_POLLS));
        tracked.tolerance = by_polls.max(apart.unwrap_or_default());
        tracked.clock = clock;
        let mut span = Span {
            gateway: &self.gateway,
            subscribers: &self.subscribers,
            instance: &instance,
            next_row: &mut self.next_row,
            now: at,
            answered: answered.max(at),
            events: &mut events,
        };
        let is_looked_at = match content {
            Content::Failed { is_answered } => {
                tracked.fail(is_answered);
                false
            }
            Content::Gone => {
                tracked.leave(&mut span);
                self.instances.remove(&instance);
                return events;
            }
            Content::Listing(entries) => tracked.look(&mut span, Some(entries)),
            Content::Unchanged => tracked.look(&mut span, None),
            Content::Began(entry) => {
                tracked.begin(&mut span, &entry);
                false
            }
            Content::Ended { key, reason, bytes } => {
                tracked.end(&mut span, key, reason, bytes);
                false
            }
        };
        if is_looked_at {
            events.push(Event::Looked(tracked.looked(&instance, at, clock)));
        }
        events
    }

    /// Looks for sources that were silent for too long: their rows end at the last look.
    pub(super) fn pass_time(&mut self, now: Utc) -> Vec<Event> {
        let mut events = vec![];
        for (instance, tracked) in &mut self.instances {
            if let Some(since) = tracked.silent_since(now) {
                let mut span = Span {
                    gateway: &self.gateway,
                    subscribers: &self.subscribers,
                    instance,
                    next_row: &mut self.next_row,
                    now,
                    answered: now,
                    events: &mut events,
                };
                tracked.fall_silent(&mut span, since);
            }
        }
        if !events.is_empty() {
            let mut all = self.begin_day(now);
            all.append(&mut events);
            return all;
        }
        events
    }

    /// At the first event of a day all that is needed to go on is written once more.
    fn begin_day(&mut self, now: Utc) -> Vec<Event> {
        let day = now.floor(DAY);
        if self.day.is_some_and(|before| day <= before) {
            return vec![];
        }
        self.day = Some(day);
        let mut events = vec![Event::Day(day)];
        self.instances.retain(|_, tracked| !tracked.is_forgotten(day));
        if planted(Bug::DaysBegunEmpty) {
            return events;
        }
        for (instance, tracked) in &self.instances {
            let Some(at) = tracked.looked_at else { continue };
            events.push(Event::Instance(tracked.looked(instance, at, ClockState::default())));
            events.extend(tracked.open_rows(instance).map(Event::Opened));
        }
        events
    }

    /// Rows that are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        let sessions = self.instances.values().flat_map(|tracked| tracked.sessions.values());
        sessions.map(|session| session.rows.len()).sum()
    }
}

/// A gap of an instance.
fn gap(instance: &Instance, realm: &str, from: Utc, to: Utc, reason: CoverageReason) -> Event {
    let gap = CoverageGap { start: from.min(to), end: from.max(to), reason };
    Event::Gap { instance: instance.clone(), realm: realm.to_owned(), gap }
}

#[cfg(test)]
pub(super) mod tests;
