//! Who had an address at an instant, and how surely.
//!
//! The judgement is pure: [`judge`] takes the rows that a store has of the address and of the coverage of its sources,
//! and gives an [`Answer`]. [`instant`] reads no more of a store than it needs for that.
//!
//! ```text
//!  days of the instant ──▶ claims ─── slices joined ──▶ candidates ─┐
//!                          coverage ─ windows joined ─▶ watches ────┴─▶ outcome, reasons
//! ```

mod candidate;
mod claim;
mod evidence;
mod judge;
mod line;
mod read;
mod watch;

use std::time::Duration;

use serde::Serialize;

pub use self::{
    candidate::{Basis, Candidate, Certainty},
    evidence::{Evidence, Sought, evidence, parse_address},
    judge::{is_settled, judge},
    line::{Line, LineQuestion, Whose, judge_line, line},
    read::{Mapping, instant},
    watch::Gap,
};
use super::{
    flows,
    open::{self, UnknownGateway},
};
use crate::{
    record::{
        clock::Utc,
        redacted::Address,
        session::{CoverageRow, SessionRow},
    },
    store::Oddity,
    table::isolated::Panicked,
};

/// Why there is no answer: an answer is never shorter than it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be listed, or a file of it cannot be read.
    #[error(transparent)]
    Open(#[from] open::Error),
    /// An entry of the store is none that flowlog wrote, and may hide one.
    #[error("an entry of the store cannot be read: {0}")]
    Odd(Oddity),
    /// No such gateway.
    #[error(transparent)]
    Gateway(#[from] UnknownGateway),
    /// Flows that are evidence cannot be read.
    #[error("cannot read flows as evidence")]
    Flows(#[from] flows::Error),
    /// A fault of this program.
    #[error("a thread of the question panicked")]
    Panicked,
}

impl From<Panicked> for Error {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

/// Who had an address at an instant?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address.
    pub address: Address,
    /// The instant.
    pub at: Utc,
    /// By how many milliseconds the clock of whoever asks may be wrong.
    pub error_ms: u32,
    /// The address space; `None`: all of them.
    pub realm: Option<String>,
}

/// What a store has for a question, of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Its name.
    pub gateway: String,
    /// The rows of the address, of the days around the instant; where these were deleted, of the oldest day that is kept.
    pub sessions: Vec<SessionRow>,
    /// The coverage of its sources: of these days, and of the days with rows before and after them where the instant
    /// itself is not covered.
    pub coverage: Vec<CoverageRow>,
    /// The beginning of the oldest day of which rows of sessions are kept.
    pub oldest: Option<Utc>,
}

/// What the records prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One subscriber, for certain.
    Identified,
    /// Nobody, for certain.
    None,
    /// Two subscribers or more.
    Ambiguous,
    /// The records prove neither who it was, nor that it was nobody.
    Undetermined,
}

/// What makes an answer less than certain, or what it is based on. In the order of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The instant is, by the errors of the clocks, at the edge of a session.
    Fringe,
    /// A source was not looked at around the instant.
    Gap,
    /// The address was reserved, and no tunnel was up.
    Idle,
    /// The instant is after the last records of a gateway.
    Horizon,
    /// The records of the instant were deleted.
    Purged,
    /// The instant's own rows were deleted; a later row of the session proves its beginning.
    SessionStart,
    /// Nothing kept the gateway's clock.
    ClockUnsynchronised,
    /// A candidate has no subscriber.
    Unmapped,
    /// Several address spaces have the address.
    Realms,
    /// The days that were read have no row of the address at all.
    UnknownAddress,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the records prove.
    pub outcome: Outcome,
    /// What qualifies it.
    pub reasons: Vec<Reason>,
    /// Everyone who may have had the address, the certain ones first.
    pub candidates: Vec<Candidate>,
    /// How many subscribers they are.
    pub subscribers: usize,
    /// Times around the instant in which sources were not looked at.
    pub gaps: Vec<Gap>,
    /// The greatest error of a gateway's clock, in milliseconds.
    pub gateway_error_ms: u32,
}

/// The time around an instant, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Around {
    from: Utc,
    to: Utc,
}

impl Question {
    /// The time around the instant, as a clock saw it that may be wrong by so much.
    fn around(&self, clock_error_ms: u32) -> Around {
        let error = u64::from(self.error_ms) + u64::from(clock_error_ms);
        let error = Duration::from_millis(error);
        Around { from: self.at.minus(error), to: self.at.plus(error) }
    }

    fn is_of_realm(&self, realm: &str) -> bool {
        self.realm.as_deref().is_none_or(|asked| asked == realm)
    }

    /// Whether a row is of the address.
    #[must_use]
    pub fn concerns(&self, row: &SessionRow) -> bool {
        self.is_of_realm(&row.realm) && row.prefix.in_clear().contains(self.address.in_clear())
    }
}

/// The kernel's word for a clock that nothing keeps.
const UNSYNCHRONISED_MS: u32 = 16_000;

#[cfg(test)]
mod tests;
