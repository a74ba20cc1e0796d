//! The spool: what was drained and is not yet in the store, safe on the gateway's disk.
//!
//! ```text
//! SPOOL/identity, identity.copy                whose it is, and what became of each epoch
//! SPOOL/epochs/42-42-1795341300000-….run       a drained epoch
//! SPOOL/files/20261122T09-000-3f62…/identity   a file of the store: where it goes, and as what
//!                                  /40-46-….run  a window of it
//! SPOOL/events/sessions/…                      what happened: events, until the store has them
//! SPOOL/aside/                                 what cannot be read
//! ```
//!
//! Everything is a *run*: entries in the order of the flow table, checked by CRCs, whole or not
//! there. An epoch is in the spool before the kernel's maps are cleared. The epochs of a window
//! become one run; the windows of an hour make one file in the store, which grows with each of
//! them, and is rewritten from the runs. Only when the file will not grow any more, and the store
//! has shown that it has every byte, are its runs deleted.
//!
//! So nothing that reads a spool depends on what was done before: each step can be done again. What is
//! to be done is decided by pure functions ([`recover`], [`decide`]).

mod aside;
mod copies;
pub mod decide;
pub mod disk;
pub mod encode;
pub mod entry;
pub mod epochs;
mod error;
pub mod events;
pub mod files;
pub mod header;
pub mod identity;
pub mod incidents;
pub mod merge;
#[cfg(test)]
pub(crate) mod model;
pub mod name;
pub(crate) mod planted;
pub mod recover;
pub mod redate;
mod room;
pub mod run;
pub mod survey;
mod temporary;
pub mod windows;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use copies::FORMAT;
use copies::Kept;
use disk::{Kind, RealDisk, SharedDisk, list_any, remove_all};
pub use epochs::Epochs;
pub use error::Error;
pub use files::{Files, HourFile};
use identity::Identity;

use crate::{
    durable::{self, Lock},
    record::{clock::Utc, epoch::EpochNumber},
};

/// Extension of a run.
const RUN: &str = "run";
/// Extension of what is being written.
const UNFINISHED: &str = "unfinished";

/// A directory that belongs to one daemon.
#[derive(Debug)]
pub struct Spool {
    disk: SharedDisk,
    directory: PathBuf,
    limit: u64,
    /// Its size when it was last measured.
    bytes: AtomicU64,
    kept: Mutex<Kept<Identity>>,
    _lock: Option<Lock>,
    /// Goes with the spool where nobody named a directory.
    temporary: Option<tempfile::TempDir>,
}

impl Spool {
    /// Opens a spool, which is made where there is none, of at most `limit` bytes.
    pub fn open(directory: &Path, limit: u64) -> Result<Self, Error> {
        make_directory(directory)?;
        Self::in_directory(directory, limit, None)
    }

    /// A spool that goes when this is dropped, or else when the next one is made.
    pub fn temporary() -> Result<Self, Error> {
        Self::temporary_in(&std::env::temp_dir())
    }

    fn temporary_in(parent: &Path) -> Result<Self, Error> {
        temporary::remove_abandoned(parent)?;
        let directory = temporary::make(parent)?;
        let path = directory.path().to_owned();
        Self::in_directory(&path, u64::MAX, Some(directory))
    }

    fn in_directory(
        directory: &Path,
        limit: u64,
        temporary: Option<tempfile::TempDir>,
    ) -> Result<Self, Error> {
        let disk = RealDisk::open(directory)?;
        let file = disk.descriptor().map_err(Error::io("open", directory))?;
        let lock = Lock::take(file).map_err(|_| Error::InUse { path: directory.to_owned() })?;
        for part in PARTS {
            let path = directory.join(part);
            if let Some(reason) = disk.foreign(part).map_err(Error::io("open", &path))? {
                return Err(Error::Foreign { path, reason });
            }
        }
        let spool = Self::on(SharedDisk(Arc::new(disk)), directory, limit)?;
        Ok(Self { _lock: Some(lock), temporary, ..spool })
    }

    /// A spool on a disk, which nobody else uses.
    pub(crate) fn on(disk: SharedDisk, directory: &Path, limit: u64) -> Result<Self, Error> {
        let kept = Kept::read(&*disk, directory.join(IDENTITY))?;
        let directory = directory.to_owned();
        let (kept, temporary, bytes) = (Mutex::new(kept), None, AtomicU64::new(0));
        Ok(Self { disk, directory, limit, bytes, kept, _lock: None, temporary })
    }

    /// Whether it outlives the process.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.temporary.is_none()
    }

    /// Its size in bytes before the last epoch was written to it.
    #[must_use]
    pub fn measured_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A number that no epoch of the spool is above, from the names alone: quick, however much there is.
    #[must_use]
    pub fn last_number_by_names(&self) -> EpochNumber {
        let mut directories = vec![self.epochs_directory()];
        let files = self.disk.list(&self.files_directory()).unwrap_or_default();
        directories.extend(files.iter().map(|file| self.files_directory().join(&file.name)));
        let runs = directories.iter().flat_map(|path| self.disk.list(path).unwrap_or_default());
        let by_name =
            runs.filter_map(|run| name::RunName::parse(Path::new(&run.name))).map(|n| n.last);
        let identity = self.kept().value.clone();
        let known = identity
            .numberings
            .values()
            .filter_map(|known| known.stored.last().max(known.last).max(known.first));
        let lost = identity.lost.iter().filter_map(|lost| lost.epochs.last());
        let counted = identity.counted.map(|(number, _)| number);
        let numbers = by_name.chain(known).chain(lost).chain(counted);
        EpochNumber::new(numbers.max().unwrap_or(0))
    }

    /// Another name of the gateway, whose daemon filled the spool before: its programs are pinned under
    /// that name. To be asked before the spool is recovered.
    #[must_use]
    pub fn former_gateway(&self, gateway: &str) -> Option<String> {
        let before = self.kept().value.gateway.clone();
        (!before.is_empty() && before != gateway).then_some(before)
    }

    /// Names that the gateway had before, and when it gave each of them up.
    #[must_use]
    pub fn former_names(&self) -> Vec<(String, Utc)> {
        let former = self.kept().value.former.clone();
        former.into_iter().map(|(name, until)| (name, Utc::from_ns(until))).collect()
    }

    /// The epochs of a numbering that are in the store for good.
    #[cfg(all(test, feature = "capture"))]
    pub(crate) fn stored_for_good(&self, numbering: &str) -> crate::record::epoch_set::EpochSet {
        let known = self.kept().value.numberings.get(numbering).cloned();
        known.unwrap_or_default().stored
    }

    /// Where what is of no use after this process is kept.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }

    fn epochs_directory(&self) -> PathBuf {
        self.directory.join("epochs")
    }

    fn files_directory(&self) -> PathBuf {
        self.directory.join("files")
    }

    fn events_directory(&self) -> PathBuf {
        self.directory.join("events")
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Identity>> {
        // Every change leaves it sound, so that of a thread that panicked is too.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of the epochs, and makes that durable; where it cannot, nothing has changed.
    fn know<T>(&self, change: impl FnOnce(&mut Identity) -> T) -> Result<T, Error> {
        self.kept().change(&*self.disk, change)
    }

    /// Moves aside what is in the place of a directory.
    fn make_way(&self) -> Result<(), Error> {
        let entries =
            self.disk.list(&self.directory).map_err(Error::io("list", &self.directory))?;
        for entry in entries {
            if entry.kind != Kind::Directory && PARTS.iter().any(|part| entry.name == *part) {
                self.set_aside(&self.directory.join(entry.name), aside::Reason::Foreign)?;
            }
        }
        Ok(())
    }

    /// Makes the directories, unless they are there.
    fn prepare_directories(&self) -> Result<(), Error> {
        for part in [self.epochs_directory(), self.files_directory(), self.scratch()] {
            self.disk.make_directory(&part).map_err(Error::io("make", &part))?;
        }
        Ok(())
    }

    /// Makes durable that epochs were deleted, before anything forgets that they were there.
    fn sync_epochs(&self) -> Result<(), Error> {
        let epochs = self.epochs_directory();
        self.disk.sync_directory(&epochs).map_err(Error::io("sync", &epochs))
    }

    /// What a process that was killed was making, and what the store has.
    fn empty_scratch(&self) -> Result<(), Error> {
        let scratch = self.scratch();
        let entries = list_any(&*self.disk, &scratch).map_err(Error::io("list", &scratch))?;
        for entry in entries {
            let path = scratch.join(&entry.name);
            let removed = match entry.kind {
                Kind::Directory => remove_all(&*self.disk, &path),
                _ => self.disk.remove(&path),
            };
            removed.map_err(Error::io("delete", &path))?;
        }
        Ok(())
    }
}

/// The directories of a spool.
const PARTS: [&str; 5] = ["epochs", "files", "events", "scratch", aside::ASIDE];
/// Name of the file that states whose something is.
const IDENTITY: &str = "identity";

/// Makes a directory that only its owner can look into, and its parents.
fn make_directory(path: &Path) -> Result<(), Error> {
    durable::make_directories(path).map_err(Error::io("make", path))
}

/// Makes names in the directory of a path durable.
fn sync_directory(disk: &SharedDisk, path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    disk.sync_directory(directory).map_err(Error::io("sync", directory))
}

/// The interface names of runs. Names are only ever added while anything is in the spool, so that
/// the longest table has those of all.
pub fn longest_table<'a>(runs: impl IntoIterator<Item = &'a run::Run>) -> Vec<String> {
    let tables = runs.into_iter().map(|run| &run.header.interfaces);
    tables.max_by_key(|names| names.len()).cloned().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
