//! A session that is open, and its rows.

use std::collections::BTreeMap;

use super::{
    super::event::ClosedRow,
    change::{Between, Ending, Span},
};
use crate::record::{
    clock::Utc,
    redacted::Prefix,
    session::{EndReason, Entry, Outer, SessionId, State, Subscriber, milliseconds, slack},
};

/// A session that is open.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) segment: u32,
    pub(super) state: State,
    pub(super) outer: Option<Outer>,
    /// When it was told to have begun.
    pub(super) began: Utc,
    pub(super) bytes: Option<[u64; 2]>,
    pub(super) until: Option<Utc>,
    pub(super) rows: BTreeMap<Prefix, Open>,
}

/// A row that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) start: Utc,
    pub(super) start_slack_ms: u32,
    pub(super) since: Beginning,
    pub(super) subscriber: Option<Subscriber>,
    /// The session's bytes when it opened.
    pub(super) base: Option<[u64; 2]>,
}

/// Since when a session holds a prefix for a subscriber, in whichever rows. The last of them proves it when the others have
/// expired, hence it is not that of the session where the prefix came later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) at: Utc,
    pub(super) slack_ms: u32,
}

impl From<Between> for Beginning {
    fn from(Between { certain_before, certain_after }: Between) -> Self {
        Self { at: certain_after, slack_ms: slack(certain_before, certain_after) }
    }
}

impl Session {
    /// The session of an entry that begins then, without rows so far.
    pub(super) fn begin(span: &Span<'_>, entry: &Entry, at: Between) -> Self {
        Self {
            id: SessionId::of(span.gateway, span.instance, entry.key.peer, at.certain_after),
            segment: 0,
            state: entry.state,
            outer: entry.outer,
            began: at.certain_after.min(span.now),
            bytes: entry.bytes,
            until: entry.until,
            rows: BTreeMap::new(),
        }
    }

    /// No earlier did it begin, by its open rows.
    pub(super) fn possible_start(&self) -> Utc {
        let since = self.rows.values().map(|open| open.since);
        let earliest = since.map(|since| since.at.minus(milliseconds(since.slack_ms)));
        earliest.min().unwrap_or(self.began)
    }

    /// Closes the rows that have an ending; they are forgotten by the caller. The first of all rows has the bytes.
    pub(super) fn close_where(
        &self,
        span: &mut Span<'_>,
        at: Between,
        ending: impl Fn(&Prefix, &Open) -> Option<Ending>,
    ) {
        for (place, (prefix, open)) in self.rows.iter().enumerate() {
            let Some(Ending { reason, continues }) = ending(prefix, open) else { continue };
            let end = at.certain_before.max(open.start);
            span.close(ClosedRow {
                number: open.number,
                end,
                end_slack_ms: slack(end, at.certain_after),
                reason,
                continues,
                bytes: self.counted(open).filter(|_| place == 0),
            });
        }
    }

    /// Closes these rows for good, and forgets them. If they had the bytes of the session, the first of the others has
    /// those from now on.
    pub(super) fn remove_where(
        &mut self,
        span: &mut Span<'_>,
        at: Between,
        reason: EndReason,
        is_removed: impl Fn(&Prefix, &Open) -> bool,
    ) {
        let ending =
            |prefix: &Prefix, open: &Open| is_removed(prefix, open).then_some(Ending::over(reason));
        self.close_where(span, at, ending);
        let had_bytes =
            self.rows.first_key_value().is_some_and(|(prefix, open)| is_removed(prefix, open));
        self.rows.retain(|prefix, open| !is_removed(prefix, open));
        if had_bytes && let Some(mut first) = self.rows.first_entry() {
            first.get_mut().base = self.bytes;
        }
    }

    /// Closes all rows; they are forgotten by the caller.
    pub(super) fn close(&self, span: &mut Span<'_>, at: Between, ending: Ending) {
        self.close_where(span, at, |_, _| Some(ending));
    }

    /// The bytes since a row opened.
    fn counted(&self, open: &Open) -> Option<[u64; 2]> {
        let (now, base) = (self.bytes?, open.base?);
        // A counter that went back began anew.
        let since = |place: usize| now[place].checked_sub(base[place]).unwrap_or(now[place]);
        Some([since(0), since(1)])
    }
}

/// When a session of a listing began: by its own account where that lies behind the look before, else somewhere
/// between the two.
pub(super) fn began(entry: &Entry, before: Option<Utc>, answered: Utc) -> Between {
    let since = entry.since.filter(|since| since.certain <= answered);
    match (before, since) {
        (Some(before), Some(since)) if since.certain > before => {
            let earliest = since.earliest.unwrap_or(before).max(before);
            Between::within(earliest, since.certain)
        }
        (Some(before), _) => Between::within(before, answered),
        // Nobody looked before: it is certain from the answer on, and possible from its own beginning.
        (None, Some(since)) => Between::within(since.earliest.unwrap_or(since.certain), answered),
        (None, None) => Between::exactly(answered),
    }
}
