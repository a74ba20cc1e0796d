//! What can happen to the key and the subscribers: each event is a line on the log, and its counter.

use std::path::Path;

use super::Error;
use crate::telemetry::{Counter, with_causes};

static FAILED: Counter = Counter::new("subscribers_failed_total");
static KEY_EXPOSED: Counter = Counter::new("subscribers_key_exposed_total");

/// How often each of them happened since the process began.
pub static COUNTERS: [&Counter; 2] = [&FAILED, &KEY_EXPOSED];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A file is there that cannot be used.
    Failed { error: &'a Error },
    /// Others may read the key.
    KeyExposed { path: &'a Path },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Failed { error } => {
                FAILED.add();
                let remedy = error.remedy();
                tracing::warn!(
                    "{}; the files before stay in force, where there were any; {remedy}",
                    with_causes(error)
                );
            }
            Self::KeyExposed { path } => {
                KEY_EXPOSED.add();
                let path = path.display();
                tracing::warn!(
                    "others may read {path}, and find out whose a pseudonym is; `chmod 600 {path}`"
                );
            }
        }
    }
}
