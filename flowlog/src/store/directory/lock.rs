//! The lock of a gateway: two daemons cannot share its name in a directory.

use std::{
    fs::{File, TryLockError},
    os::fd::BorrowedFd,
};

use nix::fcntl::OFlag;

use super::{Directory, folders::look, is_same, open_file, write::remove};
use crate::{
    record::gateway::GatewayName,
    store::own::OWN_PREFIX,
    store::request::{Action, Failure},
};

/// The right to write for a gateway. The kernel gives it back when the process ends, however it does.
#[derive(Debug)]
pub(super) struct LockFile {
    /// Kept open: the lock goes with it.
    file: File,
}

impl Directory {
    /// Takes the lock of a gateway, and keeps it.
    pub(super) fn lock(&mut self, gateway: GatewayName) -> Result<(), Failure> {
        if self.locks.contains_key(&gateway) {
            return Err(Failure::Locked { gateway });
        }
        let lock = LockFile::take(self.root(), &gateway)?;
        self.locks.insert(gateway, lock);
        Ok(())
    }

    pub(super) fn unlock(&mut self, gateway: &GatewayName) {
        if let Some(lock) = self.locks.remove(gateway) {
            lock.release(self.root(), gateway);
        }
    }
}

impl LockFile {
    pub(super) fn take(root: BorrowedFd<'_>, gateway: &GatewayName) -> Result<Self, Failure> {
        let name = name_of(gateway);
        let failed = Failure::of(Action::Lock, &name);
        loop {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT;
            let (file, opened) = open_file(root, &name, flags).map_err(&failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::Locked { gateway: gateway.clone() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever had it may have deleted it meanwhile, and somebody else have made another.
            if look(root, &name).map_err(&failed)?.is_some_and(|found| is_same(&found, &opened)) {
                return Ok(Self { file });
            }
        }
    }

    /// Gives it back.
    pub(super) fn release(self, root: BorrowedFd<'_>, gateway: &GatewayName) {
        let Self { file } = self;
        // What stays is found unlocked.
        remove(root, &name_of(gateway)).unwrap_or_default();
        drop(file);
    }
}

fn name_of(gateway: &GatewayName) -> String {
    format!("{OWN_PREFIX}{gateway}.lock")
}
