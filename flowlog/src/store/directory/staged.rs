//! Files that were being written when their writer was killed: `NAME#NUMBER`, beside their name.

use std::{io, os::fd::BorrowedFd};

use object_store::path::Path;

use super::{
    Directory,
    folders::sync_folder,
    list::{Sight, is_plain_file},
    lock::LockFile,
};
use crate::{
    durable,
    record::gateway::GatewayName,
    store::{
        own::{is_staged, owner},
        request::{Action, Entry, Failure},
    },
};

impl Directory {
    /// All of them, in the order of their paths.
    pub(super) fn staged(&self) -> Result<Vec<Entry>, Failure> {
        let mut staged = vec![];
        self.walk(None, &mut |sight| {
            if let Sight::File { path, found, .. } = sight
                && is_staged(path)
            {
                staged.push(Entry::new(path.to_owned(), found));
            }
        })?;
        staged.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(staged)
    }

    /// Removes the one at a path, unless a daemon writes for its gateway; says whether it is gone.
    pub(super) fn remove_staged(&self, path: &str) -> Result<bool, Failure> {
        let failed = Failure::of(Action::Sweep, path);
        let Some(gateway) = owner(path) else {
            return Err(failed(super::odd("not an unfinished file of flowlog")));
        };
        let lock = if self.locks.contains_key(&gateway) {
            None
        } else {
            match LockFile::take(self.root(), &gateway) {
                Ok(lock) => Some(lock),
                Err(Failure::Locked { .. }) => return Ok(false),
                Err(failure) => return Err(failure),
            }
        };
        let removed = super::parse(path).and_then(|object| self.delete(&object));
        if let Some(lock) = lock {
            lock.release(self.root(), &gateway);
        }
        removed.map(|()| true)
    }

    /// Removes those of a gateway, and says how many there were.
    pub(super) fn sweep(&self, gateway: &GatewayName) -> Result<usize, Failure> {
        let mut removed = 0;
        let mut failure = None;
        let mut take = |folder: BorrowedFd<'_>, path: &str| {
            if owner(path).as_ref() != Some(gateway) {
                return;
            }
            let name = path.rsplit('/').next().unwrap_or(path);
            match remove_one(folder, name) {
                Ok(is_removed) => removed += usize::from(is_removed),
                Err(error) => failure = Some(Failure::of(Action::Sweep, path)(error)),
            }
        };
        let own = format!("gateway={gateway}");
        // The root itself, for probes; then the folders of the gateway, and nobody else's.
        for name in durable::names(self.root()).map_err(Failure::of(Action::Sweep, "/"))? {
            let Ok(name) = name.to_str() else { continue };
            if Path::parse(name).is_err() {
                continue;
            }
            if is_staged(name) {
                take(self.root(), name);
                continue;
            }
            let walked = self.walk(Some(&format!("{name}/{own}")), &mut |sight| {
                if let Sight::File { folder, path, .. } = sight {
                    take(folder, path);
                }
            });
            if let Err(failure) = walked {
                tracing::debug!("cannot sweep {name}: {failure:?}");
            }
        }
        failure.map_or(Ok(removed), Err)
    }
}

fn remove_one(folder: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    if !is_plain_file(folder, name)? {
        return Ok(false);
    }
    durable::remove_file(folder, name)?;
    sync_folder(folder)?;
    Ok(true)
}
