//! Putting and deleting: whole or not at all, and durable before anybody is told.

use std::{io, os::fd::BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, RenameFlags, renameat2},
    unistd::linkat,
};
use object_store::path::Path;

use super::{Directory, folders::Folders, is_file, kind_of, odd, read::split};
use crate::{
    durable,
    store::{
        Created,
        request::{Action, Failure},
    },
};

/// How often folders are made that somebody who deletes takes away at once.
const ATTEMPTS: u32 = 16;

impl Directory {
    /// Puts a new object, and never replaces one.
    pub(super) fn put_new(&self, object: &Path, file: &[u8]) -> Result<Created, Failure> {
        // What is there need not be written to find out.
        let is_there = match self.folders_of(object, Action::Write)? {
            Some((folders, name)) => durable::look(folders.last(), name)
                .map_err(Failure::of(Action::Write, object))?
                .is_some(),
            None => false,
        };
        if !is_there {
            match self.put(object, file, give_name) {
                Ok(()) => return Ok(Created::New),
                Err(failure) if failure.is(Errno::EEXIST) => {}
                Err(failure) => return Err(failure),
            }
        }
        if self.is_stored(object, file)? {
            // Whoever put it may not have lived to make it durable.
            if let Some((folders, _)) = self.folders_of(object, Action::Write)? {
                folders.sync().map_err(Failure::of(Action::Sync, object))?;
            }
            return Ok(Created::Again);
        }
        Ok(Created::Taken)
    }

    /// Puts an object in the place of the one that was there, if one was.
    pub(super) fn replace(&self, object: &Path, file: &[u8]) -> Result<(), Failure> {
        self.put(object, file, take_name)
    }

    /// Deletes an object, and the folders that are empty then. One that is gone counts as deleted.
    pub(super) fn delete(&self, object: &Path) -> Result<(), Failure> {
        let failed = Failure::of(Action::Delete, object);
        let (above, name) = split(object);
        let mut folders = Folders::at(self.root());
        // As many as there are: those of an object that is gone may be gone too.
        for folder in above {
            match folders.enter(folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return folders.prune().map_err(Failure::of(Action::Sync, object));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        match durable::look(folders.last(), name).map_err(&failed)? {
            Some(found) if !is_file(&found) => return Err(failed(odd(kind_of(&found)))),
            Some(_) => drop(durable::remove_file(folders.last(), name).map_err(&failed)?),
            None => {}
        }
        folders.prune().map_err(Failure::of(Action::Sync, object))
    }

    fn put(
        &self,
        object: &Path,
        file: &[u8],
        name_it: fn(BorrowedFd<'_>, &str, &str) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let failed = Failure::of(Action::Write, object);
        let mut attempts = 0;
        let (folders, staged) = loop {
            attempts += 1;
            let (above, name) = split(object);
            let staged = Folders::make(self.root(), above)
                .and_then(|folders| Ok((stage(folders.last(), name, file)?, folders)));
            match staged {
                Ok((staged, folders)) => break (folders, staged),
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {}
                Err(error) => return Err(failed(error)),
            }
        };
        let (_, name) = split(object);
        if let Err(error) = name_it(folders.last(), &staged, name) {
            discard(folders.last(), &staged);
            return Err(failed(error));
        }
        folders.sync().map_err(Failure::of(Action::Sync, object))
    }

    /// Whether an object is this file.
    fn is_stored(&self, object: &Path, file: &[u8]) -> Result<bool, Failure> {
        match self.head(object)? {
            Some(entry) if entry.size == file.len() as u64 => Ok(self.read(object)? == file),
            _ => Ok(false),
        }
    }
}

/// Writes a file beside its name, and syncs it; returns the name that it has meanwhile.
fn stage(folder: BorrowedFd<'_>, name: &str, file: &[u8]) -> io::Result<String> {
    for number in 1_u32.. {
        let staged = format!("{name}#{number}");
        match durable::write_file(folder, staged.as_str(), file) {
            Ok(()) => return Ok(staged),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Gives a file its name, if nothing has it.
fn give_name(folder: BorrowedFd<'_>, staged: &str, name: &str) -> io::Result<()> {
    match renameat2(folder, staged, folder, name, RenameFlags::RENAME_NOREPLACE) {
        // Not every file system can; those have links.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::ENOTSUP) => {
            linkat(folder, staged, folder, name, AtFlags::empty())?;
            durable::remove_file(folder, staged).map(drop)
        }
        named => Ok(named?),
    }
}

/// Gives a file its name, in the place of the file that had it.
fn take_name(folder: BorrowedFd<'_>, staged: &str, name: &str) -> io::Result<()> {
    match durable::look(folder, name)? {
        Some(found) if !is_file(&found) => Err(odd(kind_of(&found))),
        _ => durable::rename(folder, staged, folder, name),
    }
}

/// Removes what cannot be used. The failure that counts is the one before; the next sweep tries
/// again.
fn discard(folder: BorrowedFd<'_>, staged: &str) {
    if let Err(error) = durable::remove_file(folder, staged) {
        tracing::debug!("cannot remove {staged}: {error}");
    }
}
