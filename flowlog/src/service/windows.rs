//! The task that makes runs of windows out of runs of epochs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc};

use super::whereabouts::Unstored;
use crate::{
    aggregate::Windows,
    spool::{
        self, Files, Growing,
        files::merge,
        header::{Dated, Header},
        merge::Same,
        redate,
        run::Run,
    },
    telemetry::with_causes,
};

/// What the drain tells.
#[derive(Debug)]
pub(super) enum News {
    /// An epoch is in the spool.
    Epoch(Box<Run>),
    /// The spool has no room for another one.
    Full,
}

/// The files that are still growing, shared by those who add to them and those who publish them.
#[derive(Clone)]
pub(super) struct Shared {
    files: Arc<Mutex<Files>>,
    changed: Arc<Notify>,
    /// Set when the daemon is to end: until when.
    deadline: Arc<OnceLock<Instant>>,
}

impl Shared {
    pub(super) fn new(files: Files) -> Self {
        Self {
            files: Arc::new(Mutex::new(files)),
            changed: Arc::new(Notify::new()),
            deadline: Arc::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Files> {
        // What is on disk is what counts; the list of a thread that panicked is no worse.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon is to end: nothing is tried for longer than until then.
    pub(super) fn stop(&self, deadline: Instant) {
        // The first one counts.
        self.deadline.get_or_init(|| deadline);
        self.tell();
    }

    /// Whether the daemon is to end, so that nothing is tried again.
    fn is_stopping(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// Windows and rows of the files, unless somebody else looks at them now.
    pub(super) fn unstored(&self) -> Option<Unstored> {
        let mut unstored = Unstored::default();
        self.files.try_lock().ok()?.growing().iter().for_each(|file| unstored.add(file));
        Some(unstored)
    }

    /// Waits until there is something to publish.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn tell(&self) {
        self.changed.notify_one();
    }

    /// Lets no file grow any more, so that what is in the spool can leave it. Returns whether there
    /// is any.
    fn let_all_go(&self) -> bool {
        let mut files = self.lock();
        files.complete();
        self.tell();
        !files.growing().is_empty()
    }
}

/// Pause before what the disk refused is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the drain has ended. What is open then is given back, as the run that it would be.
pub(super) async fn gather(
    shared: Shared,
    found: Vec<Run>,
    mut news: mpsc::Receiver<News>,
    scratch: PathBuf,
) -> Result<Option<Growing>, spool::Error> {
    let mut windows = Windows::default();
    for epoch in date_again(found, &Dated::now()).await {
        for finished in windows.add(epoch) {
            store_window(&shared, finished).await;
        }
    }
    while let Some(news) = news.recv().await {
        let finished = match news {
            News::Epoch(epoch) => {
                let mut epochs = vec![];
                if let Some(now) = &epoch.header.dated {
                    let misdated =
                        windows.take(|open| redate::correction(&open.header, now).is_some());
                    epochs = date_again(misdated, now).await;
                }
                epochs.push(*epoch);
                epochs.into_iter().flat_map(|epoch| windows.add(epoch)).collect()
            }
            // Where there is nothing else that could leave the spool, the window is cut.
            News::Full if !shared.let_all_go() => windows.finish().into_iter().collect(),
            News::Full => vec![],
        };
        for window in finished {
            store_window(&shared, window).await;
        }
    }
    let Some(open) = windows.finish() else { return Ok(None) };
    blocking(move || provisional(&shared, &open, &scratch)).await
}

/// Dates epochs again that were counted before the wall clock was corrected. Where the disk does not
/// take them anew they stay as they are.
async fn date_again(epochs: Vec<Run>, now: &Dated) -> Vec<Run> {
    let mut dated = vec![];
    for epoch in epochs {
        let Some(by) = redate::correction(&epoch.header, now) else {
            dated.push(epoch);
            continue;
        };
        let (copy, to) = (epoch.clone(), now.clone());
        dated.push(match blocking(move || redate::redate(&copy, by, &to)).await {
            Ok(again) => {
                let (was, is) = (epoch.header.closed(), again.header.closed());
                tracing::info!("the epoch that ended at {was} is dated again, to {is}");
                again
            }
            Err(error) => {
                let closed = epoch.header.closed();
                tracing::warn!(
                    "the epoch that ended at {closed} stays dated by a wrong clock: {}",
                    with_causes(&error)
                );
                epoch
            }
        });
    }
    dated
}

/// Makes a run of a window's epochs, however often that takes.
async fn store_window(shared: &Shared, epochs: Vec<Run>) {
    loop {
        let (adding, epochs) = (shared.clone(), epochs.clone());
        match blocking(move || add_window(&adding, &epochs)).await {
            Ok(()) => return,
            // The epochs stay in the spool.
            Err(error) if shared.is_stopping() => {
                tracing::warn!("{}", with_causes(&error));
                return;
            }
            Err(error) => {
                tracing::warn!("{}; trying again in {PAUSE:?}", with_causes(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn add_window(shared: &Shared, epochs: &[Run]) -> Result<(), spool::Error> {
    let Some(header) = Header::of(epochs) else { return Ok(()) };
    let Some(window) = header.windows.first() else { return Ok(()) };
    let path = shared.lock().place(window, &header)?;
    let run = merge(epochs, path, Same::Combine)?;
    // In the run now; the store must not be told before they are gone, or they would be told again.
    for epoch in epochs {
        epoch.remove()?;
    }
    shared.lock().add(run);
    shared.tell();
    Ok(())
}

/// The file with the window that is open, which the next daemon goes on with.
fn provisional(
    shared: &Shared,
    epochs: &[Run],
    scratch: &Path,
) -> Result<Option<Growing>, spool::Error> {
    let Some(header) = Header::of(epochs) else { return Ok(None) };
    let Some(window) = header.windows.first() else { return Ok(None) };
    let file = {
        let mut files = shared.lock();
        files.place(window, &header)?;
        files.growing().pop()
    };
    let open = merge(epochs, scratch.join("open.run"), Same::Combine)?;
    Ok(file.map(|mut file| {
        file.runs.push(open);
        file
    }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, spool::Error> + Send + 'static,
) -> Result<T, spool::Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // It panicked: a defect, which must not be taken for a success.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
