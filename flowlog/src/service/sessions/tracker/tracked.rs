//! The sessions of one instance, from look to look.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        event::{Looked, OpenRow},
        fold::REMEMBERED,
    },
    ClockState, LEAST_TOLERANCE, STEP,
    change::{Between, Ending, Span},
    gap,
    session::{Beginning, Open, Session},
};
use crate::{
    record::{
        clock::Utc,
        session::{CoverageReason, EndReason, Entry, EntryKey, Held, Instance},
    },
    spool::planted::{Bug, planted},
};

/// An instance that nobody has looked at for longer is not waited for.
const FORGOTTEN: Duration = Duration::from_hours(24 * 7);
/// Longest time without a look after which a peer that is there again has the same session: the life of a key.
pub(super) const RESUMED: Duration = Duration::from_mins(3);

/// An instance of a source.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) realm: String,
    /// The last look at it; `None` before the first one.
    pub(super) looked_at: Option<Utc>,
    pub(super) tolerance: Duration,
    pub(super) clock: ClockState,
    pub(super) sessions: BTreeMap<EntryKey, Session>,
    /// Sessions whose rows ended since nobody looked: they go on if they are there at the next look.
    pub(super) suspended: BTreeMap<EntryKey, Session>,
    pub(super) ended: BTreeMap<EntryKey, Utc>,
    errors: u64,
    state: Sight,
    /// Since when this daemon could have looked at it, where another one looked at it last.
    restored_at: Option<Utc>,
}

/// How an instance is, for the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service::sessions) struct Standing {
    /// The last look, also one of an earlier daemon.
    pub(in crate::service::sessions) answered_at: Option<Utc>,
    /// Whether that was lately, and by this daemon.
    pub(in crate::service::sessions) is_heard: bool,
    pub(in crate::service::sessions) open_sessions: usize,
}

/// Whether an instance is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Seen,
    /// Another daemon looked at it last.
    Restored,
    /// It did not answer for too long.
    Silent,
    /// Its last answer could not be read.
    Wrong,
}

impl Tracked {
    pub(super) fn new(realm: String) -> Self {
        Self {
            realm,
            looked_at: None,
            tolerance: LEAST_TOLERANCE,
            clock: ClockState::default(),
            sessions: BTreeMap::new(),
            suspended: BTreeMap::new(),
            ended: BTreeMap::new(),
            errors: 0,
            state: Sight::Seen,
            restored_at: None,
        }
    }

    /// An instance that another daemon looked at last.
    pub(super) fn restored(realm: String, at: Utc) -> Self {
        Self { looked_at: Some(at), state: Sight::Restored, ..Self::new(realm) }
    }

    pub(super) fn restore(&mut self, open: OpenRow) {
        let OpenRow { number, key, row } = open;
        let session = self.sessions.entry(key).or_insert_with(|| Session {
            id: row.session,
            segment: row.segment,
            state: row.state,
            outer: row.outer,
            began: row.held.start,
            bytes: None,
            until: None,
            rows: BTreeMap::new(),
        });
        let Held { start, start_slack_ms, .. } = row.held;
        let since = Beginning { at: row.session_start, slack_ms: row.session_start_slack_ms };
        let subscriber = row.subscriber;
        let open = Open { number, start, start_slack_ms, since, subscriber, base: None };
        session.rows.insert(row.prefix, open);
    }

    /// Notes that it could not be looked at.
    pub(super) fn fail(&mut self, is_answered: bool) {
        self.errors += 1;
        if is_answered && self.state == Sight::Seen {
            self.state = Sight::Wrong;
        }
    }

    /// Compares a listing, or none where nothing changed, with what was there. Returns whether it counts as a look.
    pub(super) fn look(&mut self, span: &mut Span<'_>, listing: Option<Vec<Entry>>) -> bool {
        let now = span.now;
        let Some(before) = self.looked_at else {
            self.open_all(span, listing.unwrap_or_default(), None);
            self.seen(now);
            return true;
        };
        if now == before {
            return false;
        }
        if now < before {
            if before.distance(now) < STEP {
                return false;
            }
            // A listing of an older time: the clock was set, of the source or of the machine.
            span.events.push(gap(
                span.instance,
                &self.realm,
                now,
                before,
                CoverageReason::ClockStep,
            ));
            self.suspend(span, before, before);
            self.open_all(span, listing.unwrap_or_default(), None);
            self.seen(now);
            return true;
        }
        self.report_gap(span);
        if self.is_late(now) && !planted(Bug::SessionsUnsuspended) {
            self.suspend(span, before, span.answered);
        }
        match listing {
            Some(listing) => self.compare(span, listing, before),
            // Nothing changed: whoever was suspended goes on.
            None => self.resume(span, before),
        }
        self.follow_subscribers(span);
        self.seen(now);
        true
    }

    /// A session began, or changed, at the instant of the report. One that has ended since is no news.
    pub(super) fn begin(&mut self, span: &mut Span<'_>, entry: &Entry) {
        let since = entry.since.map(|since| since.earliest.unwrap_or(since.certain));
        let began = since.unwrap_or(span.now);
        // Of one whose rows ended since nobody looked, the next look reports.
        let is_known = self.suspended.contains_key(&entry.key)
            && self.looked_at.is_some_and(|looked_at| span.now <= looked_at);
        if is_known || self.ended.get(&entry.key).is_some_and(|ended| began <= *ended) {
            return;
        }
        let at = Between::exactly(span.now);
        self.take_from_others(span, entry, self.looked_at.unwrap_or(span.now));
        if let Some(session) = self.sessions.remove(&entry.key) {
            let session = self.changed(span, session, entry, at);
            self.sessions.insert(entry.key, session);
        } else {
            let certain = entry.since.map_or(span.now, |since| since.certain);
            let earliest = entry.since.and_then(|since| since.earliest).unwrap_or(certain);
            let at = Between::within(earliest, certain.max(earliest));
            self.open(span, entry, at, at);
        }
    }

    /// A session ended at the instant of the report.
    pub(super) fn end(
        &mut self,
        span: &mut Span<'_>,
        key: EntryKey,
        reason: EndReason,
        bytes: Option<[u64; 2]>,
    ) {
        // The end of one that was there before it, and has its key.
        let is_before = |session: &Session| span.now < session.possible_start();
        if self.sessions.get(&key).is_some_and(is_before) {
            return;
        }
        self.suspended.remove(&key);
        let ended = self.ended.entry(key).or_insert(span.now);
        *ended = span.now.max(*ended);
        let Some(mut session) = self.sessions.remove(&key) else { return };
        session.bytes = bytes.or(session.bytes);
        session.close(span, Between::exactly(span.now), Ending::over(reason));
    }

    /// The instance is gone: its rows end where it was looked at last. What comes next under its name is another one, so
    /// that nobody else tells of the time since then.
    pub(super) fn leave(&mut self, span: &mut Span<'_>) {
        self.report_gap(span);
        let before = self.looked_at.unwrap_or(span.now);
        let at = Between::within(before, span.now.max(before));
        for session in std::mem::take(&mut self.sessions).into_values() {
            session.close(span, at, Ending::over(EndReason::SourceRestarted));
        }
    }

    /// Since when it is silent, where that is too long and new. After a start, notes of the time before and a first look
    /// come before that is said.
    pub(super) fn silent_since(&mut self, now: Utc) -> Option<Utc> {
        if self.state == Sight::Restored {
            let restored_at = *self.restored_at.get_or_insert(now);
            if now <= restored_at || restored_at.distance(now) <= self.tolerance {
                return None;
            }
        }
        let is_new = !self.sessions.is_empty();
        self.looked_at.filter(|_| is_new && self.is_late(now))
    }

    /// Ends all rows: nobody has looked for too long.
    pub(super) fn fall_silent(&mut self, span: &mut Span<'_>, since: Utc) {
        self.suspend(span, since, span.now);
        if self.state == Sight::Seen {
            self.state = Sight::Silent;
        }
    }

    /// What was found at a look.
    pub(super) fn looked(&self, instance: &Instance, at: Utc, clock: ClockState) -> Looked {
        Looked {
            instance: instance.clone(),
            realm: self.realm.clone(),
            at,
            clock_error_ms: clock.error_ms,
            clock_step_ms: clock.step_ms,
            errors: self.errors,
        }
    }

    pub(super) fn open_rows<'a>(
        &'a self,
        instance: &'a Instance,
    ) -> impl Iterator<Item = OpenRow> + 'a {
        self.sessions.iter().flat_map(move |(key, session)| {
            session
                .rows
                .iter()
                .map(move |(prefix, open)| self.row(instance, *key, session, *prefix, open))
        })
    }

    /// How it is at an instant.
    pub(super) fn standing(&self, now: Utc) -> Standing {
        let is_ours = self.looked_at.is_some() && self.state != Sight::Restored;
        Standing {
            answered_at: self.looked_at,
            is_heard: is_ours && !self.is_late(now),
            open_sessions: self.sessions.len(),
        }
    }

    /// Whether nobody has looked for too long.
    fn is_late(&self, now: Utc) -> bool {
        self.looked_at.is_some_and(|at| now > at && at.distance(now) > self.tolerance)
    }

    /// The time since the last look is a gap, where that is too long or where no daemon ran.
    fn report_gap(&self, span: &mut Span<'_>) {
        let Some(before) = self.looked_at.filter(|before| *before < span.now) else { return };
        if !self.is_late(span.now) && self.state != Sight::Restored {
            return;
        }
        let reason = match self.state {
            _ if self.clock.step_ms != 0 => CoverageReason::ClockStep,
            Sight::Restored => CoverageReason::Down,
            Sight::Wrong => CoverageReason::SourceError,
            Sight::Seen | Sight::Silent => CoverageReason::SourceSilent,
        };
        span.events.push(gap(span.instance, &self.realm, before, span.now, reason));
    }

    /// Whether nobody has looked at it for so long that it is not the same any more.
    pub(super) fn is_forgotten(&self, now: Utc) -> bool {
        self.sessions.is_empty() && self.looked_at.is_none_or(|at| at.distance(now) > FORGOTTEN)
    }

    fn seen(&mut self, now: Utc) {
        self.looked_at = Some(now);
        self.state = Sight::Seen;
        self.errors = 0;
        self.suspended.clear();
        self.ended.retain(|_, at| at.distance(now) < REMEMBERED);
    }

    /// Ends all rows at the last look, or where a session was told to have begun since.
    fn suspend(&mut self, span: &mut Span<'_>, before: Utc, to: Utc) {
        for (key, mut session) in std::mem::take(&mut self.sessions) {
            if before < span.now && span.now < session.began {
                // It began since this look.
                self.sessions.insert(key, session);
                continue;
            }
            let from = before.max(session.began);
            let at = Between::within(from, to.max(from));
            session.close(span, at, Ending::over(EndReason::Unknown));
            session.bytes = None;
            self.suspended.insert(key, session);
        }
    }

    /// The sessions that were suspended go on.
    fn resume(&mut self, span: &mut Span<'_>, before: Utc) {
        for (key, mut session) in std::mem::take(&mut self.suspended) {
            let at = Between::within(before.max(session.began), span.answered);
            for (prefix, open) in std::mem::take(&mut session.rows) {
                self.open_row(span, key, &mut session, (prefix, open.since), at);
            }
            self.sessions.insert(key, session);
        }
    }
}
