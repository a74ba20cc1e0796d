//! What can happen in the spool: each incident is a line on the log, and its counter. (Its module `events` is the log
//! of events that are recorded.)

use std::path::Path;

use super::Error;
use crate::{
    record::{clock::Utc, epoch_set::EpochSet, ledger::GapReason},
    telemetry::{Counter, with_causes},
};

static FAILURES: Counter = Counter::new("spool_failures_total");
static UNREADABLE: Counter = Counter::new("spool_unreadable_files_total");
static SET_ASIDE: Counter = Counter::new("spool_set_aside_files_total");
static WITHOUT_TRACE: Counter = Counter::new("spool_losses_without_trace_total");
static LOST_EVENTS: Counter = Counter::new("spool_losses_of_events_total");
static GAPS: Counter = Counter::new("spool_gaps_total");
static CLOCK_STEPS: Counter = Counter::new("spool_clock_steps_total");
static STRANGERS: Counter = Counter::new("spool_strangers_total");
static DELETED: Counter = Counter::new("spool_deleted_files_total");
static DEEP: Counter = Counter::new("spool_deep_directories_total");
static TEMPORARY: Counter = Counter::new("spool_temporary_directories_total");

/// How often each of them happened since the process began.
pub static COUNTERS: [&Counter; 11] = [
    &FAILURES,
    &UNREADABLE,
    &SET_ASIDE,
    &WITHOUT_TRACE,
    &LOST_EVENTS,
    &GAPS,
    &CLOCK_STEPS,
    &STRANGERS,
    &DELETED,
    &DEEP,
    &TEMPORARY,
];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Incident<'a> {
    /// A step failed, which holds nothing up.
    Failed { error: &'a Error },
    /// A file cannot be read.
    Unreadable { error: &'a Error },
    /// A file was moved away.
    SetAside { path: &'a Path, reason: &'a str, to: &'a Path },
    /// Epochs are neither here nor in the store.
    WithoutTrace { first: u64, last: u64 },
    /// Event records cannot be read.
    LostEvents { numbers: &'a EpochSet, table: &'a str },
    /// The ledger states a time without records.
    Gap { start: Utc, end: Utc, reason: GapReason },
    /// The wall clock was set while an epoch was open.
    ClockStep { step_ms: i64, opened: Utc, closed: Utc },
    /// Another machine, or the gateway under another name, filled the spool.
    Stranger { is_machine: bool },
    /// Somebody deleted a file of the store that was growing in the spool.
    Deleted { path: &'a Path },
    /// A tree in the spool is deeper than any of flowlog's.
    Deep { path: &'a Path },
    /// A directory of a killed daemon without a spool cannot be deleted.
    TemporaryStays { path: &'a Path, error: &'a std::io::Error },
    /// A directory of a killed daemon without a spool was deleted.
    TemporaryDeleted,
}

impl Incident<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Failed { error } => {
                FAILURES.add();
                tracing::warn!("{}", with_causes(error));
            }
            Self::Unreadable { error } => {
                UNREADABLE.add();
                tracing::error!("{}", with_causes(error));
            }
            Self::SetAside { path, reason, to } => {
                SET_ASIDE.add();
                tracing::error!("{} is {reason}; moved to {}", path.display(), to.display());
            }
            Self::WithoutTrace { first, last } => {
                WITHOUT_TRACE.add();
                tracing::error!(
                    "epochs {first} to {last} are neither in the spool nor in the store; the ledger states a gap"
                );
            }
            Self::LostEvents { numbers, table } => {
                LOST_EVENTS.add();
                tracing::error!("events {numbers} of {table} are lost: they cannot be read");
            }
            Self::Gap { start, end, reason } => {
                GAPS.add();
                let reason = reason.name();
                tracing::warn!(
                    "there are no records from {start} to {end} ({reason}); the ledger has this gap (gap_start, gap_end)"
                );
            }
            Self::ClockStep { step_ms, opened, closed } => {
                CLOCK_STEPS.add();
                tracing::warn!(
                    step_ms,
                    "the wall clock was set; the ledger has the step (clock_step_ms), and the counts of the \
                     last {:?} are dated from {opened} on",
                    opened.distance(closed)
                );
            }
            Self::Stranger { is_machine } => {
                STRANGERS.add();
                tracing::warn!(
                    "the spool has counts of {}; flowlog stores them apart from its own",
                    if is_machine { "another machine" } else { "another gateway name" }
                );
            }
            Self::Deleted { path } => {
                DELETED.add();
                tracing::error!(
                    "somebody deleted {} while flowlog runs; what the store does not have of it is lost, and becomes a gap in the ledger",
                    path.display()
                );
            }
            Self::Deep { path } => {
                // It is met in each drain.
                DEEP.add();
                if DEEP.reading().1 == 1 {
                    tracing::warn!(
                        "{} lies deeper than anything of flowlog's: its bytes do not count for spool_max_bytes; remove it from the spool",
                        path.display()
                    );
                }
            }
            Self::TemporaryStays { path, error } => {
                TEMPORARY.add();
                tracing::error!(
                    "cannot delete {}, which may have flows in it; delete it by hand: {error}",
                    path.display()
                );
            }
            Self::TemporaryDeleted => {
                TEMPORARY.add();
                tracing::warn!(
                    "deleted flows that a killed flowlog without --spool had not stored yet"
                );
            }
        }
    }
}
