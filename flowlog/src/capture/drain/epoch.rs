//! The word in kernel memory that says when the epoch changes.

use std::{io, sync::Arc, time::Duration};

use flowlog_common::{control::Held, epoch::EpochSwitch};

use crate::{
    capture::Control,
    record::{
        clock::{self, MonotonicNs},
        epoch::EpochNumber,
    },
};

/// An epoch and when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    pub number: EpochNumber,
    pub opened: MonotonicNs,
}

/// What the kernel holds when a daemon starts.
pub(super) struct PreviousState {
    /// The epoch that is being counted.
    pub open: Resumed,
    /// The one before, if nobody cleared it.
    pub unfinished: Option<Resumed>,
    /// When the open one ends, if that was announced.
    pub announced: Option<MonotonicNs>,
}

/// The kernel program's epoch. The set of maps that an epoch is counted in follows from its number.
pub(super) struct EpochWord(Arc<Control>);

/// The set of maps of an epoch.
pub(super) const fn set(epoch: EpochNumber) -> u32 {
    (epoch.get() & 1) as u32
}

impl EpochWord {
    pub(super) const fn new(control: Arc<Control>) -> Self {
        Self(control)
    }

    /// An epoch has begun at this instant, and does not end until something is announced.
    pub(super) fn open(&self, epoch: EpochNumber, opened: MonotonicNs) {
        // First, so that whoever finds the maps knows since when they are filled.
        self.0.hold(set(epoch), Held { epoch: epoch.get(), opened_ns: opened.ns() });
        self.0.announce(EpochSwitch::never(set(epoch)));
    }

    /// The open epoch has another number, of the same set of maps.
    pub(super) fn renumber(&self, epoch: EpochNumber, opened: MonotonicNs) {
        self.0.hold(set(epoch), Held { epoch: epoch.get(), opened_ns: opened.ns() });
    }

    /// What the maps of this epoch held is safe, and they are empty.
    pub(super) fn cleared(&self, epoch: EpochNumber) {
        self.0.hold(set(epoch), Held::default());
    }

    /// Finds out where the daemon before this one ended; where there was none, opens the epoch
    /// after `last`.
    pub(super) fn resume(&self, last: EpochNumber) -> PreviousState {
        let [even, odd] = [self.0.held(0), self.0.held(1)];
        let (newer, older) = if even.epoch > odd.epoch { (even, odd) } else { (odd, even) };
        let resumed = |held: Held| Resumed {
            number: EpochNumber::new(held.epoch),
            opened: MonotonicNs::from_ns(held.opened_ns),
        };
        if newer.epoch == 0 {
            let open = Resumed { number: last.next(), opened: clock::monotonic_coarse() };
            self.open(open.number, open.opened);
            return PreviousState { open, unfinished: None, announced: None };
        }
        let newest = resumed(newer);
        let switch = self.0.announced();
        let end = MonotonicNs::from_ns(switch.switch_at_ns());
        if switch.epoch_at(clock::monotonic_coarse().ns()) != set(newest.number) {
            // The daemon announced it, and did not live to see it.
            let open = Resumed { number: newest.number.next(), opened: end };
            self.open(open.number, open.opened);
            return PreviousState { open, unfinished: Some(newest), announced: None };
        }
        let is_announced = switch != EpochSwitch::never(set(newest.number));
        PreviousState {
            open: newest,
            unfinished: Some(older).filter(|older| older.epoch != 0).map(resumed),
            announced: is_announced.then_some(end),
        }
    }

    /// The epoch changes at an instant to come, which is returned as the kernel reads it.
    pub(super) fn switch_at(&self, at: MonotonicNs, epoch: EpochNumber) -> MonotonicNs {
        let switch = EpochSwitch::at(at.ns(), set(epoch));
        self.0.announce(switch);
        MonotonicNs::from_ns(switch.switch_at_ns())
    }

    /// The epoch changes with the next step of the clock; returns when that was.
    pub(super) fn switch_now(&self, epoch: EpochNumber) -> MonotonicNs {
        // Packets of the current step may be counted already, hence the next one.
        let at = self.switch_at(clock::monotonic_coarse().plus(LEAST_STEP), epoch);
        wait_until(at);
        at
    }
}

/// The least time by which an announced instant comes later: the word has even nanoseconds only.
const LEAST_STEP: Duration = Duration::from_nanos(2);

/// Whether packets that are seen now come after this instant.
pub(super) fn has_passed(at: MonotonicNs) -> bool {
    clock::monotonic_coarse() >= at
}

/// Waits until packets that are seen come after this instant.
pub(super) fn wait_until(at: MonotonicNs) {
    while !has_passed(at) {
        std::thread::sleep(Duration::from_millis(1));
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
