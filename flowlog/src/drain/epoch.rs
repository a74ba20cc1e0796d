//! The word in kernel memory that says when the epoch changes.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use flowlog_common::epoch::EpochSwitch;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::Error;
use crate::clock::{self, MonotonicNs};

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The kernel program's epoch, mapped into memory: written in one instruction, so that no packet
/// ever sees half of a change.
pub(super) struct EpochWord(NonNull<libc::c_void>);

// SAFETY: the mapping belongs to the process, and the word in it is only used atomically.
unsafe impl Send for EpochWord {}

impl EpochWord {
    pub(super) fn map(epoch: &MapData) -> Result<Self, Error> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, which is unmapped when this is dropped.
        let mapped =
            unsafe { mmap(None, PAGE, protection, MapFlags::MAP_SHARED, epoch.fd().as_fd(), 0) };
        Ok(Self(mapped.map_err(|error| Error::MapEpoch { source: error.into() })?))
    }

    /// The epoch does not change until something else is announced.
    pub(super) fn stay(&self, epoch: u32) {
        self.store(EpochSwitch::never(epoch));
    }

    /// The epoch changes at an instant to come, which is returned as the kernel reads it.
    pub(super) fn switch_at(&self, at: MonotonicNs, epoch: u32) -> MonotonicNs {
        let switch = EpochSwitch::at(at, epoch);
        self.store(switch);
        switch.switch_at_ns()
    }

    /// The epoch changes with the next step of the clock; returns when that was.
    pub(super) fn switch_now(&self, epoch: u32) -> MonotonicNs {
        // Packets of the current step may be counted already, hence the next one.
        let at = self.switch_at(clock::monotonic_coarse() + 2, epoch);
        wait_until(at);
        at
    }

    fn store(&self, switch: EpochSwitch) {
        // SAFETY: the mapping is aligned to a page and lives as long as this.
        let word = unsafe { AtomicU64::from_ptr(self.0.as_ptr().cast()) };
        word.store(switch.to_word(), Ordering::SeqCst);
    }
}

impl Drop for EpochWord {
    fn drop(&mut self) {
        // SAFETY: nothing else uses the mapping.
        if let Err(error) = unsafe { munmap(self.0, PAGE.get()) } {
            tracing::warn!("cannot unmap the epoch: {error}");
        }
    }
}

/// Whether packets that are seen now come after this instant.
pub(super) fn has_passed(at: MonotonicNs) -> bool {
    clock::monotonic_coarse() >= at
}

/// Waits until packets that are seen come after this instant.
pub(super) fn wait_until(at: MonotonicNs) {
    while !has_passed(at) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Waits until every program that may have read the epoch before has finished: TC programs run in
/// RCU read-side sections, and this waits for all of them.
pub(super) fn settle() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: a system call without pointers.
    match unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
