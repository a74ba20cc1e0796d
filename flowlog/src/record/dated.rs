//! The reading of the clock by which an epoch is dated, as it is written down.

use serde::{Deserialize, Serialize};

use super::clock::{self, Dating, Offset};

/// As long as a file of the store: its runs are no further apart.
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// The reading of the clock by which an epoch is dated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// The start of the machine whose monotonic clock it is.
    pub boot: String,
    /// From that clock to UTC.
    pub offset_ns: i64,
    /// Whether something kept the wall clock then.
    pub synchronised: bool,
}

impl Dated {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        let Dating { offset, synchronised } = Dating::now();
        Self { boot: clock::boot(), offset_ns: offset.ns(), synchronised }
    }

    /// Whether another reading is of a clock that was slewed since, and not set.
    #[must_use]
    pub fn is_alike(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| {
            self.boot == other.boot && self.dating().step(other.dating(), HOUR).is_none()
        })
    }

    /// The reading itself.
    #[must_use]
    pub const fn dating(&self) -> Dating {
        Dating { offset: Offset::from_ns(self.offset_ns), synchronised: self.synchronised }
    }
}
