//! How far publishing has come, for whoever asks how the daemon is.

use super::{Summary, backlog::Backlog};
use crate::{record::clock::Utc, status::Message};

/// What is in the store, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// What was stored since the daemon began.
    pub(super) summary: Summary,
    /// What the store does not have as it is.
    pub(super) waiting: Backlog,
    /// Everything that was counted up to then is in the store.
    pub(super) stored_until: Option<Utc>,
    /// Failures in a row of what is to be tried again.
    pub(super) failures: u32,
    /// The last of them.
    pub(super) error: Option<Message>,
    /// Why windows cannot be merged, so that they wait in the spool.
    pub(super) unmerged: Option<Message>,
    /// Whether the store was opened.
    pub(super) is_open: bool,
}
