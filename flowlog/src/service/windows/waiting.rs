//! Windows that are over, and no runs of files yet. What cannot be merged is tried again, and holds up nothing else.

use std::time::{Duration, Instant};

use super::{Shared, blocking, events::Event, try_part};
use crate::{
    record::clock::Utc,
    service::backlog::Backlog,
    spool::{self, run::Run},
    status::Message,
    telemetry::with_causes,
};

/// Pause before what the disk refused is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause of one that is to end.
const LAST_PAUSE: Duration = Duration::from_millis(300);
/// How often one that is to end tries.
const LAST_TRIES: u32 = 4;
/// How often it is reported that windows cannot be merged.
const REMINDER: Duration = Duration::from_mins(1);

/// What is in the spool and in no file, for whoever asks.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Unmerged {
    /// Windows that are over, or their parts, and their rows.
    pub(in crate::service) backlog: Backlog,
    /// When the first of their epochs began.
    pub(in crate::service) opened: Option<Utc>,
    /// Why they cannot be merged.
    pub(in crate::service) error: Option<Message>,
}

/// The windows that wait.
#[derive(Default)]
pub(super) struct Waiting {
    windows: Vec<Vec<Run>>,
    /// When those are tried again that could not be merged.
    next: Option<Instant>,
    reported: Option<Instant>,
}

impl Waiting {
    pub(super) fn add(&mut self, windows: impl IntoIterator<Item = Vec<Run>>) {
        self.windows.extend(windows);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Returns when it is time to try again; never, where nothing waits.
    pub(super) async fn due(&self) {
        match self.next {
            Some(next) => tokio::time::sleep_until(next.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Makes runs of what can be merged.
    pub(super) async fn store(&mut self, shared: &Shared) -> Result<(), spool::Error> {
        if self.is_empty() {
            return Ok(());
        }
        let (merging, windows) = (shared.clone(), std::mem::take(&mut self.windows));
        let (left, failure) = blocking(move || Ok(try_windows(&merging, windows))).await?;
        self.windows = left;
        self.next = (!self.is_empty()).then(|| Instant::now() + PAUSE);
        shared.set_unmerged(self.unmerged(failure.as_ref()));
        match failure {
            Some(error) => self.report(&error),
            None => self.reported = None,
        }
        Ok(())
    }

    /// Tries a few times more, unless the time is over. Returns whether all of it is in files.
    pub(super) async fn finish(&mut self, shared: &Shared) -> Result<bool, spool::Error> {
        for _ in 0..LAST_TRIES {
            self.store(shared).await?;
            if self.is_empty() || shared.is_over() {
                break;
            }
            tokio::time::sleep(LAST_PAUSE).await;
        }
        Ok(self.is_empty())
    }

    fn report(&mut self, error: &spool::Error) {
        if self.reported.is_none_or(|reported| reported.elapsed() > REMINDER) {
            self.reported = Some(Instant::now());
            Event::Failed { error, windows: self.windows.len(), pause: PAUSE }.emit();
        }
    }

    fn unmerged(&self, failure: Option<&spool::Error>) -> Unmerged {
        let runs = || self.windows.iter().flatten();
        Unmerged {
            backlog: Backlog {
                windows: self.windows.len(),
                rows: runs().map(|run| run.header.entry_count()).sum(),
            },
            opened: runs().map(|run| run.header.opened()).min(),
            error: failure.map(|error| Message::new(with_causes(error))),
        }
    }
}

/// Makes runs of windows. Returns those that could not be merged, in their order, and why.
pub(crate) fn try_windows(
    shared: &Shared,
    windows: Vec<Vec<Run>>,
) -> (Vec<Vec<Run>>, Option<spool::Error>) {
    let mut left = vec![];
    let mut failure = None;
    for window in windows {
        if shared.is_over() {
            left.push(window);
            continue;
        }
        let parts = shared.lock().parts_of(window);
        for mut part in parts {
            if let Err(error) = try_part(shared, &mut part) {
                left.push(part);
                failure.get_or_insert(error);
            }
        }
    }
    (left, failure)
}
