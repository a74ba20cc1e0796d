//! The word in kernel memory that says when the epoch changes.

use std::{io, sync::Arc};

use flowlog_common::epoch::EpochSwitch;

use crate::{
    capture::Control,
    clock::{self, MonotonicNs},
};

/// The kernel program's epoch.
pub(super) struct EpochWord(Arc<Control>);

impl EpochWord {
    pub(super) const fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// The epoch does not change until something else is announced.
    pub(super) fn stay(&self, epoch: u32) {
        self.0.announce(EpochSwitch::never(epoch));
    }

    /// The epoch changes at an instant to come, which is returned as the kernel reads it.
    pub(super) fn switch_at(&self, at: MonotonicNs, epoch: u32) -> MonotonicNs {
        let switch = EpochSwitch::at(at, epoch);
        self.0.announce(switch);
        switch.switch_at_ns()
    }

    /// The epoch changes with the next step of the clock; returns when that was.
    pub(super) fn switch_now(&self, epoch: u32) -> MonotonicNs {
        // Packets of the current step may be counted already, hence the next one.
        let at = self.switch_at(clock::monotonic_coarse() + 2, epoch);
        wait_until(at);
        at
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
