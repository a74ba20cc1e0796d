//! Publishing windows: encoded, put, and put again until the store takes them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flowlog_common::flow::Direction;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use super::{Error, Summary};
use crate::{
    aggregate::window::Window,
    encode::{self, Provenance},
    store::{
        self, Store,
        layout::{Dataset, ObjectName},
    },
    telemetry::with_causes,
};

/// First pause after the store refused a file; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

pub(super) struct Publisher {
    task: JoinHandle<Result<(), Error>>,
    progress: Arc<Mutex<Progress>>,
}

/// What a shutdown that runs out of time needs to know.
#[derive(Default)]
struct Progress {
    summary: Summary,
    /// Rows of the window that is being published.
    open_rows: Option<usize>,
    last_error: Option<store::Error>,
    waiting: Option<mpsc::Receiver<Window>>,
}

impl Publisher {
    pub(super) fn start(store: Store, from: Provenance, windows: mpsc::Receiver<Window>) -> Self {
        let waiting = Some(windows);
        let progress = Arc::new(Mutex::new(Progress { waiting, ..Progress::default() }));
        let task = tokio::spawn(publish(store, from, Arc::clone(&progress)));
        Self { task, progress }
    }

    /// Waits until every window is stored, but not longer than `timeout`.
    pub(super) async fn finish(self, timeout: Duration) -> Result<Summary, Error> {
        let Self { mut task, progress } = self;
        let outcome = tokio::time::timeout(timeout, &mut task).await;
        task.abort();
        match outcome {
            Ok(Ok(published)) => {
                published?;
                Ok(progress.lock().await.summary)
            }
            Ok(Err(_)) => Err(Error::Ended { part: "publishing" }),
            Err(_) => {
                let mut progress = progress.lock().await;
                let mut rows: Vec<usize> = progress.open_rows.into_iter().collect();
                if let Some(mut waiting) = progress.waiting.take() {
                    while let Ok(window) = waiting.try_recv() {
                        rows.push(window.flow_count());
                    }
                }
                Err(Error::NotPublished {
                    timeout,
                    windows: rows.len(),
                    rows: rows.iter().sum(),
                    source: progress.last_error.take(),
                })
            }
        }
    }
}

async fn publish(
    store: Store,
    from: Provenance,
    progress: Arc<Mutex<Progress>>,
) -> Result<(), Error> {
    let outcome = publish_all(&store, &from, &progress).await;
    // Where it failed, whoever feeds it is to notice, and the daemon to end.
    progress.lock().await.waiting = None;
    outcome
}

async fn publish_all(
    store: &Store,
    from: &Provenance,
    progress: &Mutex<Progress>,
) -> Result<(), Error> {
    loop {
        let window = {
            let mut progress = progress.lock().await;
            progress.open_rows = None;
            let Some(waiting) = progress.waiting.as_mut() else { return Ok(()) };
            let Some(window) = waiting.recv().await else { return Ok(()) };
            progress.open_rows = Some(window.flow_count());
            window
        };
        let rows = window.flow_count();
        let seen = seen(&window);
        let from = from.clone();
        // On a thread of its own: interfaces that appear meanwhile are not to wait for it.
        let files = tokio::task::spawn_blocking(move || encode(&window, &from))
            .await
            .map_err(|_| Error::Ended { part: "encoding" })??;
        let count = files.len();
        for (name, file) in files {
            put_until_taken(store, &name, &file, progress).await;
        }
        let mut progress = progress.lock().await;
        progress.summary.files += count as u64;
        progress.summary.flows += rows as u64;
        progress.summary.packets += seen.0;
        progress.summary.bytes += seen.1;
    }
}

/// The files of a window. The ledger goes last: a window that has one is complete.
fn encode(window: &Window, from: &Provenance) -> Result<Vec<(ObjectName, Bytes)>, Error> {
    let name = |dataset| ObjectName::new(dataset, &from.gateway, window.start(), window.length());
    let mut files = vec![];
    if window.flow_count() > 0 {
        files.push((name(Dataset::Flows), encode::encode_flows(window, from)?));
    }
    if window.ledger().next().is_some() {
        files.push((name(Dataset::Ledger), encode::encode_ledger(window, from)?));
    }
    Ok(files)
}

async fn put_until_taken(
    store: &Store,
    name: &ObjectName,
    file: &Bytes,
    progress: &Mutex<Progress>,
) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = store.publish(name.clone(), file).await {
        tracing::warn!("{}; trying again in {pause:?}", with_causes(&error));
        progress.lock().await.last_error = Some(error);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn seen(window: &Window) -> (u64, u64) {
    let accounts = window.ledger().flat_map(|entry| Direction::ALL.map(|d| entry.account(d)));
    accounts.fold((0, 0), |sum, a| (sum.0 + a.seen.packets, sum.1 + a.seen.bytes))
}
