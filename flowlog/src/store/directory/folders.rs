//! The way from the root to a folder, every step of it open.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use nix::sys::stat::SFlag;

use super::odd;
use crate::durable;

/// The folders from the root to one below it.
#[derive(Debug)]
pub(super) struct Folders<'a> {
    root: BorrowedFd<'a>,
    /// Each with its name in the one before.
    below: Vec<(String, OwnedFd)>,
}

impl<'a> Folders<'a> {
    /// Opens them.
    pub(super) fn open<'n>(
        root: BorrowedFd<'a>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> io::Result<Self> {
        let mut folders = Self::at(root);
        for name in names {
            folders.enter(name)?;
        }
        Ok(folders)
    }

    /// The root alone.
    pub(super) const fn at(root: BorrowedFd<'a>) -> Self {
        Self { root, below: vec![] }
    }

    /// Opens one more.
    pub(super) fn enter(&mut self, name: &str) -> io::Result<()> {
        let folder = open_folder(self.last(), name)?;
        self.below.push((name.to_owned(), folder));
        Ok(())
    }

    /// Opens them, and makes those that are missing.
    pub(super) fn make<'n>(
        root: BorrowedFd<'a>,
        names: impl IntoIterator<Item = &'n str>,
    ) -> io::Result<Self> {
        let mut folders = Self::at(root);
        for name in names {
            match durable::make_directory(folders.last(), name) {
                Ok(()) => {}
                // Where nothing can be made, what is there may do.
                Err(error)
                    if [Some(libc::EROFS), Some(libc::EACCES)].contains(&error.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
            folders.enter(name)?;
        }
        Ok(folders)
    }

    /// The innermost.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.below.last().map_or(self.root, |(_, folder)| folder.as_fd())
    }

    /// Makes durable what changed in any of them.
    ///
    /// A process that is killed between making a folder and syncing it leaves that to the next one,
    /// which finds the folder there: all of them are synced, whoever made them.
    pub(super) fn sync(&self) -> io::Result<()> {
        for (_, folder) in self.below.iter().rev() {
            sync_folder(folder.as_fd())?;
        }
        sync_folder(self.root)
    }

    /// Removes those that are empty, from the innermost on, and makes durable what is left.
    pub(super) fn prune(mut self) -> io::Result<()> {
        while let Some((name, folder)) = self.below.pop() {
            if durable::remove_directory(self.last(), name.as_str()).is_err() {
                return sync_folder(folder.as_fd());
            }
        }
        sync_folder(self.root)
    }
}

fn open_folder(above: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    durable::enter(above, name).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::ELOOP) => kind(above, name).map_or(error, odd),
        _ => error,
    })
}

/// What is there instead of a folder.
fn kind(above: BorrowedFd<'_>, name: &str) -> Option<&'static str> {
    let found = durable::look(above, name).ok()??;
    Some(if super::is_file(&found) {
        "in a folder that is a file"
    } else if durable::kind(&found) == SFlag::S_IFLNK {
        "in a folder that is a symbolic link, which is not followed"
    } else {
        "in a folder that is none"
    })
}

pub(super) fn sync_folder(folder: BorrowedFd<'_>) -> io::Result<()> {
    durable::sync_directory(folder).or_else(|error| match error.raw_os_error() {
        // Some network file systems cannot; their folders are durable when they answer.
        Some(libc::EINVAL | libc::ENOTSUP) => Ok(()),
        _ => Err(error),
    })
}
