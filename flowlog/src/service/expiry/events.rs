//! What can happen while the daemon deletes what has expired: each event is a line on the log, and its counter.

use std::{io, path::Path, time::Duration};

use crate::{
    keep::retain::guard::Doubt,
    record::clock::Utc,
    spool, store,
    telemetry::{Counter, with_causes},
};

static FAILURES: Counter = Counter::new("retention_failures_total");
static CLOCK_DOUBTS: Counter = Counter::new("retention_clock_doubts_total");
static ODD_FILES: Counter = Counter::new("retention_odd_files_total");
static PARTITIONS: Counter = Counter::new("retention_partitions_total");
static REMAINS: Counter = Counter::new("retention_remains_total");
static UNPUBLISHED: Counter = Counter::new("retention_unpublished_hours_total");

/// How often each of them happened.
pub(in crate::service) static COUNTERS: [&Counter; 6] =
    [&FAILURES, &CLOCK_DOUBTS, &ODD_FILES, &PARTITIONS, &REMAINS, &UNPUBLISHED];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The store could not be asked, or not told.
    Failed { error: &'a store::Error },
    /// Some files could not be deleted.
    NotDeleted { failed: usize, untried: usize, path: &'a str, error: &'a store::Error },
    /// An hour in the spool could not be deleted.
    HourNotDeleted { error: &'a spool::Error },
    /// A file that the spool had set aside could not be deleted.
    AsideNotDeleted { path: &'a Path, error: &'a io::Error },
    /// The folder of files that the spool had set aside could not be read.
    AsideUnread { error: &'a io::Error },
    /// The clock is believed again.
    ClockTrusted,
    /// The clock is doubtful, and is gone by.
    ClockDoubtful { doubt: Doubt },
    /// The clock is not believed.
    ClockRefused { doubt: Doubt, every: Duration },
    /// A file that is none of flowlog's.
    Foreign { object: &'a str },
    /// A file that cannot be deleted for what it is; the text names it.
    Undeletable { oddity: &'a str },
    /// Files whose names have the time of a wrong clock.
    Misdated { files: usize },
    /// A partition was deleted.
    Expired { partition: &'a str },
    /// Files that were never finished were deleted.
    UnfinishedDeleted { files: usize },
    /// Files that the spool had set aside were deleted.
    AsideDeleted { files: usize },
    /// An hour expired before the store took it.
    ExpiredUnpublished { hour: Utc, windows: usize, rows: u64 },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        self.counter().into_iter().for_each(Counter::add);
        self.log();
    }

    const fn counter(&self) -> Option<&'static Counter> {
        match self {
            Self::Failed { .. }
            | Self::NotDeleted { .. }
            | Self::HourNotDeleted { .. }
            | Self::AsideNotDeleted { .. }
            | Self::AsideUnread { .. } => Some(&FAILURES),
            Self::ClockDoubtful { .. } | Self::ClockRefused { .. } => Some(&CLOCK_DOUBTS),
            Self::Undeletable { .. } | Self::Misdated { .. } => Some(&ODD_FILES),
            Self::Expired { .. } => Some(&PARTITIONS),
            Self::UnfinishedDeleted { .. } | Self::AsideDeleted { .. } => Some(&REMAINS),
            Self::ExpiredUnpublished { .. } => Some(&UNPUBLISHED),
            Self::ClockTrusted | Self::Foreign { .. } => None,
        }
    }

    fn log(self) {
        match self {
            Self::Failed { error } => tracing::error!("retention: {}", with_causes(error)),
            Self::NotDeleted { failed, untried, path, error } => tracing::error!(
                failed,
                untried,
                "retention: could not delete some expired files; the first is {path}: {}",
                with_causes(error)
            ),
            Self::HourNotDeleted { error } => tracing::error!("retention: {}", with_causes(error)),
            Self::AsideNotDeleted { path, error } => {
                tracing::error!(
                    "retention: cannot delete {} in the spool: {error}",
                    path.display()
                );
            }
            Self::AsideUnread { error } => {
                tracing::error!("retention: cannot look into the spool: {error}");
            }
            Self::ClockTrusted => tracing::info!("retention trusts the clock again"),
            Self::ClockDoubtful { doubt } => {
                tracing::warn!("retention uses a doubtful clock: {doubt}; {}", doubt.remedy());
            }
            Self::ClockRefused { doubt, every } => tracing::warn!(
                "retention deletes nothing: {doubt}; {}; flowlog tries again every {every:?}",
                doubt.remedy()
            ),
            Self::Foreign { object } => {
                tracing::debug!(object, "retention keeps what is not a file of flowlog");
            }
            Self::Undeletable { oddity } => tracing::warn!("retention cannot delete {oddity}"),
            Self::Misdated { files } => tracing::warn!(
                "{files} files in the store have a wrong time in their names, from a wrong clock; \
                 `flowlog retention plan` names them"
            ),
            Self::Expired { partition } => tracing::info!(partition, "expired"),
            Self::UnfinishedDeleted { files } => {
                tracing::info!(files, "deleted expired files that were never finished");
            }
            Self::AsideDeleted { files } => {
                tracing::info!(files, "deleted expired files that the spool had set aside");
            }
            Self::ExpiredUnpublished { hour, windows, rows } => tracing::warn!(
                windows,
                rows,
                "the hour {hour} expired before the store took it: flowlog deletes it from the spool, and does not publish it"
            ),
        }
    }
}
