//! Instants of the clock that the kernel program reads.

use std::time::Duration;

/// An instant of the kernel's monotonic clock, in nanoseconds. Only an [`Offset`](super::Offset) makes an instant of
/// [`Utc`](super::Utc) of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicNs(u64);

impl MonotonicNs {
    /// The last instant of the clock.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant that the kernel writes as this number.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// The number that the kernel reads for this instant.
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// This instant and a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from an earlier instant to this one; zero where the other instant is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
