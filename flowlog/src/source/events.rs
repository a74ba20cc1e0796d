//! What can happen to a source: each event is a line on the log, and its counter.

use super::{
    Error,
    hook::{DIRECTORY, GROUP, Refused},
};
use crate::{
    record::session::Instance,
    telemetry::{Counter, with_causes},
};

static FOUND: Counter = Counter::new("source_found_total");
static GONE: Counter = Counter::new("source_gone_total");
static FAILURES: Counter = Counter::new("source_failures_total");
static RECOVERED: Counter = Counter::new("source_recovered_total");
static NOTES_REFUSED: Counter = Counter::new("source_notes_refused_total");
static GROUP_MISSING: Counter = Counter::new("source_group_missing_total");

/// How often each of them happened since the process began.
pub static COUNTERS: [&Counter; 6] =
    [&FOUND, &GONE, &FAILURES, &RECOVERED, &NOTES_REFUSED, &GROUP_MISSING];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// An interface, a server or a file is looked at from now on.
    Found { instance: &'a Instance },
    /// It is gone.
    Gone { instance: &'a Instance },
    /// It could not be looked at, or a part of it, while others went on; only the first time in a row is for the log.
    Failed { instance: &'a Instance, error: &'a Error, is_first: bool, is_part: bool },
    /// It gives answers again.
    Recovered { instance: &'a Instance },
    /// A file among the notes of hooks is none, or makes no sense.
    NoteRefused { instance: &'a Instance, error: &'a Refused },
    /// The directory of notes has no group, so that only root can leave notes.
    NoGroup,
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Found { instance: Instance { source, name } } => {
                FOUND.add();
                tracing::info!(source = source.name(), name, "sessions are recorded");
            }
            Self::Gone { instance: Instance { source, name } } => {
                GONE.add();
                tracing::info!(source = source.name(), name, "the source of sessions is gone");
            }
            Self::Failed { instance: Instance { source, name }, error, is_first, is_part } => {
                FAILURES.add();
                let rest = if is_part {
                    "its other parts go on"
                } else {
                    "the coverage has this time as a gap"
                };
                if is_first {
                    let (source, error) = (source.name(), with_causes(error));
                    tracing::warn!(source, name, "the source of sessions fails: {error}; {rest}");
                }
            }
            Self::Recovered { instance: Instance { source, name } } => {
                RECOVERED.add();
                tracing::info!(
                    source = source.name(),
                    name,
                    "the source of sessions answers again"
                );
            }
            Self::NoteRefused { instance: Instance { source, name }, error } => {
                NOTES_REFUSED.add();
                tracing::warn!(
                    source = source.name(),
                    name,
                    "a file in the directory of the hooks is not used: {}",
                    with_causes(error)
                );
            }
            Self::NoGroup => {
                GROUP_MISSING.add();
                tracing::warn!(
                    "only root can leave notes for flowlog: there is no group {GROUP}, or flowlog may not give the directory to it; make the group with `groupadd --system {GROUP}`, add the user of the server to it, and give it the directory with `chgrp {GROUP} {DIRECTORY}`"
                );
            }
        }
    }
}
