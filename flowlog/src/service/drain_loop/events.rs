//! What can happen while the kernel is drained: each event is a line on the log, and its counter.

use std::time::Duration;

use crate::{
    spool,
    telemetry::{Counter, with_causes},
};

static SPOOL_FAILURES: Counter = Counter::new("drain_spool_failures_total");
static SPOOL_RECOVERIES: Counter = Counter::new("drain_spool_recoveries_total");
static UNREADABLE_COUNTS: Counter = Counter::new("drain_unreadable_counts_total");

/// How often each of them happened.
pub(in crate::service) static COUNTERS: [&Counter; 3] =
    [&SPOOL_FAILURES, &SPOOL_RECOVERIES, &UNREADABLE_COUNTS];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The spool cannot be opened or read, and is tried again.
    SpoolAway { error: &'a spool::Error, pause: Duration },
    /// The spool does not take an epoch.
    NotTaken { error: &'a spool::Error },
    /// The spool takes epochs again.
    TakesAgain,
    /// Another version of flowlog left counts that this one cannot read.
    Unreadable,
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::SpoolAway { error, pause } => {
                SPOOL_FAILURES.add();
                tracing::error!(
                    "{}; the kernel holds the counts, and flowlog tries the spool again every {pause:?}",
                    with_causes(error)
                );
            }
            Self::NotTaken { error } => {
                SPOOL_FAILURES.add();
                tracing::warn!("{}; the kernel holds the counts meanwhile", with_causes(error));
            }
            Self::TakesAgain => {
                SPOOL_RECOVERIES.add();
                tracing::info!("the spool takes epochs again");
            }
            Self::Unreadable => {
                UNREADABLE_COUNTS.add();
                tracing::error!(
                    "the counts of another version of flowlog since its last drain cannot be read, and are lost"
                );
            }
        }
    }
}
