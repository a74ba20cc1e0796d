//! What can happen while epochs are gathered into windows: each event is a line on the log, and its counter.

use std::time::Duration;

use crate::{
    record::clock::Utc,
    spool,
    telemetry::{Counter, with_causes},
};

static SPOOL_FAILURES: Counter = Counter::new("gather_spool_failures_total");
static DATED_AGAIN: Counter = Counter::new("gather_dated_again_total");
static MISDATED: Counter = Counter::new("gather_misdated_total");

/// How often each of them happened.
pub(in crate::service) static COUNTERS: [&Counter; 3] = [&SPOOL_FAILURES, &DATED_AGAIN, &MISDATED];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// Windows cannot be merged, and are tried again after a pause.
    Failed { error: &'a spool::Error, windows: usize, pause: Duration },
    /// A step failed in the spool, and is left to the next daemon.
    Left { error: &'a spool::Error },
    /// The open window stays as it is in the spool, and no part of it is published.
    WindowStays { error: &'a spool::Error },
    /// An epoch has the time of a corrected clock.
    DatedAgain { was: Utc, is: Utc },
    /// An epoch keeps the time of a wrong clock.
    Misdated { closed: Utc, error: &'a spool::Error },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Failed { error, windows, pause } => {
                SPOOL_FAILURES.add();
                tracing::warn!(
                    windows,
                    "{}; these windows wait in the spool, and flowlog tries again every {pause:?}",
                    with_causes(error)
                );
            }
            Self::Left { error } => {
                SPOOL_FAILURES.add();
                tracing::warn!("{}", with_causes(error));
            }
            Self::WindowStays { error } => {
                SPOOL_FAILURES.add();
                tracing::warn!(
                    "{}; the window that is open stays in the spool",
                    with_causes(error)
                );
            }
            Self::DatedAgain { was, is } => {
                DATED_AGAIN.add();
                tracing::info!("the epoch that ended at {was} is dated again, to {is}");
            }
            Self::Misdated { closed, error } => {
                MISDATED.add();
                tracing::warn!(
                    "the epoch that ended at {closed} stays dated by a wrong clock: {}",
                    with_causes(error)
                );
            }
        }
    }
}
