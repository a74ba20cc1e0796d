//! Where the counts are that are not in the store.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{backlog::Backlog, windows::Shared};

/// Tells where the counts are, also when the daemon itself does not answer any more.
#[derive(Clone, Default)]
pub struct Whereabouts {
    state: Arc<Mutex<State>>,
    begun: Arc<Notify>,
}

#[derive(Default)]
struct State {
    is_counting: bool,
    spool: Option<PathBuf>,
    files: Option<Shared>,
}

impl Whereabouts {
    /// The kernel counts from now on; where the spool is, if that outlives the process.
    pub(super) fn counting(&self, spool: Option<PathBuf>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_counting = true;
        state.spool = spool;
        self.begun.notify_one();
    }

    /// Returns when the kernel counts; for one caller.
    pub async fn counted(&self) {
        self.begun.notified().await;
    }

    /// These are the files that are on their way to the store.
    pub(super) fn files(&self, files: Shared) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).files = Some(files);
    }

    /// They are not the daemon's any more.
    pub(super) fn forget(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).files = None;
    }

    /// One sentence for whoever ends the process without the daemon.
    #[must_use]
    pub fn report(&self) -> String {
        // Whoever has it may be the one that hangs.
        let Ok(state) = self.state.try_lock() else { return UNKNOWN.to_owned() };
        match (&state.spool, state.is_counting) {
            (_, false) => "nothing was counted yet".to_owned(),
            (Some(spool), true) => format!(
                "counts that are not in the store are in the spool {} and in the kernel, and are stored when flowlog starts again",
                spool.display()
            ),
            (None, true) => match state.files.as_ref().and_then(Shared::unstored) {
                Some(Backlog { windows, rows }) => format!(
                    "counts that are not in the store are lost: up to {windows} windows with {rows} flow rows, and the window that was open"
                ),
                None => "each count that is not in the store is lost (--spool keeps it)".to_owned(),
            },
        }
    }
}

const UNKNOWN: &str = "counts that are not in the store are in the spool and in the kernel, or lost if there is no spool";
