//! What a look changes: sessions that began, changed, or are gone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::event::{Event, OpenRow},
    change::{Between, Ending, Span},
    session::{Beginning, Open, Session, began},
    tracked::{RESUMED, Tracked},
};
use crate::record::{
    clock::Utc,
    redacted::Prefix,
    session::{EndReason, Entry, EntryKey, Held, Instance, SessionRow, Source, State, slack},
};

impl Tracked {
    pub(super) fn open_all(
        &mut self,
        span: &mut Span<'_>,
        listing: Vec<Entry>,
        before: Option<Utc>,
    ) {
        for entry in listing {
            if self.sessions.contains_key(&entry.key) || self.is_over(&entry, span.now) {
                continue;
            }
            let at = began(&entry, before, span.answered);
            self.open(span, &entry, at, at);
        }
    }

    pub(super) fn compare(&mut self, span: &mut Span<'_>, listing: Vec<Entry>, before: Utc) {
        let (now, source) = (span.now, span.instance.source);
        let changed = Between::within(before, span.answered);
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
                None => changed,
            };
            session.close_where(span, at, |prefix, _| {
                let reason = match source {
                    _ if holders.contains(prefix) => EndReason::Replaced,
                    Source::Openvpn => EndReason::Disconnected,
                    Source::Wireguard | Source::Lease => EndReason::Removed,
                };
                Some(Ending::over(reason))
            });
        }
        for entry in listing {
            if self.is_over(&entry, now) {
                continue;
            }
            if let Some(session) = self.sessions.remove(&entry.key) {
                let session = self.changed(span, session, &entry, changed);
                self.sessions.insert(entry.key, session);
            } else {
                let begins = began(&entry, Some(before), span.answered);
                // A handshake does not tell when its peer got an address.
                let held = if source == Source::Wireguard { changed } else { begins };
                self.open(span, &entry, begins, held);
            }
        }
    }

    /// Whether a listing is older than the end of the session that it has.
    fn is_over(&self, entry: &Entry, now: Utc) -> bool {
        self.ended.get(&entry.key).is_some_and(|ended| *ended >= now)
    }

    /// Opens a session that was not there, or that goes on after nobody looked, and that holds its addresses since another
    /// instant.
    pub(super) fn open(&mut self, span: &mut Span<'_>, entry: &Entry, at: Between, held: Between) {
        let is_long = at.certain_before.distance(at.certain_after) > RESUMED;
        // A source whose sessions have names of their own knows that it is the same one.
        let is_known = !is_long || entry.key.discriminator != 0;
        let before = self.suspended.remove(&entry.key);
        let before = before.filter(|before| is_known && before.state == entry.state);
        let mut rows = BTreeMap::new();
        let mut session = match before {
            Some(mut before) => {
                if before.outer != entry.outer {
                    before.segment += 1;
                }
                rows = std::mem::take(&mut before.rows);
                before
            }
            None => Session::begin(span, entry, at),
        };
        session.outer = entry.outer;
        session.began = at.certain_after.min(span.now);
        session.bytes = entry.bytes;
        session.until = entry.until;
        for prefix in &entry.prefixes {
            let since = rows.get(prefix).map_or(held.into(), |open: &Open| open.since);
            self.open_row(span, entry.key, &mut session, (*prefix, since), held);
        }
        self.sessions.insert(entry.key, session);
    }

    /// Compares a session with what is told of it now.
    pub(super) fn changed(
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
            session.close(span, at, Ending::over(EndReason::Roamed));
            let rows = std::mem::take(&mut session.rows);
            session.outer = entry.outer;
            session.segment += 1;
            session.bytes = entry.bytes.or(session.bytes);
            for (prefix, open) in rows {
                if entry.prefixes.contains(&prefix) {
                    self.open_row(span, entry.key, &mut session, (prefix, open.since), at);
                }
            }
        }
        let is_gone = |prefix: &Prefix, _: &Open| !entry.prefixes.contains(prefix);
        session.remove_where(span, at, EndReason::Removed, is_gone);
        for prefix in &entry.prefixes {
            if !session.rows.contains_key(prefix) {
                self.open_row(span, entry.key, &mut session, (*prefix, at.into()), at);
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
        let begins = began(entry, Some(at.certain_before), span.answered);
        let reason = match session.state {
            State::Tunnel => EndReason::HandshakeExpired,
            State::Assigned => EndReason::Replaced,
        };
        session.close(span, begins, Ending::over(reason));
        let mut next = Session::begin(span, entry, begins);
        for prefix in &entry.prefixes {
            let is_new = !session.rows.contains_key(prefix);
            let at = if is_new { at } else { begins };
            self.open_row(span, entry.key, &mut next, (*prefix, at.into()), at);
        }
        next
    }

    /// A row is of one subscriber: another one begins where the mapping changes.
    pub(super) fn follow_subscribers(&mut self, span: &mut Span<'_>) {
        for (key, mut session) in std::mem::take(&mut self.sessions) {
            let subscriber = span.subscribers.at(key.peer, span.now).cloned();
            let at = span.now;
            let differs = |open: &Open| open.subscriber != subscriber && open.start < at;
            let now = Between::exactly(at);
            session.close_where(span, now, |_, open| differs(open).then_some(Ending::GOES_ON));
            let changed = session.rows.iter().filter(|(_, open)| differs(open));
            // Who was not known is known now; who was another one, was it until now.
            let since =
                |open: &Open| if open.subscriber.is_none() { open.since } else { now.into() };
            let changed: Vec<_> = changed.map(|(prefix, open)| (*prefix, since(open))).collect();
            for held in changed {
                self.open_row(span, key, &mut session, held, now);
            }
            self.sessions.insert(key, session);
        }
    }

    /// An address that a session has at an instant is nobody else's any more.
    pub(super) fn take_from_others(&mut self, span: &mut Span<'_>, entry: &Entry, before: Utc) {
        for (key, session) in &mut self.sessions {
            if *key == entry.key {
                continue;
            }
            let at = Between::within(before.max(session.began), span.now);
            let is_taken = |prefix: &Prefix, _: &Open| entry.prefixes.contains(prefix);
            session.remove_where(span, at, EndReason::Replaced, is_taken);
        }
        self.sessions.retain(|_, session| !session.rows.is_empty());
    }

    pub(super) fn open_row(
        &self,
        span: &mut Span<'_>,
        key: EntryKey,
        session: &mut Session,
        (prefix, since): (Prefix, Beginning),
        at: Between,
    ) {
        let open = Open {
            number: span.number(),
            start: at.certain_after,
            start_slack_ms: slack(at.certain_before, at.certain_after),
            since,
            subscriber: span.subscribers.at(key.peer, at.certain_after).cloned(),
            base: session.bytes,
        };
        let row = self.row(span.instance, key, session, prefix, &open);
        span.events.push(Event::Opened(row));
        session.rows.insert(prefix, open);
    }

    pub(super) fn row(
        &self,
        instance: &Instance,
        key: EntryKey,
        session: &Session,
        prefix: Prefix,
        open: &Open,
    ) -> OpenRow {
        let Open { number, start, start_slack_ms, since, subscriber, base: _ } = open;
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
            session_start: since.at,
            session_start_slack_ms: since.slack_ms,
            continues: true,
            end_reason: None,
            bytes: None,
            clock_error_ms: self.clock.error_ms,
        };
        OpenRow { number: *number, key, row }
    }
}
