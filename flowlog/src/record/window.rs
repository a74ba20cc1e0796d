//! The ledger of a window.

mod rows;

use serde::{Deserialize, Serialize};

use super::{clock::Utc, ledger::LedgerEntry};

/// The ledger of a window, or of the part of it that a run has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowLedger {
    /// Beginning of the window, nanoseconds of UTC.
    pub start_ns: i64,
    /// Its length in milliseconds.
    pub length_ms: u64,
    /// First and last number of its epochs; not in runs of version 1.
    #[serde(default)]
    pub epochs: Option<(u64, u64)>,
    /// A row for each interface.
    #[serde(with = "rows")]
    pub rows: Vec<LedgerEntry>,
}

impl WindowLedger {
    /// Beginning of the window.
    #[must_use]
    pub const fn start(&self) -> Utc {
        Utc::from_ns(self.start_ns)
    }

    /// End of the window.
    #[must_use]
    pub fn end(&self) -> Utc {
        self.start().plus(std::time::Duration::from_millis(self.length_ms))
    }

    /// Adds another part of the window.
    pub fn absorb(&mut self, other: &Self) {
        self.epochs =
            self.epochs.zip(other.epochs).map(|((first, last), (also_first, also_last))| {
                (first.min(also_first), last.max(also_last))
            });
        for row in &other.rows {
            match self.rows.iter_mut().find(|known| known.interface == row.interface) {
                Some(known) => known.absorb(row),
                None => self.rows.push(row.clone()),
            }
        }
    }
}
