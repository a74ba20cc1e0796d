//! The lock of a gateway: two daemons cannot share its name in a directory.

use std::os::fd::BorrowedFd;

use nix::fcntl::OFlag;

use super::{Directory, open_file};
use crate::{
    durable::{self, Lock, Refusal},
    record::gateway::GatewayName,
    store::own::OWN_PREFIX,
    store::request::{Action, Failure},
};

/// The right to write for a gateway. The kernel gives it back when the process ends, however it does.
#[derive(Debug)]
pub(super) struct LockFile {
    lock: Lock,
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
            let (file, _) = open_file(root, &name, flags).map_err(&failed)?;
            let lock = match Lock::take(file) {
                Ok(lock) => lock,
                Err(Refusal::Held) => return Err(Failure::Locked { gateway: gateway.clone() }),
                Err(Refusal::Failed(error)) => return Err(failed(error)),
            };
            // Whoever had it may have deleted it meanwhile, and somebody else have made another.
            let is_ours = match durable::look(root, name.as_str()).map_err(&failed)? {
                Some(found) => lock.is_of(&found).map_err(&failed)?,
                None => false,
            };
            if is_ours {
                return Ok(Self { lock });
            }
        }
    }

    /// Gives it back.
    pub(super) fn release(self, root: BorrowedFd<'_>, gateway: &GatewayName) {
        let Self { lock } = self;
        // What stays is found unlocked.
        durable::remove_file(root, name_of(gateway).as_str()).unwrap_or_default();
        drop(lock);
    }
}

fn name_of(gateway: &GatewayName) -> String {
    format!("{OWN_PREFIX}{gateway}.lock")
}
