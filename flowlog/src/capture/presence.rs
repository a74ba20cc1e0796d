//! Which interfaces were counted, and when: the names behind the slots, and the bounds that the
//! ledger states.

mod meter;
mod occupant;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Control;
use crate::record::{
    clock::{self, MonotonicNs},
    epoch::{Observed, Reading, Slot, Span},
    ledger::GapReason,
};
pub use meter::Metered;
use occupant::{Occupant, State};

/// The interfaces that were ever counted; shared by capture, which attaches, and drain, which asks.
pub struct Presence {
    limit: u16,
    slots: Mutex<Vec<Occupant>>,
    /// Where names are written down for the daemons to come.
    control: Option<Arc<Control>>,
}

impl Presence {
    /// Room for this many interface names.
    #[must_use]
    pub const fn new(limit: u16) -> Self {
        Self { limit, slots: Mutex::new(vec![]), control: None }
    }

    /// The names that the control map knows keep their slots, and new ones are written there before
    /// their slot is used. What is being counted was counted before this daemon began.
    #[must_use]
    pub fn restore(limit: u16, control: Arc<Control>) -> Self {
        let names = (0..limit).map_while(|number| control.name(Slot::new(number)));
        let mut slots: Vec<Occupant> = names.map(Occupant::new).collect();
        for counted in control.counted() {
            if let Some(slot) = slots.get_mut(Slot::new(counted.slot).place()) {
                slot.state = State::Attached;
                slot.was_attached = true;
            }
        }
        Self { limit, slots: Mutex::new(slots), control: Some(control) }
    }

    /// How many interface names there is room for.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// The slot that stands for a name, where it had none a new one or that of an interface which went
    /// long ago; `None` when all are taken.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        let mut slots = self.lock();
        let known = slots.iter().position(|slot| slot.name == name);
        let index = match known {
            Some(index) => index,
            None if slots.len() < usize::from(self.limit) => slots.len(),
            None => {
                let free = slots.iter().enumerate().filter(|(_, slot)| slot.is_free());
                free.max_by_key(|(_, slot)| slot.idle_epochs)?.0
            }
        };
        let number = Slot::at(index)?;
        if known.is_none() {
            if let Some(control) = &self.control {
                control.set_name(number, name);
            }
            match slots.get_mut(index) {
                Some(slot) => *slot = Occupant::new(name.to_owned()),
                None => slots.push(Occupant::new(name.to_owned())),
            }
        }
        Some(number)
    }

    /// The slot that stands for a name, if it has one.
    #[must_use]
    pub fn known_slot(&self, name: &str) -> Option<Slot> {
        let index = self.lock().iter().position(|slot| slot.name == name)?;
        Slot::at(index)
    }

    /// The interface is counted from now on. Returns since when it was lost, and why, where it was.
    pub fn attached(&self, slot: Slot) -> Option<(MonotonicNs, GapReason)> {
        let now = clock::monotonic_coarse();
        let mut lost = None;
        self.change(slot, |slot| {
            slot.interruptions += u32::from(slot.was_attached);
            slot.was_attached = true;
            // Where it was counted before within the epoch, that was first.
            if slot.state == State::Detached && slot.last.is_none() {
                slot.first.get_or_insert(now);
            }
            slot.state = State::Attached;
            slot.meter.expect();
            lost = slot.lost.take();
            if let Some((since, reason)) = lost {
                slot.gaps.push((Span { since, until: now }, reason));
            }
        });
        lost
    }

    /// That it was counted turned out not to be so, and it goes on being lost where it was.
    pub fn not_attached(&self, slot: Slot, lost: Option<(MonotonicNs, GapReason)>) {
        self.detached(slot, None);
        self.change(slot, |slot| slot.lost = lost);
    }

    /// The interface is counted as it was before this daemon began: since the epoch opened, and
    /// without an interruption.
    pub fn continued(&self, slot: Slot) {
        self.change(slot, |slot| {
            slot.was_attached = true;
            slot.state = State::Attached;
        });
    }

    /// Whether the interface of a slot is counted.
    #[must_use]
    pub fn is_attached(&self, slot: Slot) -> bool {
        self.lock().get(slot.place()).is_some_and(|slot| slot.state == State::Attached)
    }

    /// The interface is gone, and not counted any more. `reading` is of its own counters, where it still
    /// has them.
    pub fn detached(&self, slot: Slot, reading: Option<Reading>) {
        self.leave(slot, reading, |slot, now| {
            if let Some((since, reason)) = slot.lost.take() {
                slot.gaps.push((Span { since, until: now }, reason));
            }
        });
    }

    /// The interface is there, and has not been counted since an instant.
    pub fn lost(&self, slot: Slot, since: MonotonicNs, reason: GapReason) {
        self.leave(slot, None, |slot, _| {
            slot.lost.get_or_insert((since, reason));
        });
    }

    fn leave(
        &self,
        slot: Slot,
        reading: Option<Reading>,
        then: impl FnOnce(&mut Occupant, MonotonicNs),
    ) {
        let now = clock::monotonic_coarse();
        self.change(slot, |slot| {
            if slot.state == State::Attached {
                slot.last = Some(now);
                slot.meter.stop(reading);
            }
            slot.state = State::Detached;
            then(slot, now);
        });
    }

    /// The interface is counted again at all its hooks, which it was not at one since an instant.
    pub fn interrupted(&self, slot: Slot, since: MonotonicNs, reason: GapReason) {
        let until = clock::monotonic_coarse();
        self.change(slot, |slot| {
            slot.interruptions += 1;
            slot.gaps.push((Span { since, until }, reason));
        });
    }

    /// Somebody else came before flowlog at a hook of the interface.
    pub fn overtaken(&self, slot: Slot, span: Span) {
        self.change(slot, |slot| slot.overtaken.push(span));
    }

    /// The counters of the interface itself are read from now on. `is_since_attached` where this first
    /// reading is of when it came to be counted.
    pub fn metered(
        &self,
        slot: Slot,
        metered: Metered,
        reading: Option<Reading>,
        is_since_attached: bool,
    ) {
        self.change(slot, |slot| slot.meter.start(metered, reading, is_since_attached));
    }

    /// The interface counted so much since it was first read; ours may be under the name that it had before.
    pub fn counted_before(&self, slot: Slot, early: Reading) {
        self.change(slot, |slot| slot.meter.early = early);
    }

    /// The same, to be asked once.
    pub fn take_counted_before(&self, slot: Slot) -> Reading {
        let mut early = Reading::default();
        self.change(slot, |slot| early = std::mem::take(&mut slot.meter.early));
        early
    }

    /// Reads the counters of all interfaces that are counted, at the end of an epoch; `read` is given
    /// slot and kernel index.
    pub fn read_meters(
        &self,
        closed: MonotonicNs,
        mut read: impl FnMut(Slot, u32) -> Option<Reading>,
    ) {
        let metered: Vec<(usize, u32)> = {
            let mut slots = self.lock();
            let is_read =
                |slot: &Occupant| slot.state == State::Attached && !slot.is_of_next(closed);
            for slot in slots.iter_mut().filter(|slot| is_read(slot)) {
                if slot.meter.is_expected() {
                    slot.meter.pass_nothing();
                }
            }
            let is_read = |slot: &Occupant| is_read(slot) && !slot.meter.has_passed();
            let slots = slots.iter().enumerate().filter(|(_, slot)| is_read(slot));
            slots.map(|(index, slot)| (index, slot.meter.kernel_index())).collect()
        };
        for (index, kernel_index) in metered {
            let Some(slot) = Slot::at(index) else { continue };
            let reading = read(slot, kernel_index);
            if let Some(slot) = self.lock().get_mut(index)
                // It may have gone meanwhile, and has been read a last time.
                && slot.state == State::Attached
                && slot.meter.kernel_index() == kernel_index
            {
                slot.meter.pass(reading);
            }
        }
    }

    /// When each interface was counted between two instants; to be asked once per epoch.
    ///
    /// Those that were not counted are told too: a packet that was on its way through the kernel
    /// program when its interface went may still be in this epoch.
    pub fn between(&self, opened: MonotonicNs, closed: MonotonicNs) -> Vec<Observed> {
        let mut observed = vec![];
        for (index, slot) in self.lock().iter_mut().enumerate() {
            let Some(number) = Slot::at(index) else { continue };
            observed.push(slot.observed(number, opened, closed));
        }
        observed
    }

    fn change(&self, slot: Slot, change: impl FnOnce(&mut Occupant)) {
        if let Some(slot) = self.lock().get_mut(slot.place()) {
            change(slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Occupant>> {
        // Every change leaves the table sound, so that of a thread that panicked is too.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
