//! What can go wrong with a spool.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{FORMAT, incidents::Incident};

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
    /// It is not ours alone.
    #[error(
        "the spool {} cannot be trusted, {reason}; name a directory that does not exist yet, or inspect the files in this one, then run chown and chmod go-w on it",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A later version wrote it.
    #[error(
        "{} was written by a newer flowlog (format {format}; this version knows {FORMAT}), and this version does not touch it: start the newer version, or name another directory with --spool",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The daemon is to end, and what was being done can be done again.
    #[error("stopped before the end; flowlog continues at its next start")]
    Stopped,
    /// A run is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The run.
        path: PathBuf,
    },
    /// The description of a run cannot be written or understood.
    #[error("this version of flowlog does not know the description of {}", path.display())]
    Header {
        /// The run.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An event has a longer body than any may have.
    #[error("an event of {bytes} bytes is too long for {}: at most {limit}", path.display())]
    LongEvent {
        /// The directory of its table.
        path: PathBuf,
        /// What its body has.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// A table of events has no name of ours.
    #[error("{table:?} is not a table name: use lower-case letters and underscores")]
    TableName {
        /// The name.
        table: String,
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
    /// The run that cannot be read, now or later.
    #[must_use]
    pub fn lost_run(&self) -> Option<&Path> {
        match self {
            Self::Damaged { path } => Some(path),
            Self::Io { action: "read", path, source } => {
                (is_gone(source) || is_damage(source)).then_some(path)
            }
            _ => None,
        }
    }

    /// Whether the spool or its disk has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let no_room = [Some(libc::ENOSPC), Some(libc::EDQUOT)];
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => no_room.contains(&source.raw_os_error()),
            _ => false,
        }
    }

    /// Whether something is not where it was: somebody deleted it, or put something else in its place.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        matches!(self, Self::Io { source, .. } if gone.contains(&source.kind()))
    }

    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Whether a file is not there, or what is there is no file: a link, or a pipe.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
        || [Some(libc::ENOENT), Some(libc::EINVAL)].contains(&error.raw_os_error())
}

/// Whether the disk cannot read something, which may be so for good.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Reports what could not be done, where that holds nothing up.
pub(super) fn report(done: Result<(), Error>) {
    if let Err(error) = done {
        Incident::Failed { error: &error }.emit();
    }
}
