//! What a spool has in it when a daemon starts.

use std::{sync::Arc, time::Duration};

use super::{Epochs, Error, Files, Spool, epochs, run::Run};

/// What the flows of a daemon are recorded under.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Name of the gateway.
    pub gateway: String,
    /// Hash of the capture policy.
    pub policy: String,
    /// Length of a window.
    pub window: Duration,
}

/// What was in a spool.
#[derive(Debug)]
pub struct Recovered {
    /// Writes the epochs to come.
    pub epochs: Epochs,
    /// The files that are not in the store for good.
    pub files: Files,
    /// Epochs of which nothing was made yet.
    pub found: Vec<Run>,
    /// The number of the last epoch.
    pub last: u64,
}

/// Looks at all that is in a spool.
pub fn recover(spool: &Arc<Spool>, recording: Recording) -> Result<Recovered, Error> {
    let Recording { gateway: _, policy, window } = recording;
    let mut found = epochs::found(spool)?;
    let files = Files::open(Arc::clone(spool), &mut found)?;
    let runs = files.runs().chain(&found).collect();
    let epochs = Epochs::new(Arc::clone(spool), policy, window, runs);
    let last = epochs.last();
    if last > 0 {
        tracing::info!(epochs = found.len(), files = files.growing().len(), "found in the spool");
    }
    Ok(Recovered { epochs, files, found, last })
}
