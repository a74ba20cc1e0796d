//! When what failed is tried again.

use tokio::time::Instant;

use super::{
    super::{super::windows::Shared, events::Event, fault::Fault},
    Worker,
};
use crate::{status::Message, store::Retry};

impl Worker {
    /// All that failed is tried at once.
    pub(crate) fn forget_pauses(&self) {
        self.state().pauses.clear();
    }

    pub(super) fn is_paused(&self, key: &str) -> bool {
        self.state().pauses.get(key).is_some_and(|(_, until)| Instant::now() < *until)
    }

    /// Remembers that a file could not be published. What is gone from the spool is made again.
    pub(super) fn fail(&self, shared: &Shared, lineage: &str, fault: Fault) {
        if fault.is_gone()
            && let Err(error) = shared.lock().restore()
        {
            Event::NotRestored { error: &error }.emit();
        }
        self.pause(lineage, fault);
    }

    /// Remembers a failure, and reports it.
    pub(super) fn pause(&self, key: &str, fault: Fault) {
        let mut state = self.state();
        let failures = state.pauses.get(key).map_or(0, |(failures, _)| *failures) + 1;
        let pause = Retry::DAEMON.pause(failures, fastrand::f64());
        state.pauses.insert(key.to_owned(), (failures, Instant::now() + pause));
        state.failure = Some(Message::new(fault.to_string()));
        Event::Failed { fault: &fault, pause }.emit();
        if let Fault::Store(error) = fault {
            state.last_error = Some(error);
        }
    }
}
