//! Publishing the files that grow: encoded, put, and put again until the store takes them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, task::JoinHandle};

use super::{Error, Summary, windows::Shared};
use crate::{
    encode,
    spool::Growing,
    store::{
        self, Created, Retry, Store,
        layout::{Dataset, ObjectName},
    },
    telemetry::with_causes,
};

/// Rows of a file span an hour.
const HOUR: Duration = Duration::from_hours(1);

/// Where the files go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The store as it is configured.
    pub(super) store: String,
    /// Name of the gateway.
    pub(super) gateway: String,
    /// Whether the spool outlives the process: then the store is tried for ever.
    pub(super) is_durable: bool,
}

/// A store of which the gateway has the right to write already.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) store: Store,
    pub(super) lock: store::Lock,
    /// Whether it showed what it can do.
    pub(super) is_probed: bool,
}

/// Publishes on a task of its own, which opens the store too.
pub(super) struct Publisher {
    /// `None` once it has ended by itself.
    task: Option<JoinHandle<Result<(), Error>>>,
    shared: Shared,
    worker: Worker,
    store: watch::Receiver<Option<Store>>,
}

/// Puts files; what it remembers of them can be found out again.
#[derive(Clone)]
struct Worker {
    target: Target,
    early: Arc<Mutex<Option<Early>>>,
    opened: Arc<Mutex<Option<Opened>>>,
    state: Arc<Mutex<State>>,
}

/// The store, and the right to write to it as this gateway.
struct Opened {
    store: Store,
    _lock: store::Lock,
}

#[derive(Default)]
struct State {
    /// The names of the files, by lineage and table.
    names: HashMap<(String, Dataset), ObjectName>,
    /// What is in the store, by lineage.
    published: HashMap<String, Growing>,
    /// Packets, bytes and rows of files that are there for good.
    done: Summary,
    last_error: Option<store::Error>,
}

impl Publisher {
    /// Begins to open the store, and to publish what there is.
    pub(super) fn start(target: Target, early: Option<Early>, shared: Shared) -> Self {
        let (opened, store) = watch::channel(None);
        let early = Arc::new(Mutex::new(early));
        let worker = Worker { target, early, opened: Arc::default(), state: Arc::default() };
        let task = tokio::spawn(follow(worker.clone(), shared.clone(), opened));
        Self { task: Some(task), shared, worker, store }
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
        open: Option<Growing>,
        timeout: Duration,
    ) -> Result<Summary, Error> {
        let Self { task, shared, worker, store: _ } = self;
        let is_durable = worker.target.is_durable;
        if let Some(task) = task {
            task.abort();
            // Where it was aborted in the middle, it is done again.
            if task.await.is_err_and(|error| error.is_panic()) {
                return Err(Error::Ended { part: "publishing" });
            }
        }
        let all = worker.publish_all(&shared, open.as_ref());
        if let Ok(outcome) = tokio::time::timeout(timeout, all).await {
            outcome?;
            return Ok(worker.summary());
        }
        let mut state = worker.state();
        let mut files = shared.lock().growing();
        let is_open = |file: &Growing| {
            open.as_ref().is_some_and(|open| open.about.lineage == file.about.lineage)
        };
        files.retain(|file| {
            !is_open(file) && state.published.get(&file.about.lineage) != Some(file)
        });
        files.extend(open.clone());
        let rows = files.iter().map(rows).sum();
        let windows = files.iter().flat_map(|file| &file.runs).map(|run| run.header.windows.len());
        let (windows, source) = (windows.sum(), state.last_error.take());
        Err(Error::NotPublished { timeout, windows, rows, is_durable, source })
    }
}

async fn follow(
    worker: Worker,
    shared: Shared,
    opened: watch::Sender<Option<Store>>,
) -> Result<(), Error> {
    opened.send_replace(Some(worker.open().await?));
    loop {
        worker.publish_all(&shared, None).await?;
        shared.changed().await;
    }
}

impl Worker {
    /// Opens, locks, sweeps and probes the store, however often that takes; where nothing is durable, once.
    async fn open(&self) -> Result<Store, Error> {
        let known = self.opened().as_ref().map(|opened| opened.store.clone());
        if let Some(store) = known {
            return Ok(store);
        }
        let attempts = if self.target.is_durable { None } else { Some(1) };
        let retry = Retry { attempts, ..Retry::DAEMON };
        let opened = retry.run(|| self.try_to_open(), |error, pause| self.note(error, pause)).await;
        let url = || self.target.store.clone();
        let opened = opened.map_err(|source| Error::Store { url: url(), source })?;
        let store = opened.store.clone();
        *self.opened() = Some(opened);
        Ok(store)
    }

    async fn try_to_open(&self) -> Result<Opened, store::Error> {
        let Target { store, gateway, .. } = &self.target;
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Early { store, lock, is_probed } = if let Some(early) = early {
            early
        } else {
            let store = Store::open_isolated(store)?;
            let lock = store.lock(gateway).await?;
            Early { store, lock, is_probed: false }
        };
        for oddity in store.inspect().await? {
            tracing::warn!("the store {oddity}");
        }
        let swept = store.sweep(gateway).await?;
        if swept > 0 {
            tracing::info!(files = swept, "deleted what a killed flowlog was writing to the store");
        }
        if !is_probed {
            store.probe(gateway).await?;
        }
        Ok(Opened { store, _lock: lock })
    }

    fn note(&self, error: store::Error, pause: Duration) {
        tracing::warn!("{}; trying again in {pause:?}", with_causes(&error));
        if let Some(remedy) = error.remedy() {
            tracing::warn!("{remedy}");
        }
        self.state().last_error = Some(error);
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it sound, so that of a task that panicked is too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the store does not have as it is now, in place of the last file `open`, and
    /// forgets files that are there for good.
    async fn publish_all(&self, shared: &Shared, open: Option<&Growing>) -> Result<(), Error> {
        let mut files = shared.lock().growing();
        if let Some(open) = open {
            files.retain(|file| file.about.lineage != open.about.lineage);
            files.push(open.clone());
        }
        for mut file in files {
            if self.state().published.get(&file.about.lineage) != Some(&file) {
                if open != Some(&file) {
                    file = merge_many(shared, file).await?;
                }
                self.publish(&file, file.is_complete).await?;
                self.state().published.insert(file.about.lineage.clone(), file.clone());
            }
            if file.is_complete {
                self.forget(shared, &file)?;
            }
        }
        Ok(())
    }

    async fn publish(&self, file: &Growing, thoroughly: bool) -> Result<(), Error> {
        if file.runs.is_empty() {
            return Ok(());
        }
        // On a thread of its own: interfaces that appear meanwhile are not to wait for it.
        let (growing, gateway) = (file.clone(), self.target.gateway.clone());
        let encoded = tokio::task::spawn_blocking(move || encode::encode_file(&growing, &gateway))
            .await
            .map_err(|_| Error::Ended { part: "encoding" })??;
        // The ledger goes last: a window that has one is complete.
        let files = [(Dataset::Flows, encoded.flows), (Dataset::Ledger, Some(encoded.ledger))];
        for (dataset, bytes) in files {
            if let Some(bytes) = bytes {
                self.put_until_taken(file, dataset, &bytes, thoroughly).await?;
            }
        }
        Ok(())
    }

    async fn put_until_taken(
        &self,
        file: &Growing,
        dataset: Dataset,
        bytes: &Bytes,
        thoroughly: bool,
    ) -> Result<(), Error> {
        let store = self.open().await?;
        let put = Retry::DAEMON
            .run(
                || self.put(&store, file, dataset, bytes, thoroughly),
                |error, pause| self.note(error, pause),
            )
            .await;
        // The daemon never gives up.
        put.map_err(|source| Error::Store { url: store.url().to_string(), source })
    }

    async fn put(
        &self,
        store: &Store,
        file: &Growing,
        dataset: Dataset,
        bytes: &Bytes,
        thoroughly: bool,
    ) -> Result<(), store::Error> {
        let key = (file.about.lineage.clone(), dataset);
        let known = self.state().names.get(&key).cloned();
        let name = if let Some(name) = known {
            store.replace(&name.path(), bytes).await?;
            name
        } else {
            let name = ObjectName::new(dataset, &self.target.gateway, file.hour(), HOUR);
            put_first(store, name, &file.about.lineage, bytes).await?
        };
        let path = name.path();
        self.state().names.insert(key, name);
        store.confirm(&path, bytes, thoroughly).await
    }

    /// Forgets a file that is in the store for good.
    fn forget(&self, shared: &Shared, file: &Growing) -> Result<(), Error> {
        shared.lock().remove(file)?;
        let mut state = self.state();
        state.published.remove(&file.about.lineage);
        let names = state.names.len();
        state.names.retain(|(lineage, _), _| *lineage != file.about.lineage);
        state.done.files += (names - state.names.len()) as u64;
        add(&mut state.done, file);
        Ok(())
    }

    fn summary(&self) -> Summary {
        let state = self.state();
        let mut summary = state.done;
        summary.files += state.names.len() as u64;
        state.published.values().for_each(|file| add(&mut summary, file));
        summary
    }
}

/// Writes a file under the first name that is free, or that has this file already.
async fn put_first(
    store: &Store,
    mut name: ObjectName,
    lineage: &str,
    bytes: &Bytes,
) -> Result<ObjectName, store::Error> {
    loop {
        let path = name.path();
        match store.create_object(&path, bytes).await? {
            Created::New | Created::Again => return Ok(name),
            Created::Taken => {}
        }
        let there = store.read(&path).await?;
        if encode::metadata::lineage(&there).as_deref() == Some(lineage) {
            store.replace(&path, bytes).await?;
            return Ok(name);
        }
        name.part += 1;
    }
}

async fn merge_many(shared: &Shared, file: Growing) -> Result<Growing, Error> {
    let copy = file.clone();
    let merged = tokio::task::spawn_blocking(move || copy.merge_many()).await;
    let merged = merged.map_err(|_| Error::Ended { part: "merging" })?;
    match merged {
        Ok(None) => Ok(file),
        Ok(Some(run)) => {
            let mut files = shared.lock();
            files.replace(&run)?;
            let is_it = |other: &Growing| other.about.lineage == file.about.lineage;
            Ok(files.growing().into_iter().find(is_it).unwrap_or(file))
        }
        // It only saves work.
        Err(error) => {
            tracing::warn!("{}", with_causes(&error));
            Ok(file)
        }
    }
}

fn rows(file: &Growing) -> u64 {
    file.runs.iter().map(|run| run.header.entry_count()).sum()
}

fn add(summary: &mut Summary, file: &Growing) {
    summary.flows += rows(file);
    let windows = file.runs.iter().flat_map(|run| &run.header.windows);
    for row in windows.flat_map(|window| &window.rows) {
        for totals in row.totals {
            summary.packets += totals.seen.packets;
            summary.bytes += totals.seen.bytes;
        }
    }
}
