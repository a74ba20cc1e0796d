//! The spool: what was drained and is not yet in the store, safe on the gateway's disk.
//!
//! ```text
//! SPOOL/epochs/00000000000000000042.run                     a drained epoch
//! SPOOL/files/20261122T09-000-3f62…/00000000000000000042.run  a window of a file of the store
//! ```
//!
//! Everything is a *run*: entries in the order of the flow table, checked by a CRC, whole or not
//! there. An epoch is in the spool before the kernel's maps are cleared. The epochs of a window
//! become one run; the windows of an hour make one file in the store, which grows with each of
//! them, and is rewritten from the runs. Only when the file will not grow any more, and the store
//! has shown that it has every byte, are its runs deleted.
//!
//! So nothing that reads a spool depends on what was done before: each step can be done again.

mod damaged;
pub mod entry;
mod epoch_set;
pub mod epochs;
pub mod files;
pub mod header;
pub mod merge;
pub mod recover;
pub mod redate;
pub mod run;
pub mod survey;
mod temporary;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

pub use epoch_set::EpochSet;
pub use epochs::Epochs;
pub use files::{Files, Growing};

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk.
    #[error("cannot {action} {} in the spool", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("the spool {} is in use by another flowlog; give each its own --spool", path.display())]
    InUse {
        /// The spool.
        path: PathBuf,
    },
    /// A run is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The run.
        path: PathBuf,
    },
    /// The description of a run cannot be written or understood.
    #[error("the description of {} is not one that this version of flowlog knows", path.display())]
    Header {
        /// The run.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It has as many bytes as it may.
    #[error("the spool is full: it has {bytes} bytes, and spool_max_bytes is {limit}")]
    Full {
        /// What it has.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
}

impl Error {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Extension of a run.
const RUN: &str = "run";
/// Extension of what is being written.
const UNFINISHED: &str = "unfinished";

/// A directory that belongs to one daemon.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limit: u64,
    _lock: Flock<File>,
    /// Goes with the spool where nobody named a directory.
    temporary: Option<tempfile::TempDir>,
}

impl Spool {
    /// Opens a spool, which is made where there is none, of at most `limit` bytes.
    pub fn open(directory: &Path, limit: u64) -> Result<Self, Error> {
        make_directory(directory)?;
        Self::in_directory(directory.to_owned(), limit, None)
    }

    /// A spool that goes when this is dropped, or else when the next one is made.
    pub fn temporary() -> Result<Self, Error> {
        Self::temporary_in(&std::env::temp_dir())
    }

    fn temporary_in(parent: &Path) -> Result<Self, Error> {
        temporary::remove_abandoned(parent)?;
        let directory = temporary::make(parent)?;
        let path = directory.path().to_owned();
        Self::in_directory(path, u64::MAX, Some(directory))
    }

    fn in_directory(
        directory: PathBuf,
        limit: u64,
        temporary: Option<tempfile::TempDir>,
    ) -> Result<Self, Error> {
        let file = File::open(&directory).map_err(Error::io("open", &directory))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| Error::InUse { path: directory.clone() })?;
        for part in ["epochs", "files", "scratch"] {
            make_directory(&directory.join(part))?;
        }
        let spool = Self { directory, limit, _lock: lock, temporary };
        spool.empty_scratch()?;
        Ok(spool)
    }

    /// Whether it outlives the process.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.temporary.is_none()
    }

    /// A number that no epoch of the spool is above, from the names alone: quick, however much there is.
    #[must_use]
    pub fn last_number_by_names(&self) -> u64 {
        let mut last = 0;
        let mut directories = vec![self.epochs_directory()];
        directories.extend(list(&self.files_directory()).unwrap_or_default());
        for path in directories.iter().flat_map(|directory| list(directory).unwrap_or_default()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            last = stem.split('-').filter_map(|part| part.parse().ok()).fold(last, u64::max);
        }
        last
    }

    /// Under which other name its daemon ran before, and what that left is pinned.
    #[must_use]
    pub const fn former_gateway(&self) -> Option<&str> {
        None
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

    /// Fails where another `more` bytes are too many.
    fn has_room(&self, more: u64) -> Result<(), Error> {
        let bytes = bytes_under(&self.directory).map_err(Error::io("measure", &self.directory))?;
        if bytes.saturating_add(more) > self.limit {
            return Err(Error::Full { bytes, limit: self.limit });
        }
        Ok(())
    }

    /// What a process that was killed was making.
    fn empty_scratch(&self) -> Result<(), Error> {
        let scratch = self.scratch();
        for path in list(&scratch)? {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(Error::io("delete", &path))?;
        }
        Ok(())
    }
}

/// Makes a directory that only its owner can look into, and its parents.
fn make_directory(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("make", path))
}

/// Makes names in the directory of a path durable.
fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io("sync", directory))
}

/// What is in a directory, in the order of the names.
fn list(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(directory)?;
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort_unstable();
        Ok(paths)
    };
    read().map_err(Error::io("list", directory))
}

/// The runs of a directory that are sound. What was not finished is deleted; what is damaged is
/// reported and set aside.
fn sound_runs(directory: &Path) -> Result<Vec<run::Run>, Error> {
    let mut runs = vec![];
    for path in list(directory)? {
        let extension = path.extension().unwrap_or_default().to_owned();
        if extension == UNFINISHED {
            tracing::warn!(file = %path.display(), "was not finished when flowlog ended: deleted");
            std::fs::remove_file(&path).map_err(Error::io("delete", &path))?;
        } else if extension == RUN {
            match run::Run::open(&path) {
                Ok(run) => runs.push(run),
                Err(error @ (Error::Damaged { .. } | Error::Header { .. })) => {
                    tracing::error!("{}; set aside", crate::telemetry::with_causes(&error));
                    damaged::set_aside(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(runs)
}

/// The interface names of runs. Names are only ever added while anything is in the spool, so that
/// the longest table has those of all.
pub fn longest_table<'a>(runs: impl IntoIterator<Item = &'a run::Run>) -> Vec<String> {
    let tables = runs.into_iter().map(|run| &run.header.interfaces);
    tables.max_by_key(|names| names.len()).cloned().unwrap_or_default()
}

fn bytes_under(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()).or_else(gone)?,
            Ok(metadata) => metadata.len(),
            Err(error) => gone(error)?,
        };
    }
    Ok(bytes)
}

/// Files come and go while they are measured.
fn gone(error: io::Error) -> io::Result<u64> {
    if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
}

#[cfg(test)]
pub(crate) mod tests;
