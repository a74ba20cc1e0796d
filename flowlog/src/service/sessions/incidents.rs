//! What can happen to sessions on their way: each incident is a line on the log, and its counter.

use std::time::Duration;

use super::{publish, recorder};
use crate::{
    record::session::Instance,
    source::subscribers,
    telemetry::{Counter, with_causes},
};

static NOT_OPENED: Counter = Counter::new("sessions_open_failures_total");
static NOT_RECORDED: Counter = Counter::new("sessions_spool_failures_total");
static NOT_PUBLISHED: Counter = Counter::new("sessions_store_failures_total");
static UNTIMELY: Counter = Counter::new("sessions_untimely_reports_total");
static LATE_ROWS: Counter = Counter::new("sessions_late_rows_total");
static NO_PEER_KEY: Counter = Counter::new("sessions_peer_key_failures_total");

/// How often each of them happened.
pub(in crate::service) static COUNTERS: [&Counter; 6] =
    [&NOT_OPENED, &NOT_RECORDED, &NOT_PUBLISHED, &UNTIMELY, &LATE_ROWS, &NO_PEER_KEY];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Incident<'a> {
    /// The events in the spool cannot be read.
    NotOpened { error: &'a recorder::Error },
    /// Events cannot be written down.
    NotRecorded { error: &'a recorder::Error },
    /// Events that the store has cannot leave the spool.
    NotReleased { error: &'a recorder::Error },
    /// A day cannot be put.
    NotPublished { error: &'a publish::Error, pause: Duration },
    /// The end came before the last day was put.
    NotFinished,
    /// A report is of a time far from now.
    Untimely,
    /// Rows ended in days that are in the store for good.
    TooLate { instance: &'a Instance, rows: u64 },
    /// The peer key cannot be used.
    NoPeerKey { error: &'a subscribers::Error },
}

impl Incident<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::NotOpened { error } => {
                NOT_OPENED.add();
                tracing::error!("no sessions are recorded: {}; trying again", with_causes(error));
            }
            Self::NotRecorded { error } => {
                NOT_RECORDED.add();
                tracing::error!(
                    "cannot write sessions to the spool: {}; no report is taken until it can",
                    with_causes(error)
                );
            }
            Self::NotReleased { error } => {
                NOT_RECORDED.add();
                tracing::warn!(
                    "sessions that the store has stay in the spool for now: {}",
                    with_causes(error)
                );
            }
            Self::NotPublished { error, pause } => {
                NOT_PUBLISHED.add();
                tracing::warn!(
                    "cannot put a day of sessions into the store: {}; trying again in {pause:?}",
                    with_causes(error)
                );
            }
            Self::NotFinished => {
                tracing::warn!(
                    "the last sessions are not in the store; with a spool the next start puts them"
                );
            }
            Self::Untimely => {
                UNTIMELY.add();
                tracing::warn!(
                    "a source of sessions reports a time that is minutes from now: check its clock; the report is not taken"
                );
            }
            Self::TooLate { instance: Instance { source, name }, rows } => {
                LATE_ROWS.add_all(rows);
                tracing::warn!(
                    source = source.name(),
                    name,
                    "{rows} ends of sessions came after their day was stored for good, which has the sessions up to their last confirmation: check the clock of the source"
                );
            }
            Self::NoPeerKey { error } => {
                NO_PEER_KEY.add();
                tracing::error!(
                    "no sessions are recorded: {}; {}; trying again",
                    with_causes(error),
                    error.remedy()
                );
            }
        }
    }
}
