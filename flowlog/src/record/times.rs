//! The kernel's times of an epoch, in UTC.

use std::time::Duration;

use flowlog_common::flow::FlowCounters;

use super::{
    clock::{MonotonicNs, Offset, Utc},
    epoch::Epoch,
    flow::Activity,
};

/// Less than the clock of the kernel program can tell apart.
const CLOCK_STEP: Duration = Duration::from_micros(1);

/// More than the clock is slewed by in an epoch, less than a gap is known to.
const GAP_STEP: Duration = Duration::from_millis(1);

/// Converts the kernel's times of one epoch.
pub struct Times {
    offset: Offset,
    opened: Utc,
    closed: Utc,
}

impl Times {
    /// Those of this epoch. No packet of it was seen before it opened; the clock having been slewed
    /// since must not make it look so.
    #[must_use]
    pub const fn of(epoch: &Epoch) -> Self {
        Self { offset: epoch.offset, opened: epoch.opened, closed: epoch.closed }
    }

    /// An instant in UTC.
    #[must_use]
    pub fn utc(&self, monotonic: MonotonicNs) -> Utc {
        self.offset.utc(monotonic).max(self.opened)
    }

    /// The end of an epoch in UTC is that of its window, to the nanosecond.
    #[must_use]
    pub fn end_utc(&self, monotonic: MonotonicNs) -> Utc {
        let utc = self.utc(monotonic);
        if utc.distance(self.closed) < CLOCK_STEP { self.closed } else { utc }
    }

    /// The bound of a gap, which may be before the epoch. Where it is that of the epoch, it is the same
    /// in UTC.
    #[must_use]
    pub fn gap_utc(&self, monotonic: MonotonicNs) -> Utc {
        let utc = self.offset.utc(monotonic);
        let bounds = [self.opened, self.closed];
        bounds.into_iter().find(|bound| utc.distance(*bound) < GAP_STEP).unwrap_or(utc)
    }

    /// What a flow did in the epoch.
    #[must_use]
    pub fn activity(&self, counters: &FlowCounters) -> Activity {
        let [first, last] = [counters.first_ns, counters.last_ns].map(MonotonicNs::from_ns);
        Activity {
            start_ms: self.utc(first).ms(),
            // Before the end, also where a thread was interrupted while it announced that.
            end_ms: self.utc(last).min(Utc::from_ns(self.closed.ns() - 1)).ms(),
            packets_up: counters.packets_up,
            bytes_up: counters.bytes_up,
            packets_down: counters.packets_down,
            bytes_down: counters.bytes_down,
            tcp_flags_up: counters.tcp_flags_up(),
            tcp_flags_down: counters.tcp_flags_down(),
            partial: counters.partial(),
            initiator: counters.initiator(),
        }
    }
}

impl Activity {
    /// Adds what the same flow did in another epoch.
    pub fn merge(&mut self, other: &Self) {
        // Destructured, so that a new counter cannot be forgotten.
        let Self {
            start_ms,
            end_ms,
            packets_up,
            bytes_up,
            packets_down,
            bytes_down,
            tcp_flags_up,
            tcp_flags_down,
            partial,
            initiator,
        } = other;
        if *start_ms < self.start_ms {
            self.start_ms = *start_ms;
            self.initiator = *initiator;
        }
        self.end_ms = self.end_ms.max(*end_ms);
        self.packets_up += packets_up;
        self.bytes_up += bytes_up;
        self.packets_down += packets_down;
        self.bytes_down += bytes_down;
        self.tcp_flags_up |= tcp_flags_up;
        self.tcp_flags_down |= tcp_flags_down;
        self.partial |= partial;
    }
}
