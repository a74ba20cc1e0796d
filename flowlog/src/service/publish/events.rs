//! What can happen while files are published: each event is a line on the log, and its counter.

use std::time::Duration;

use super::fault::Fault;
use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    spool, store,
    telemetry::{Counter, with_causes},
};

static STORE_FAILURES: Counter = Counter::new("publish_store_failures_total");
static SPOOL_FAILURES: Counter = Counter::new("publish_spool_failures_total");
static ENCODING_FAILURES: Counter = Counter::new("publish_encoding_failures_total");
static DEFECTS: Counter = Counter::new("publish_defects_total");
static CLOSED_FILES: Counter = Counter::new("publish_closed_files_total");
static COMPLETED_LEDGERS: Counter = Counter::new("publish_completed_ledgers_total");
static UNSOUND_FILES: Counter = Counter::new("publish_unsound_files_total");
static FORMER_STORES_AWAY: Counter = Counter::new("publish_former_stores_away_total");

/// How often each of them happened.
pub(crate) static COUNTERS: [&Counter; 8] = [
    &STORE_FAILURES,
    &SPOOL_FAILURES,
    &ENCODING_FAILURES,
    &DEFECTS,
    &CLOSED_FILES,
    &COMPLETED_LEDGERS,
    &UNSOUND_FILES,
    &FORMER_STORES_AWAY,
];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A step failed, and is tried again after a pause.
    Failed { fault: &'a Fault, pause: Duration },
    /// The store has epochs of an hour in a file that cannot be added to.
    Closed { epochs: &'a EpochSet, hour: Utc },
    /// A ledger in the store accounted for less than its flows.
    Completed { ledger: &'a str },
    /// A file in the store is none that can be read.
    Unsound { path: &'a str },
    /// A store to which nothing goes any more cannot be asked.
    FormerStoreAway { error: &'a store::Error },
    /// What somebody deleted from the spool cannot be made again.
    NotRestored { error: &'a spool::Error },
    /// Runs that belong together stay apart.
    NotMerged { error: &'a spool::Error },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Failed { fault, pause } => failed(fault, pause),
            Self::Closed { epochs, hour } => {
                CLOSED_FILES.add();
                tracing::warn!(
                    "the store has epochs {epochs} of {hour} in another file, which flowlog does not change; the other epochs go into a new file"
                );
            }
            Self::Completed { ledger } => {
                COMPLETED_LEDGERS.add();
                tracing::warn!(
                    "{ledger} in the store does not account for all of its flows; flowlog completed it"
                );
            }
            Self::Unsound { path } => {
                UNSOUND_FILES.add();
                tracing::warn!(
                    "{path} in the store is not a sound Parquet file; flowlog does not change it"
                );
            }
            Self::FormerStoreAway { error } => {
                FORMER_STORES_AWAY.add();
                tracing::warn!("{}", with_causes(error));
            }
            Self::NotMerged { error } | Self::NotRestored { error } => {
                SPOOL_FAILURES.add();
                tracing::warn!("{}", with_causes(error));
            }
        }
    }
}

fn failed(fault: &Fault, pause: Duration) {
    match fault {
        Fault::Store(error) => {
            STORE_FAILURES.add();
            tracing::warn!("{fault}; trying again in {pause:?}");
            if let Some(remedy) = error.remedy() {
                tracing::warn!("{remedy}");
            }
        }
        Fault::Spool(_) => {
            SPOOL_FAILURES.add();
            tracing::warn!("{fault}; trying again in {pause:?}");
        }
        Fault::Encode(_) => {
            ENCODING_FAILURES.add();
            tracing::error!("{fault}; trying again in {pause:?}");
        }
        Fault::Panicked(_) => {
            DEFECTS.add();
            tracing::error!("{fault}; trying again in {pause:?}");
        }
    }
}
