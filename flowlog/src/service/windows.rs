//! The task that makes runs of windows out of runs of epochs.

pub(super) mod events;
mod waiting;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, mpsc};

use super::backlog::Backlog;
use crate::{
    record::dated::Dated,
    spool::{
        self, Files, HourFile,
        files::{merge_until, remove_contained},
        header::Header,
        merge::Duplicates,
        redate,
        run::Run,
        windows::Windows,
    },
};
use events::Event;
#[cfg(test)]
pub(crate) use waiting::try_windows;
use waiting::{Unmerged, Waiting};

/// What the drain reports.
#[derive(Debug)]
pub(super) enum DrainEvent {
    /// An epoch is in the spool.
    Epoch(Box<Run>),
    /// The spool has no room for another one.
    Full,
}

/// The files that are still growing, shared by those who add to them and those who publish them.
#[derive(Clone)]
pub(crate) struct Shared {
    files: Arc<Mutex<Files>>,
    changed: Arc<Notify>,
    /// Set when the daemon is to end: until when.
    deadline: Arc<OnceLock<Instant>>,
    unmerged: Arc<Mutex<Unmerged>>,
}

impl Shared {
    pub(crate) fn new(files: Files) -> Self {
        Self {
            files: Arc::new(Mutex::new(files)),
            changed: Arc::new(Notify::new()),
            deadline: Arc::default(),
            unmerged: Arc::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Files> {
        // What is on disk is what counts; the list of a thread that panicked is no worse.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon is to end: nothing is tried for longer than until then.
    pub(super) fn stop(&self, deadline: Instant) {
        // The first one counts.
        self.deadline.get_or_init(|| deadline);
        self.notify();
    }

    /// Whether the time is over in which the daemon is to end.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    /// Sets an epoch aside that cannot be read.
    fn lose(&self, epochs: &mut Vec<Run>, path: &Path) {
        let mut files = self.lock();
        for lost in epochs.extract_if(.., |run| run.path == path) {
            if let Err(error) = files.spool().lose(&lost, files.reserved_by(&lost)) {
                Event::Left { error: &error }.emit();
            }
            files.expect_no_more(&lost);
        }
    }

    /// What is in the spool and in no file.
    pub(super) fn unmerged(&self) -> Unmerged {
        self.unmerged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_unmerged(&self, unmerged: Unmerged) {
        *self.unmerged.lock().unwrap_or_else(PoisonError::into_inner) = unmerged;
        // Whoever publishes reports it.
        self.notify();
    }

    /// Windows and rows of the files, unless somebody else looks at them now.
    pub(super) fn unstored(&self) -> Option<Backlog> {
        let mut unstored = self.unmerged.try_lock().ok()?.backlog;
        self.files.try_lock().ok()?.growing().iter().for_each(|file| unstored.add(file));
        Some(unstored)
    }

    /// Waits until there is something to publish.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    /// Lets no file grow any more, so that what is in the spool can leave it. Returns whether there
    /// is any.
    pub(crate) fn let_all_go(&self) -> bool {
        let mut files = self.lock();
        files.complete();
        self.notify();
        files.growing().iter().any(|file| !file.runs.is_empty() && file.pending.is_empty())
    }
}

/// What was gathered when the drain has ended.
pub(super) struct Gathered {
    /// The file with the window that was open, as the run that it would be.
    pub(super) open: Option<HourFile>,
    /// Whether all that was drained is in files.
    pub(super) is_whole: bool,
}

/// Runs until the drain has ended. What is open then is given back.
pub(super) async fn gather(
    shared: Shared,
    found: Vec<Run>,
    mut drained: mpsc::Receiver<DrainEvent>,
    scratch: PathBuf,
) -> Result<Gathered, spool::Error> {
    let mut windows = Windows::default();
    let mut waiting = Waiting::default();
    for epoch in date_again(&shared, found, &Dated::now()).await {
        waiting.add(windows.add(epoch));
    }
    waiting.store(&shared).await?;
    loop {
        let event = tokio::select! {
            event = drained.recv() => match event {
                Some(event) => event,
                None => break,
            },
            () = waiting.due() => {
                waiting.store(&shared).await?;
                continue;
            }
        };
        match event {
            DrainEvent::Epoch(epoch) => {
                let mut epochs = vec![];
                if let Some(now) = &epoch.header.dated {
                    let misdated =
                        windows.take(|open| redate::correction(&open.header, now).is_some());
                    epochs = date_again(&shared, misdated, now).await;
                }
                epochs.push(*epoch);
                let finished: Vec<_> =
                    epochs.into_iter().flat_map(|epoch| windows.add(epoch)).collect();
                if finished.is_empty() {
                    continue;
                }
                waiting.add(finished);
            }
            // Where there is nothing else that could leave the spool, the window is cut.
            DrainEvent::Full if !shared.let_all_go() => waiting.add(windows.finish()),
            DrainEvent::Full => continue,
        }
        waiting.store(&shared).await?;
    }
    let open = windows.finish().map(|open| shared.lock().parts_of(open));
    let mut parts = open.unwrap_or_default();
    let last = parts.pop();
    waiting.add(parts);
    let is_whole = waiting.finish(&shared).await?;
    let Some(last) = last else { return Ok(Gathered { open: None, is_whole }) };
    let is_durable = shared.lock().spool().is_durable();
    match blocking(move || provisional(&shared, &last, &scratch)).await {
        Err(error) if is_durable => {
            Event::WindowStays { error: &error }.emit();
            Ok(Gathered { open: None, is_whole: false })
        }
        open => Ok(Gathered { open: open?, is_whole }),
    }
}

/// Dates epochs again that were counted before the wall clock was corrected. Where the disk does not
/// take them anew they stay as they are, and so do those that the store may have by the other time.
async fn date_again(shared: &Shared, epochs: Vec<Run>, now: &Dated) -> Vec<Run> {
    let mut dated = vec![];
    for epoch in epochs {
        let is_reserved = shared.lock().reserved_by(&epoch).is_some();
        let Some(by) = redate::correction(&epoch.header, now).filter(|_| !is_reserved) else {
            dated.push(epoch);
            continue;
        };
        let (copy, to) = (epoch.clone(), now.clone());
        dated.push(match blocking(move || redate::redate(&copy, by, &to)).await {
            Ok(again) => {
                let (was, is) = (epoch.header.closed(), again.header.closed());
                Event::DatedAgain { was, is }.emit();
                again
            }
            Err(error) => {
                let closed = epoch.header.closed();
                Event::Misdated { closed, error: &error }.emit();
                epoch
            }
        });
    }
    dated
}

/// Makes a run of those epochs of a window that can be read.
pub(crate) fn try_part(shared: &Shared, epochs: &mut Vec<Run>) -> Result<(), spool::Error> {
    let mut is_restored = false;
    while !epochs.is_empty() {
        let Err(error) = add_window(shared, epochs) else { return Ok(()) };
        let before = epochs.len();
        if let Some(path) = error.lost_run() {
            shared.lose(epochs, path);
            if epochs.len() == before {
                return Err(error);
            }
        } else if error.is_gone() && !is_restored {
            shared.lock().restore()?;
            is_restored = true;
        } else if error.is_full() && !shared.let_all_go() {
            // Nothing leaves the disk before this window does.
            return move_epochs(shared, epochs);
        } else {
            return Err(error);
        }
    }
    Ok(())
}

/// Makes each epoch a run of its window as it is: that takes no room.
fn move_epochs(shared: &Shared, epochs: &mut Vec<Run>) -> Result<(), spool::Error> {
    while let Some(epoch) = epochs.first() {
        let Some(window) = epoch.header.windows.first() else { break };
        let mut files = shared.lock();
        let path = files.place(window, &epoch.header)?;
        let mut moved = epoch.clone();
        moved.move_to(path)?;
        files.add(moved);
        epochs.remove(0);
    }
    shared.notify();
    Ok(())
}

/// Makes a run of the epochs of a window. It can be done again.
fn add_window(shared: &Shared, epochs: &[Run]) -> Result<(), spool::Error> {
    let Some(header) = Header::of(epochs) else { return Ok(()) };
    let Some(window) = header.windows.first() else { return Ok(()) };
    let path = shared.lock().place(window, &header)?;
    let run = merge_until(epochs, path, Duplicates::Merge, &|| shared.is_over())?;
    // They are in the run now, and are not read again when the store has it.
    epochs.iter().filter(|epoch| epoch.path != run.path).for_each(remove_contained);
    shared.lock().add(run);
    shared.notify();
    Ok(())
}

/// The file with the window that is open, which the next daemon goes on with.
pub(crate) fn provisional(
    shared: &Shared,
    epochs: &[Run],
    scratch: &Path,
) -> Result<Option<HourFile>, spool::Error> {
    let Some(header) = Header::of(epochs) else { return Ok(None) };
    let Some(window) = header.windows.first() else { return Ok(None) };
    let open =
        merge_until(epochs, scratch.join("open.run"), Duplicates::Merge, &|| shared.is_over())?;
    let file = {
        let mut files = shared.lock();
        let path = files.place(window, &header)?;
        files.reserve(&path, &header)?
    };
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
