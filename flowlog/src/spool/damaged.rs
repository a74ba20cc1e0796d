//! Runs that cannot be read: set aside for whoever wants to look at them, until their time is over.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Error, Spool, list};
use crate::clock::Utc;

/// What was set aside has this extension.
pub(super) const DAMAGED: &str = "damaged";

pub(super) fn set_aside(path: &Path) -> Result<(), Error> {
    std::fs::rename(path, path.with_extension(DAMAGED)).map_err(Error::io("rename", path))
}

/// What was set aside in a directory and in those within it.
pub(super) fn under(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut damaged = vec![];
    for path in list(directory).or_else(gone)? {
        if path.is_dir() {
            damaged.extend(under(&path)?);
        } else if path.extension().is_some_and(|extension| extension == DAMAGED) {
            damaged.push(path);
        }
    }
    Ok(damaged)
}

/// Directories of files that are in the store for good go meanwhile.
fn gone(error: Error) -> Result<Vec<PathBuf>, Error> {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        error => Err(error),
    }
}

impl Spool {
    /// Deletes what was set aside and has expired, and answers how many files that were.
    ///
    /// A run cannot tell when its packets passed if it cannot be read: all of them did before it was written.
    pub fn expire_damaged(&self, has_expired: impl Fn(Utc) -> bool) -> Result<usize, Error> {
        let mut deleted = 0;
        for path in under(&self.directory)? {
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            let written = modified.map_err(Error::io("look at", &path))?;
            if Timestamp::try_from(written).is_ok_and(|written| has_expired(written.into())) {
                std::fs::remove_file(&path).map_err(Error::io("delete", &path))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }
}
