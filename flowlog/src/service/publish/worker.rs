//! The steps of publishing. What is remembered between them can be found out again.

mod apart;
mod complete;
mod lost;
mod pauses;
mod place;
mod standing;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::Instant,
};

use super::{
    super::{Error, Summary, windows::Shared},
    Early, Opener, Target,
    events::Event,
    fault::Fault,
    targets::Targets,
};
use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    spool::{
        HourFile, encode,
        files::MOST_AT_ONCE,
        planted::{Bug, planted},
    },
    status::Message,
    store::{self, Created, Store},
    table::{FLOWS, HOUR, LEDGER, ObjectName},
};
use apart::{apart, merge_many};
use lost::LOST;
use place::Place;

/// Puts files.
#[derive(Clone)]
pub(crate) struct Worker {
    target: Target,
    targets: Arc<AsyncMutex<Targets>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The numbers of the files in the store, and which tables there are of each, by lineage.
    parts: HashMap<String, Part>,
    /// What is in the store, by lineage.
    published: HashMap<String, HourFile>,
    /// Failures in a row, and when to try again, by lineage, or by URL for a store that cannot be opened.
    pauses: HashMap<String, (u32, Instant)>,
    /// Packets, bytes and rows of files that are there for good.
    done: Summary,
    /// End of the last epoch that was put.
    put_until: Option<Utc>,
    last_error: Option<store::Error>,
    /// The last failure of what is to be tried again.
    failure: Option<Message>,
}

#[derive(Clone, Debug, Default)]
struct Part {
    number: u32,
    hour_ns: i64,
    /// Whether the store has its file of flows, and its ledger.
    has: [bool; 2],
    /// Epochs that other files of the store hold: a file that comes to have some of them is decided about again.
    elsewhere: EpochSet,
}

/// How far a file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The store has it as it is.
    Done,
    /// It is another one now.
    Changed,
    /// The store may have epochs of it that are in no run of it yet: it is put when they are.
    Waits,
}

impl Worker {
    pub(crate) fn new(target: Target, early: Option<Early>, opener: Opener) -> Self {
        let targets = Targets::new(target.clone(), early, opener);
        Self { target, targets: Arc::new(AsyncMutex::new(targets)), state: Arc::default() }
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it sound, so that of a task that panicked is too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the store does not have as it is now, in place of the last file `open`, and
    /// forgets files that are there for good. Returns when to try again what could not be done.
    pub(crate) async fn pass(
        &self,
        shared: &Shared,
        open: Option<&HourFile>,
        opened: &watch::Sender<Option<Store>>,
    ) -> Result<Option<Instant>, Error> {
        if !self.is_paused(self.target.store.in_clear()) {
            let mut targets = self.targets.lock().await;
            match targets.open(None, &self.target.gateway).await {
                Ok((store, url)) => {
                    shared.lock().complete_others(&url);
                    if opened.borrow().is_none() {
                        opened.send_replace(Some(store));
                    }
                    self.state().pauses.remove(self.target.store.in_clear());
                }
                Err(source) if !self.target.is_durable && opened.borrow().is_none() => {
                    return Err(Error::Store { url: self.target.store.clone(), source });
                }
                Err(error) => self.pause(self.target.store.in_clear(), Fault::Store(error)),
            }
        }
        if let Err(fault) = self.settle(shared).await {
            self.pause(LOST, fault);
        }
        let mut files = shared.lock().growing();
        if let Some(open) = open {
            files.retain(|file| file.identity.lineage != open.identity.lineage);
            files.push(open.clone());
        }
        let mut is_changed = false;
        let mut tried = vec![LOST.to_owned(), self.target.store.in_clear().to_owned()];
        tried.extend(files.iter().map(|file| file.identity.lineage.clone()));
        for file in files {
            let lineage = file.identity.lineage.clone();
            if self.is_paused(&lineage) {
                continue;
            }
            let is_open = open.is_some_and(|open| open.identity.lineage == lineage);
            match self.publish(shared, file, is_open).await {
                Ok(step) => {
                    is_changed |= step == Step::Changed;
                    self.state().pauses.remove(&lineage);
                }
                Err(fault) => self.fail(shared, &lineage, fault),
            }
        }
        let mut state = self.state();
        state.pauses.retain(|key, _| tried.contains(key));
        let pauses = state.pauses.values().map(|(_, until)| *until).min();
        Ok(if is_changed { Some(Instant::now()) } else { pauses })
    }

    /// Takes a file one step on its way.
    async fn publish(
        &self,
        shared: &Shared,
        mut file: HourFile,
        is_open: bool,
    ) -> Result<Step, Fault> {
        let is_done = file.is_complete && file.pending.is_empty() && !is_open;
        let is_published = |file: &HourFile| {
            self.state().published.get(&file.identity.lineage).is_some_and(|before| {
                before.runs == file.runs && before.is_complete == file.is_complete
            })
        };
        if !file.runs.is_empty() && !is_published(&file) {
            if !is_open && file.runs.len() > MOST_AT_ONCE {
                file = merge_many(shared, file).await?;
            }
            let step = self.put_file(shared, &file, is_open).await?;
            if step != Step::Done {
                return Ok(step);
            }
            let mut state = self.state();
            let until = file.runs.iter().map(|run| run.header.closed()).max();
            state.put_until = state.put_until.max(until);
            state.published.insert(file.identity.lineage.clone(), file.clone());
        }
        if is_done {
            self.forget(shared, &file)?;
        }
        Ok(Step::Done)
    }

    async fn put_file(
        &self,
        shared: &Shared,
        file: &HourFile,
        is_open: bool,
    ) -> Result<Step, Fault> {
        let mut identity = file.identity.clone();
        if planted(Bug::NoGateway) {
            identity.gateway.clone_from(&self.target.gateway);
        }
        let before = identity.store.as_ref().filter(|_| !planted(Bug::NoStore));
        let (store, url) = self.targets.lock().await.open(before, &identity.gateway).await?;
        let known = self.state().parts.get(&identity.lineage).cloned();
        let known = known.filter(|part| !part.elsewhere.meets(&file.held()));
        let mut part = if let Some(part) = known {
            part
        } else if !file.pending.is_empty() && !is_open {
            // Until then it seems to have less than the store, though nothing is lost.
            return Ok(Step::Waits);
        } else {
            let beyond = self.beyond(&url, &identity).await?;
            match self.decide(&store, file, beyond).await? {
                Place::Put(part) => part,
                Place::Close(safe) => return close(shared, file, &safe, is_open),
                Place::Complete(number, safe) => {
                    if self.complete(&store, file, number).await? {
                        return Ok(Step::Changed);
                    }
                    return close(shared, file, &safe, is_open);
                }
            }
        };
        // Before anything can be there.
        shared.lock().set_store(&identity.lineage, &url)?;
        let encoded = self.encode(shared, file, is_open).await?;
        let Some(encoded) = encoded else { return Ok(Step::Changed) };
        // The ledger goes last: a window that has one is complete.
        let files = [(&FLOWS, encoded.flows), (&LEDGER, Some(encoded.ledger))];
        for (place, (table, bytes)) in files.into_iter().enumerate() {
            if let Some(bytes) = bytes {
                let name = ObjectName::new(table, &identity.gateway, file.hour(), HOUR);
                let name = ObjectName { part: part.number, ..name };
                if !put(&store, &name, &bytes, part.has[place]).await? {
                    // Somebody else was there first.
                    self.state().parts.remove(&identity.lineage);
                    return Ok(Step::Changed);
                }
                if !planted(Bug::NoConfirm)
                    && let Err(error) = store.confirm(&name.path(), &bytes, file.is_complete).await
                {
                    // Whatever is there now, it is looked at again.
                    self.state().parts.remove(&identity.lineage);
                    return Err(error.into());
                }
                part.has[place] = true;
                self.state().parts.insert(identity.lineage.clone(), part.clone());
            }
        }
        Ok(Step::Done)
    }

    /// Encodes a file; `None` where a run of it cannot be read, and was set aside.
    async fn encode(
        &self,
        shared: &Shared,
        file: &HourFile,
        is_open: bool,
    ) -> Result<Option<encode::Encoded>, Fault> {
        // On a thread of its own: interfaces that appear meanwhile are not to wait for it.
        let growing = file.clone();
        let encoded = apart("encoding", move || encode::encode(&growing)).await?;
        let error = match encoded {
            Ok(encoded) => return Ok(Some(encoded)),
            Err(error) => error,
        };
        if let encode::Error::Spool(error) = &error
            && let Some(path) = error.lost_run()
            && !is_open
        {
            shared.lock().lose(path)?;
            // It may be less now than what the store has.
            self.state().parts.remove(&file.identity.lineage);
            return Ok(None);
        }
        Err(Fault::Encode(error))
    }

    /// Forgets a file that is in the store for good.
    fn forget(&self, shared: &Shared, file: &HourFile) -> Result<(), Fault> {
        shared.lock().remove(file)?;
        let mut state = self.state();
        state.published.remove(&file.identity.lineage);
        let part = state.parts.remove(&file.identity.lineage).unwrap_or_default();
        state.done.files += part.files();
        add(&mut state.done, file);
        Ok(())
    }

    /// The files that the store does not have as they are.
    pub(super) fn unpublished(&self, shared: &Shared, open: Option<&HourFile>) -> Vec<HourFile> {
        let state = self.state();
        let mut files = shared.lock().growing();
        files.retain(|file| {
            let is_open = open.is_some_and(|open| open.identity.lineage == file.identity.lineage);
            let published = state.published.get(&file.identity.lineage);
            !is_open && published.is_none_or(|published| published.runs != file.runs)
        });
        files.extend(open.cloned());
        files
    }

    pub(super) fn last_error(&self) -> Option<store::Error> {
        self.state().last_error.take()
    }
}

impl Part {
    fn files(&self) -> u64 {
        self.has.iter().map(|has| u64::from(*has)).sum()
    }
}

/// Puts an object in its place; false where somebody else has put one there.
async fn put(
    store: &Store,
    name: &ObjectName,
    bytes: &Bytes,
    is_there: bool,
) -> Result<bool, store::Error> {
    let path = name.path();
    if is_there {
        store.replace(&path, bytes).await?;
        return Ok(true);
    }
    Ok(matches!(store.create_object(&path, bytes).await?, Created::New | Created::Again))
}

/// The store has some epochs of a file in a way that cannot be added to.
fn close(shared: &Shared, file: &HourFile, safe: &EpochSet, is_open: bool) -> Result<Step, Fault> {
    Event::Closed { epochs: safe, hour: file.hour() }.emit();
    shared.lock().close(&file.identity.lineage, safe)?;
    // What is open stays in the spool for the next daemon.
    Ok(if is_open { Step::Done } else { Step::Changed })
}

pub(super) fn rows(file: &HourFile) -> u64 {
    file.runs.iter().map(|run| run.header.entry_count()).sum()
}

fn add(summary: &mut Summary, file: &HourFile) {
    summary.flows += rows(file);
    let windows = file.runs.iter().flat_map(|run| &run.header.windows);
    for row in windows.flat_map(|window| &window.rows) {
        for totals in row.totals {
            summary.packets += totals.seen.packets;
            summary.bytes += totals.seen.bytes;
        }
    }
}
