//! What can happen while files are kept or deleted: each event is a line on the log, and its counter.

use crate::telemetry::Counter;

static FORGOTTEN: Counter = Counter::new("keep_forgotten_memories_total");

/// How often each of them happened since the process began.
pub static COUNTERS: [&Counter; 1] = [&FORGOTTEN];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// What retention remembered in the store cannot be read.
    Forgotten { name: &'a str, error: &'a str },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Forgotten { name, error } => {
                FORGOTTEN.add();
                tracing::warn!(
                    "cannot read {name} in the store, and flowlog writes a new one: {error}"
                );
            }
        }
    }
}
