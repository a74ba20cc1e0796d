//! What a row is opened and closed with.

use std::sync::Arc;

use super::super::event::{ClosedRow, Event};
use crate::record::{
    clock::Utc,
    session::{EndReason, Instance},
    subscriber::Subscribers,
};

/// Where the changes of a report go.
pub(super) struct Span<'a> {
    pub(super) gateway: &'a str,
    pub(super) subscribers: &'a Arc<Subscribers>,
    pub(super) instance: &'a Instance,
    pub(super) next_row: &'a mut u64,
    /// The instant of the report: what goes on is certain up to here.
    pub(super) now: Utc,
    /// The end of the answer, no earlier: what is new is certain from here on.
    pub(super) answered: Utc,
    pub(super) events: &'a mut Vec<Event>,
}

/// A time at which something changed: certain up to the first instant, or from the second one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    pub(super) certain_before: Utc,
    pub(super) certain_after: Utc,
}

/// Why and how a row ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) reason: Option<EndReason>,
    pub(super) continues: bool,
}

impl Between {
    /// At a known instant.
    pub(super) const fn exactly(at: Utc) -> Self {
        Self { certain_before: at, certain_after: at }
    }

    /// At some instant of a time.
    pub(super) fn within(from: Utc, to: Utc) -> Self {
        Self { certain_before: from.min(to), certain_after: to }
    }
}

impl Ending {
    pub(super) const fn over(reason: EndReason) -> Self {
        Self { reason: Some(reason), continues: false }
    }

    /// The prefix is held on, by the same session, in another row.
    pub(super) const GOES_ON: Self = Self { reason: None, continues: true };
}

impl Span<'_> {
    pub(super) fn number(&mut self) -> u64 {
        let number = *self.next_row;
        *self.next_row += 1;
        number
    }

    pub(super) fn close(&mut self, closed: ClosedRow) {
        self.events.push(Event::Closed(closed));
    }
}
