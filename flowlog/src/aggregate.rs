//! Epochs merged into windows: one row per flow and window, and the ledger that proves it.
//!
//! Pure: what was drained goes in, finished windows come out.

pub mod ledger;
pub mod window;

use std::time::Duration;

use crate::drain::Epoch;
use window::Window;

/// Merges epochs into the window that is open.
#[derive(Debug)]
pub struct Aggregator {
    length: Duration,
    open: Option<Window>,
}

impl Aggregator {
    /// Windows of this length, aligned to UTC.
    #[must_use]
    pub const fn new(length: Duration) -> Self {
        Self { length, open: None }
    }

    /// Adds an epoch, and returns the windows that no later epoch can belong to.
    ///
    /// An epoch belongs to the window of its last instant. It lies wholly inside it unless the
    /// daemon was held up for longer than a drain interval; then its rows are stored, and kept,
    /// with the later window rather than the earlier.
    pub fn add(&mut self, epoch: &Epoch, clock_error: Duration) -> Vec<Window> {
        let last = epoch.closed.minus(Duration::from_nanos(1)).max(epoch.opened);
        let start = last.floor(self.length);
        let mut finished = vec![];
        if self.open.as_ref().is_some_and(|window| window.start() != start) {
            finished.extend(self.open.take());
        }
        let window = self.open.get_or_insert_with(|| Window::new(start, self.length));
        window.merge(epoch, clock_error);
        if epoch.closed >= window.end() {
            finished.extend(self.open.take());
        }
        finished
    }

    /// The window that is open, unfinished.
    pub fn finish(&mut self) -> Option<Window> {
        self.open.take()
    }
}

#[cfg(test)]
mod tests;
