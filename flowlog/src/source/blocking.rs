//! Work that may hang, away from the threads of the runtime.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Error;

/// Runs work that may hang on a thread of its own, and only one piece of work at a time: a disk that hangs costs one
/// thread, not one for each poll.
#[derive(Debug)]
pub(super) struct Blocking<T>(Option<JoinHandle<T>>);

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Runs it, and waits so long for its end. While an earlier piece of work still hangs, this one is not begun; its
    /// result comes too late to be used.
    pub(super) async fn run(
        &mut self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let silent = Error::Silent { limit };
        let deadline = tokio::time::Instant::now() + limit;
        if let Some(earlier) = &mut self.0 {
            if tokio::time::timeout_at(deadline, earlier).await.is_err() {
                return Err(silent);
            }
            self.0 = None;
        }
        let running = self.0.insert(tokio::task::spawn_blocking(work));
        let ended = tokio::time::timeout_at(deadline, running).await;
        match ended {
            Err(_) => Err(silent),
            Ok(ended) => {
                self.0 = None;
                // It panicked, or the runtime ends.
                ended.map_err(|_| silent)
            }
        }
    }
}
