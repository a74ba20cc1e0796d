//! How the daemon is: one snapshot, which every stage writes its counters to and whoever asks reads.
//!
//! ```text
//! capture · drain · spool · publish · retention · sources ──update──▶ Snapshot ──now──▶ the socket, the service manager,
//!                                                                                      the summary at the end
//! ```
//!
//! A stage writes once per drain, window or look, never per flow. Whoever asks gets a copy that is made
//! under a short lock, so that no reader holds up a stage. What a snapshot means is decided by [`judge`],
//! which is pure.
//!
//! No address and no name of a member is in it: names of interfaces, counters, paths, and URLs without
//! credentials.

pub mod ask;
mod instant;
pub mod judge;
#[cfg(feature = "capture")]
pub mod listen;
mod snapshot;
mod socket;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use snapshot::{
    Clock, Drain, Gap, Interface, InterfaceState, Message, Phase, Retention, SCHEMA, Snapshot,
    Source, Spool, Store,
};
pub use socket::{DIRECTORY, socket_of};

use crate::{
    record::clock,
    telemetry::{self, Counter},
};

/// The snapshot of this process, shared by all who write to it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    snapshot: Arc<Mutex<Snapshot>>,
    counters: Arc<OnceLock<&'static [&'static [&'static Counter]]>>,
}

impl Status {
    /// Changes the snapshot; what takes time is done before.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock());
    }

    /// Has these counters of events in the snapshot; for the first caller.
    pub fn watch(&self, counters: &'static [&'static [&'static Counter]]) {
        self.counters.get_or_init(|| counters);
    }

    /// A copy, with the time of now and what follows from it.
    #[must_use]
    pub fn now(&self) -> Snapshot {
        let (now, quality) = (clock::now(), clock::quality());
        let last_warning = telemetry::last_warning()
            .map(|(at_ms, text)| Message { at: Some(clock::Utc::from_ms(at_ms)), text });
        let mut snapshot = self.lock().clone();
        snapshot.date(now, quality);
        snapshot.last_warning = last_warning;
        let counters = self.counters.get().copied().unwrap_or_default().iter().copied().flatten();
        let readings = counters.map(|counter| counter.reading());
        snapshot.events = readings.map(|(name, count)| (name.to_owned(), count)).collect();
        snapshot
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        // Every change leaves it sound, so that of a thread that panicked is too.
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
