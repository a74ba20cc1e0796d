//! How often something happened since the process began.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts one kind of event. Each room has its own in its module `events`, beside the log line of the event.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    count: AtomicU64,
}

impl Counter {
    /// A counter with a name that monitoring may depend on: `room_noun_total`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, count: AtomicU64::new(0) }
    }

    /// It happened once more.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// It happened so many times more.
    pub fn add_all(&self, times: u64) {
        self.count.fetch_add(times, Ordering::Relaxed);
    }

    /// Its name, and how often it happened.
    #[must_use]
    pub fn reading(&self) -> (&'static str, u64) {
        (self.name, self.count.load(Ordering::Relaxed))
    }
}
