//! Looking at a spool from outside: a daemon may be using it.

use std::path::{Path, PathBuf};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::{
    Error, aside,
    disk::{RealDisk, bytes_under},
};

/// What there is of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Whether the directory is there; else the first daemon makes it.
    pub exists: bool,
    /// Bytes that are in it.
    pub bytes: u64,
    /// Bytes that its disk has room for.
    pub free: u64,
    /// What could not be read, and was set aside.
    pub damaged: Vec<PathBuf>,
}

impl Survey {
    /// Looks at a directory. Fails where a daemon could not write there.
    pub fn of(directory: &Path) -> Result<Self, Error> {
        let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let exists = there == directory;
        // A file of this name, or in the place of a directory above it.
        std::fs::read_dir(there).map_err(Error::io("list", there))?;
        access(there, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| Error::io("write to", there)(error.into()))?;
        let disk = statvfs(there).map_err(|error| Error::io("measure", there)(error.into()))?;
        let mut bytes = 0;
        let mut aside = vec![];
        if exists {
            let disk = RealDisk::open(directory)?;
            bytes = bytes_under(&disk, directory).map_err(Error::io("measure", directory))?;
            aside = aside::listed(&disk, directory)?.into_iter().map(|(path, _)| path).collect();
        }
        Ok(Self {
            exists,
            bytes,
            free: disk.blocks_available().saturating_mul(disk.fragment_size()),
            damaged: aside,
        })
    }
}
