//! Publishing the files that grow: encoded, put, and put again until the store takes them.
//!
//! One task does it, from file to file, and hears between two steps that it is to end: no put is given
//! up in its middle to be begun again. What cannot be put has a pause of its own, and holds up nothing
//! else.

mod counted;
mod events;
mod fault;
mod stored;
mod targets;
mod worker;

use std::time::Duration;

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::{Error, snapshot, windows::Shared};
use crate::{
    record::location::Location,
    spool::HourFile,
    status::Status,
    store::{self, Store},
};
pub(super) use events::COUNTERS;
pub(crate) use targets::Opener;
pub(crate) use worker::Worker;

/// Where the files go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The store as it is configured.
    pub(crate) store: Location,
    /// Name of the gateway.
    pub(crate) gateway: String,
    /// Whether the spool outlives the process: then the store is tried for ever.
    pub(crate) is_durable: bool,
}

/// A store of which the gateway has the right to write already.
#[derive(Debug)]
pub(crate) struct Early {
    pub(super) store: Store,
    pub(super) lock: store::Lock,
    /// Whether it showed what it can do.
    pub(super) is_probed: bool,
}

/// Publishes on a task of its own, which opens the store too.
pub(super) struct Publisher {
    /// `None` once it has ended by itself.
    task: Option<JoinHandle<Result<(), Error>>>,
    stop: oneshot::Sender<Option<HourFile>>,
    shared: Shared,
    worker: Worker,
    store: watch::Receiver<Option<Store>>,
}

impl Publisher {
    /// Begins to open the store, and to publish what there is.
    pub(super) fn start(
        target: Target,
        early: Option<Early>,
        shared: Shared,
        status: Status,
    ) -> Self {
        let (opened, store) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let worker = Worker::new(target, early, Store::open_isolated);
        let following = (shared.clone(), status);
        let task = tokio::spawn(follow(worker.clone(), following, opened, stopped));
        Self { task: Some(task), stop, shared, worker, store }
    }

    /// The configured store, once it was opened and has shown what it can do.
    pub(super) fn store(&self) -> watch::Receiver<Option<Store>> {
        self.store.clone()
    }

    /// Returns when publishing has ended by itself, which it does for an error only.
    pub(super) async fn ended(&mut self) -> Result<(), Error> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await.unwrap_or(Err(Error::Ended { part: "publishing" }));
        self.task = None;
        ended
    }

    /// Publishes all that there is, and the file with the window that is open; but not for longer
    /// than `timeout`.
    pub(super) async fn finish(
        self,
        open: Option<HourFile>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let Self { task, stop, shared, worker, store: _ } = self;
        let is_durable = worker.target().is_durable;
        let Some(mut task) = task else { return Err(Error::Ended { part: "publishing" }) };
        // Where the task has ended, it tells why.
        drop(stop.send(open.clone()));
        match tokio::time::timeout(timeout, &mut task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::Ended { part: "publishing" }),
            Err(_) => {
                task.abort();
                let unpublished = worker.unpublished(&shared, open.as_ref());
                let windows = unpublished.iter().flat_map(|file| &file.runs);
                let windows = windows.map(|run| run.header.windows.len()).sum();
                let rows = unpublished.iter().map(worker::rows).sum();
                let source = worker.last_error();
                let is_gathered = true;
                Err(Error::NotPublished { timeout, windows, rows, is_gathered, is_durable, source })
            }
        }
    }
}

async fn follow(
    worker: Worker,
    (shared, status): (Shared, Status),
    opened: watch::Sender<Option<Store>>,
    mut stopped: oneshot::Receiver<Option<HourFile>>,
) -> Result<(), Error> {
    let mut open = None;
    let mut is_last = false;
    loop {
        snapshot::publishing(&status);
        let next = worker.pass(&shared, open.as_ref(), &opened).await?;
        snapshot::published(&status, worker.standing(&shared, open.as_ref(), &opened));
        if is_last && next.is_none() {
            return Ok(());
        }
        // Whoever publishes nothing looks once an hour whether the disk is right again.
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        tokio::select! {
            () = shared.changed() => {}
            () = tokio::time::sleep_until(next) => {}
            stop = &mut stopped, if !is_last => {
                let Ok(last) = stop else { return Ok(()) };
                (open, is_last) = (last, true);
                worker.forget_pauses();
            }
        }
    }
}
