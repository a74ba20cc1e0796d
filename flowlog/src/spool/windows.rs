//! The epochs of the window that is open.
//!
//! Pure: epochs that are in the spool go in, those of finished windows come out.

use std::mem;

use crate::{
    record::clock::Utc,
    spool::{files::MOST_ROWS, header::Header, run::Run},
};

/// Gathers the epochs of the window that is open.
#[derive(Debug, Default)]
pub struct Windows {
    open: Vec<Run>,
}

impl Windows {
    /// Adds an epoch, and returns the epochs of each window that no later one can belong to.
    ///
    /// A window with more rows than a file of the store may have is given in parts, so that what is
    /// open is bounded.
    pub fn add(&mut self, epoch: Run) -> Vec<Vec<Run>> {
        let mut finished = vec![];
        // What was recorded under another policy, or has other numbers, is told apart, also within a window.
        let of = |epoch: &Run| {
            let Header { policy, gateway, numbering, .. } = &epoch.header;
            (window(epoch), policy.clone(), gateway.clone(), numbering.clone())
        };
        if self.open.first().is_some_and(|first| of(first) != of(&epoch)) {
            finished.extend(self.finish());
        }
        let is_over = window(&epoch).is_none_or(|(_, end)| epoch.header.closed() >= end);
        self.open.push(epoch);
        let rows: u64 = self.open.iter().map(|epoch| epoch.header.entry_count()).sum();
        if is_over || rows >= MOST_ROWS {
            finished.extend(self.finish());
        }
        finished
    }

    /// Takes away those epochs of the open window that satisfy a condition.
    pub fn take(&mut self, is_taken: impl Fn(&Run) -> bool) -> Vec<Run> {
        self.open.extract_if(.., |epoch| is_taken(epoch)).collect()
    }

    /// The epochs of the window that is open.
    pub fn finish(&mut self) -> Option<Vec<Run>> {
        Some(mem::take(&mut self.open)).filter(|epochs| !epochs.is_empty())
    }
}

/// Beginning and end of an epoch's window.
fn window(epoch: &Run) -> Option<(Utc, Utc)> {
    epoch.header.windows.first().map(|window| (window.start(), window.end()))
}

#[cfg(test)]
mod tests;
