//! The sessions of one instance, from look to look.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    super::event::{ClosedRow, Event, Looked, OpenRow},
    ClockState, LEAST_TOLERANCE, STEP,
    change::{Between, Ending, Span},
    gap,
};
use crate::record::{
    clock::Utc,
    redacted::Prefix,
    session::{
        CoverageReason, EndReason, Entry, EntryKey, Held, Instance, Outer, SessionId, SessionRow,
        State, Subscriber, slack,
    },
};

/// How long an end is remembered, so that an older listing does not bring its session back.
const REMEMBERED: Duration = Duration::from_mins(10);

/// An instance that nobody has looked at for longer is not waited for.
const FORGOTTEN: Duration = Duration::from_hours(24 * 7);
/// Longest time without a look after which a peer that is there again has the same session: the life of a key.
const RESUMED: Duration = Duration::from_mins(3);

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
    suspended: BTreeMap<EntryKey, Session>,
    ended: BTreeMap<EntryKey, Utc>,
    errors: u64,
    state: Sight,
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

/// A session that is open.
#[derive(Clone, Debug)]
pub(super) struct Session {
    id: SessionId,
    start: Utc,
    start_slack_ms: u32,
    segment: u32,
    state: State,
    outer: Option<Outer>,
    /// When it was told to have begun.
    began: Utc,
    bytes: Option<[u64; 2]>,
    until: Option<Utc>,
    pub(super) rows: BTreeMap<Prefix, Open>,
}

/// A row that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    number: u64,
    start: Utc,
    start_slack_ms: u32,
    subscriber: Option<Subscriber>,
    /// The session's bytes when it opened.
    base: Option<[u64; 2]>,
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
            start: row.session_start,
            start_slack_ms: row.session_start_slack_ms,
            segment: row.segment,
            state: row.state,
            outer: row.outer,
            began: row.held.start,
            bytes: None,
            until: None,
            rows: BTreeMap::new(),
        });
        let Held { start, start_slack_ms, .. } = row.held;
        let open = Open { number, start, start_slack_ms, subscriber: row.subscriber, base: None };
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
        let is_late = before.distance(now) > self.tolerance;
        if is_late || self.state == Sight::Restored {
            let reason = match self.state {
                _ if self.clock.step_ms != 0 => CoverageReason::ClockStep,
                Sight::Restored => CoverageReason::Down,
                Sight::Wrong => CoverageReason::SourceError,
                Sight::Seen | Sight::Silent => CoverageReason::SourceSilent,
            };
            span.events.push(gap(span.instance, &self.realm, before, now, reason));
        }
        if is_late {
            self.suspend(span, before, now);
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

    /// A session began, or changed, at the instant of the report.
    pub(super) fn begin(&mut self, span: &mut Span<'_>, entry: &Entry) {
        if self.ended.contains_key(&entry.key) {
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
            self.open(span, entry, Between::within(earliest, certain.max(earliest)));
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
        self.suspended.remove(&key);
        self.ended.insert(key, span.now);
        let Some(mut session) = self.sessions.remove(&key) else { return };
        session.bytes = bytes.or(session.bytes);
        close_rows(span, &session, Between::exactly(span.now), Ending::over(reason));
    }

    /// The instance is gone: its rows end where it was looked at last.
    pub(super) fn leave(&mut self, span: &mut Span<'_>) {
        let before = self.looked_at.unwrap_or(span.now);
        let at = Between::within(before, span.now.max(before));
        for session in std::mem::take(&mut self.sessions).into_values() {
            close_rows(span, &session, at, Ending::over(EndReason::SourceRestarted));
        }
    }

    /// Since when it is silent, where that is too long and new.
    pub(super) fn silent_since(&self, now: Utc) -> Option<Utc> {
        let looked_at = self.looked_at?;
        let is_long = now > looked_at && looked_at.distance(now) > self.tolerance;
        let is_new = !self.sessions.is_empty();
        (is_long && is_new).then_some(looked_at)
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
            let from = before.max(session.began);
            let at = Between::within(from, to.max(from));
            close_rows(span, &session, at, Ending::over(EndReason::Unknown));
            session.bytes = None;
            self.suspended.insert(key, session);
        }
    }

    /// The sessions that were suspended go on.
    fn resume(&mut self, span: &mut Span<'_>, before: Utc) {
        for (key, mut session) in std::mem::take(&mut self.suspended) {
            let prefixes: Vec<Prefix> = session.rows.keys().copied().collect();
            session.rows.clear();
            for prefix in prefixes {
                self.open_row(span, key, &mut session, prefix, Between::within(before, span.now));
            }
            self.sessions.insert(key, session);
        }
    }

    fn open_all(&mut self, span: &mut Span<'_>, listing: Vec<Entry>, before: Option<Utc>) {
        for entry in listing {
            if self.sessions.contains_key(&entry.key) || self.is_over(&entry, span.now) {
                continue;
            }
            let at = began(&entry, before, span.now);
            self.open(span, &entry, at);
        }
    }

    fn compare(&mut self, span: &mut Span<'_>, listing: Vec<Entry>, before: Utc) {
        let now = span.now;
        let listed: BTreeSet<EntryKey> = listing.iter().map(|entry| entry.key).collect();
        let holders: BTreeSet<Prefix> =
            listing.iter().flat_map(|entry| entry.prefixes.iter().copied()).collect();
        let gone: Vec<EntryKey> = self
            .sessions
            .iter()
            // One that began since the source wrote its list is in the next one.
            .filter(|(key, session)| !listed.contains(key) && session.began <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            let Some(session) = self.sessions.remove(&key) else { continue };
            let at = match session.until.filter(|until| *until <= now) {
                Some(until) => Between::exactly(until),
                None => Between::within(before, now),
            };
            close_gone(span, &session, at, &holders);
        }
        for entry in listing {
            if self.is_over(&entry, now) {
                continue;
            }
            if let Some(session) = self.sessions.remove(&entry.key) {
                let session = self.changed(span, session, &entry, Between::within(before, now));
                self.sessions.insert(entry.key, session);
            } else {
                self.open(span, &entry, began(&entry, Some(before), now));
            }
        }
    }

    /// Whether a listing is older than the end of the session that it has.
    fn is_over(&self, entry: &Entry, now: Utc) -> bool {
        self.ended.get(&entry.key).is_some_and(|ended| *ended >= now)
    }

    /// Opens a session that was not there, or that goes on after nobody looked.
    fn open(&mut self, span: &mut Span<'_>, entry: &Entry, at: Between) {
        let is_long = at.certain_before.distance(at.certain_after) > RESUMED;
        // A source whose sessions have names of their own knows that it is the same one.
        let is_known = !is_long || entry.key.discriminator != 0;
        let before = self.suspended.remove(&entry.key);
        let before = before.filter(|before| is_known && before.state == entry.state);
        let mut session = match before {
            Some(mut before) => {
                if before.outer != entry.outer {
                    before.segment += 1;
                }
                before.rows.clear();
                before
            }
            None => Session {
                id: SessionId::of(span.gateway, span.instance, entry.key.peer, at.certain_after),
                start: at.certain_after,
                start_slack_ms: slack(at.certain_before, at.certain_after),
                segment: 0,
                state: entry.state,
                outer: entry.outer,
                began: at.certain_after,
                bytes: None,
                until: None,
                rows: BTreeMap::new(),
            },
        };
        session.outer = entry.outer;
        session.began = at.certain_after.min(span.now);
        session.bytes = entry.bytes;
        session.until = entry.until;
        for prefix in &entry.prefixes {
            self.open_row(span, entry.key, &mut session, *prefix, at);
        }
        self.sessions.insert(entry.key, session);
    }

    /// Compares a session with what is told of it now.
    fn changed(
        &self,
        span: &mut Span<'_>,
        mut session: Session,
        entry: &Entry,
        at: Between,
    ) -> Session {
        if session.state != entry.state {
            return self.in_another_state(span, &session, entry, at);
        }
        if session.outer != entry.outer && entry.outer.is_some() {
            let prefixes: Vec<Prefix> = session.rows.keys().copied().collect();
            close_rows(span, &session, at, Ending::over(EndReason::Roamed));
            session.rows.clear();
            session.outer = entry.outer;
            session.segment += 1;
            session.bytes = entry.bytes.or(session.bytes);
            for prefix in prefixes.into_iter().filter(|prefix| entry.prefixes.contains(prefix)) {
                self.open_row(span, entry.key, &mut session, prefix, at);
            }
        }
        let gone: Vec<Prefix> = session
            .rows
            .keys()
            .filter(|prefix| !entry.prefixes.contains(prefix))
            .copied()
            .collect();
        for prefix in gone {
            let first = session.rows.keys().next().copied();
            if let Some(open) = session.rows.remove(&prefix) {
                let bytes = counted(&session, &open).filter(|_| first == Some(prefix));
                close_row(span, &open, at, Ending::over(EndReason::Removed), bytes);
            }
        }
        for prefix in &entry.prefixes {
            if !session.rows.contains_key(prefix) {
                self.open_row(span, entry.key, &mut session, *prefix, at);
            }
        }
        session.bytes = entry.bytes.or(session.bytes);
        session.until = entry.until;
        session
    }

    /// A tunnel came up, or its keys expired: another session begins.
    fn in_another_state(
        &self,
        span: &mut Span<'_>,
        session: &Session,
        entry: &Entry,
        at: Between,
    ) -> Session {
        let begins = began(entry, Some(at.certain_before), span.now);
        let reason = match session.state {
            State::Tunnel => EndReason::HandshakeExpired,
            State::Assigned => EndReason::Replaced,
        };
        close_rows(span, session, begins, Ending::over(reason));
        let mut next = Session {
            id: SessionId::of(span.gateway, span.instance, entry.key.peer, begins.certain_after),
            start: begins.certain_after,
            start_slack_ms: slack(begins.certain_before, begins.certain_after),
            segment: 0,
            state: entry.state,
            outer: entry.outer,
            began: begins.certain_after.min(span.now),
            bytes: entry.bytes,
            until: entry.until,
            rows: BTreeMap::new(),
        };
        for prefix in &entry.prefixes {
            let is_new = !session.rows.contains_key(prefix);
            let at = if is_new { at } else { begins };
            self.open_row(span, entry.key, &mut next, *prefix, at);
        }
        next
    }

    /// A row is of one subscriber: another one begins where the mapping changes.
    fn follow_subscribers(&mut self, span: &mut Span<'_>) {
        for (key, mut session) in std::mem::take(&mut self.sessions) {
            let subscriber = span.subscribers.at(key.peer, span.now).cloned();
            let differs = |open: &Open| open.subscriber != subscriber && open.start < span.now;
            let changed = session.rows.iter().filter(|(_, open)| differs(open));
            let changed: Vec<Prefix> = changed.map(|(prefix, _)| *prefix).collect();
            let first = session.rows.keys().next().copied();
            for prefix in changed {
                let Some(open) = session.rows.remove(&prefix) else { continue };
                let now = Between::exactly(span.now);
                let bytes = counted(&session, &open).filter(|_| first == Some(prefix));
                close_row(span, &open, now, Ending::GOES_ON, bytes);
                self.open_row(span, key, &mut session, prefix, now);
            }
            self.sessions.insert(key, session);
        }
    }

    /// An address that a session has at an instant is nobody else's any more.
    fn take_from_others(&mut self, span: &mut Span<'_>, entry: &Entry, before: Utc) {
        for (key, session) in &mut self.sessions {
            if *key == entry.key {
                continue;
            }
            let first = session.rows.keys().next().copied();
            for prefix in &entry.prefixes {
                let Some(open) = session.rows.remove(prefix) else { continue };
                let at = Between::within(before.max(session.began), span.now);
                let bytes = counted(session, &open).filter(|_| first == Some(*prefix));
                close_row(span, &open, at, Ending::over(EndReason::Replaced), bytes);
            }
        }
        self.sessions.retain(|_, session| !session.rows.is_empty());
    }

    fn open_row(
        &self,
        span: &mut Span<'_>,
        key: EntryKey,
        session: &mut Session,
        prefix: Prefix,
        at: Between,
    ) {
        let open = Open {
            number: span.number(),
            start: at.certain_after,
            start_slack_ms: slack(at.certain_before, at.certain_after),
            subscriber: span.subscribers.at(key.peer, at.certain_after).cloned(),
            base: session.bytes,
        };
        let row = self.row(span.instance, key, session, prefix, &open);
        span.events.push(Event::Opened(row));
        session.rows.insert(prefix, open);
    }

    fn row(
        &self,
        instance: &Instance,
        key: EntryKey,
        session: &Session,
        prefix: Prefix,
        open: &Open,
    ) -> OpenRow {
        let Open { number, start, start_slack_ms, subscriber, base: _ } = open;
        let row = SessionRow {
            session: session.id,
            segment: session.segment,
            instance: instance.clone(),
            realm: self.realm.clone(),
            peer: key.peer,
            subscriber: subscriber.clone(),
            state: session.state,
            prefix,
            outer: session.outer,
            held: Held {
                start: *start,
                end: *start,
                start_slack_ms: *start_slack_ms,
                end_slack_ms: 0,
            },
            session_start: session.start,
            session_start_slack_ms: session.start_slack_ms,
            continues: true,
            end_reason: None,
            bytes: None,
            clock_error_ms: self.clock.error_ms,
        };
        OpenRow { number: *number, key, row }
    }
}

/// When a session of a listing began: by its own account where that lies behind the look before, else somewhere
/// between the two.
fn began(entry: &Entry, before: Option<Utc>, now: Utc) -> Between {
    let since = entry.since.filter(|since| since.certain <= now);
    match (before, since) {
        (Some(before), Some(since)) if since.certain > before => {
            let earliest = since.earliest.unwrap_or(before).max(before);
            Between::within(earliest, since.certain)
        }
        (Some(before), _) => Between::within(before, now),
        // Nobody looked before: it is certain from now on, and possible from its own beginning.
        (None, Some(since)) => Between::within(since.earliest.unwrap_or(since.certain), now),
        (None, None) => Between::exactly(now),
    }
}

fn close_gone(span: &mut Span<'_>, session: &Session, at: Between, holders: &BTreeSet<Prefix>) {
    let first = session.rows.keys().next();
    for (prefix, open) in &session.rows {
        let reason = match (span.instance.source, holders.contains(prefix)) {
            (_, true) => EndReason::Replaced,
            (crate::record::session::Source::Openvpn, false) => EndReason::Disconnected,
            (_, false) => EndReason::Removed,
        };
        let bytes = counted(session, open).filter(|_| first == Some(prefix));
        close_row(span, open, at, Ending::over(reason), bytes);
    }
}

fn close_rows(span: &mut Span<'_>, session: &Session, at: Between, ending: Ending) {
    let first = session.rows.keys().next();
    for (prefix, open) in &session.rows {
        let bytes = counted(session, open).filter(|_| first == Some(prefix));
        close_row(span, open, at, ending, bytes);
    }
}

fn close_row(
    span: &mut Span<'_>,
    open: &Open,
    at: Between,
    ending: Ending,
    bytes: Option<[u64; 2]>,
) {
    let end = at.certain_before.max(open.start);
    let number = open.number;
    let Ending { reason, continues } = ending;
    let end_slack_ms = slack(end, at.certain_after);
    span.close(ClosedRow { number, end, end_slack_ms, reason, continues, bytes });
}

/// The bytes of a session since a row opened.
fn counted(session: &Session, open: &Open) -> Option<[u64; 2]> {
    let (now, base) = (session.bytes?, open.base?);
    // A counter that went back began anew.
    let since = |place: usize| now[place].checked_sub(base[place]).unwrap_or(now[place]);
    Some([since(0), since(1)])
}
