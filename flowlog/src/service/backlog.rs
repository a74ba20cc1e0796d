//! What is on its way to the store.

use crate::spool::HourFile;

/// Windows and rows of files that are not in the store as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The windows.
    pub windows: usize,
    /// Their flow rows.
    pub rows: u64,
}

impl Backlog {
    /// Adds those of a file.
    pub(super) fn add(&mut self, file: &HourFile) {
        self.windows += file.runs.iter().map(|run| run.header.windows.len()).sum::<usize>();
        self.rows += file.runs.iter().map(|run| run.header.entry_count()).sum::<u64>();
    }
}
