//! Rows of a session as claims, with their slices joined.

use std::time::Duration;

use super::{Around, Basis};
use crate::record::{
    clock::Utc,
    session::{EndReason, Outer, SessionRow, State},
};

/// A time in which a session certainly held a prefix from one endpoint, and one in which it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    /// A row of it, for what is the same in all of them.
    pub row: &'a SessionRow,
    pub certain: Span,
    pub possible: Span,
    pub continues: bool,
    pub end_reason: Option<EndReason>,
    pub clock_error_ms: u32,
    pub basis: Basis,
    /// Not known where the claim goes back to before a change of the endpoint.
    pub outer: Option<Outer>,
}

/// A time whose end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: Utc,
    pub end: Utc,
}

impl Span {
    const fn is_empty(self) -> bool {
        self.start.ns() >= self.end.ns()
    }

    fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether some of it is within a time.
    pub fn meets(self, around: Around) -> bool {
        !self.is_empty() && self.start <= around.to && self.end > around.from
    }

    /// Whether a time is within it.
    pub fn has(self, around: Around) -> bool {
        self.start <= around.from && self.end > around.to
    }
}

impl<'a> Claim<'a> {
    pub fn of(row: &'a SessionRow) -> Self {
        let held = &row.held;
        Self {
            row,
            certain: Span { start: held.start, end: held.end },
            possible: Span { start: held.possible_start(), end: held.possible_end() },
            continues: row.continues,
            end_reason: row.end_reason,
            clock_error_ms: row.clock_error_ms,
            basis: Basis::Row,
            outer: row.outer,
        }
    }

    /// The claims of a session to a prefix, in the order of time: slices of one row are one claim.
    pub fn joined(mut claims: Vec<Self>) -> Vec<Self> {
        claims.sort_by_key(|claim| (claim.certain.start, claim.certain.end));
        let mut joined: Vec<Self> = vec![];
        for claim in claims {
            let before = joined.iter_mut().rev().find(|before| before.is_sliced_from(&claim));
            match before {
                Some(before) => before.absorb(&claim),
                None => joined.push(claim),
            }
        }
        joined
    }

    /// Goes back to the beginning of the session, of which the rows before the oldest day that is kept were deleted.
    /// It is certain where the row goes on from the day before.
    pub fn back_to_session_start(&mut self, oldest: Utc) {
        let start = self.row.session_start;
        if start >= oldest || self.possible.start < oldest {
            return;
        }
        if self.certain.start == oldest && !self.certain.is_empty() {
            self.certain.start = start;
        }
        let slack = Duration::from_millis(self.row.session_start_slack_ms.into());
        self.possible.start = start.minus(slack);
        self.basis = Basis::SessionStart;
        if self.row.segment > 0 {
            self.outer = None;
        }
    }

    /// Whether its holder went on as the holder of a later claim: where the endpoint changed between two looks at it,
    /// the holder did not.
    fn leads_to(&self, later: &Self) -> bool {
        let roamed = self.end_reason == Some(EndReason::Roamed)
            && self.possible.end >= later.certain.start
            && later.possible.start <= self.certain.end;
        later.certain.start <= self.certain.end || roamed
    }

    /// The times in which the tunnel of a session was certainly up, whatever its endpoint, of its claims to a prefix.
    pub fn tunnels(claims: &[Self]) -> Vec<Span> {
        Self::spans(claims.iter().filter(|claim| claim.row.state == State::Tunnel))
    }

    /// The times in which a session certainly held a prefix, whether its tunnel was up or not.
    pub fn held(claims: &[Self]) -> Vec<Span> {
        Self::spans(claims.iter())
    }

    /// The certain times of claims of a holder, in order; where it went on from one to the next, they are one.
    fn spans<'b>(claims: impl Iterator<Item = &'b Self>) -> Vec<Span>
    where
        'a: 'b,
    {
        let mut spans: Vec<(Span, &Self)> = vec![];
        for claim in claims.filter(|claim| !claim.certain.is_empty()) {
            match spans.last_mut() {
                Some((span, last)) if last.leads_to(claim) => {
                    if claim.certain.end > span.end {
                        *last = claim;
                    }
                    *span = span.union(claim.certain);
                }
                _ => spans.push((claim.certain, claim)),
            }
        }
        spans.into_iter().map(|(span, _)| span).collect()
    }

    /// Whether a later claim is a slice of the same row, or a certain time of the same endpoint that adjoins.
    fn is_sliced_from(&self, later: &Self) -> bool {
        let of = |claim: &Self| (claim.row.state, claim.row.segment, claim.row.outer);
        if of(self) != of(later) {
            return false;
        }
        // A slice that is certain of no time is at midnight, where the slack of its row goes on.
        if self.certain.is_empty() || later.certain.is_empty() {
            return later.possible.start <= self.possible.end;
        }
        later.certain.start <= self.certain.end
    }

    fn absorb(&mut self, later: &Self) {
        self.possible = self.possible.union(later.possible);
        self.clock_error_ms = self.clock_error_ms.max(later.clock_error_ms);
        if self.certain.is_empty() {
            self.certain = later.certain;
        } else if !later.certain.is_empty() {
            self.certain = self.certain.union(later.certain);
        }
        self.continues = later.continues;
        self.end_reason = later.end_reason;
    }
}
