//! When a source was looked at: without it, that nobody held an address is not known.

use super::{super::clock::Utc, Instance, names::words};

words! {
    /// Why a source was not looked at.
    CoverageReason {
        /// No daemon looked.
        Down = "down",
        /// Events were lost on the way.
        Overrun = "overrun",
        /// The source gave no answer, or its answer did not change.
        SourceSilent = "source_silent",
        /// The source gave an answer that cannot be read.
        SourceError = "source_error",
        /// The clock was set.
        ClockStep = "clock_step",
    }
}

/// A time in which a source was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoverageGap {
    /// Since when.
    pub start: Utc,
    /// Until when.
    pub end: Utc,
    /// Why.
    pub reason: CoverageReason,
}

/// A row of the `coverage` table: a source in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageRow {
    /// The source.
    pub instance: Instance,
    /// The space of addresses of which it tells.
    pub realm: String,
    /// Beginning and end of the window.
    pub window: (Utc, Utc),
    /// From the first report to the last one.
    pub observed: (Utc, Utc),
    /// Polls that were answered, or events.
    pub reports: u64,
    /// The longest time without one, in milliseconds.
    pub longest_pause_ms: u32,
    /// Polls that failed.
    pub errors: u64,
    /// How often events were lost on the way.
    pub overruns: u64,
    /// A time of which nothing is known; each further one has a row of its own, without reports.
    pub gap: Option<CoverageGap>,
    /// The greatest error of the clock, in milliseconds.
    pub clock_error_ms: u32,
    /// By how many milliseconds the clock was set within the window.
    pub clock_step_ms: i64,
}
