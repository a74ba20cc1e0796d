//! Which interfaces were counted, and when: the names behind the slots, and the bounds that the
//! ledger states.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{self, MonotonicNs};

/// The interfaces that were ever counted; shared by capture, which attaches, and drain, which asks.
pub struct Presence {
    limit: u16,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    state: State,
    was_attached: bool,
    /// Since the last question: when it was first counted, last counted, how often it came back.
    first: Option<MonotonicNs>,
    last: Option<MonotonicNs>,
    interruptions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attached,
    Detached,
}

/// When an interface was counted within an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The slot in keys and totals.
    pub slot: u16,
    /// The interface's name.
    pub name: String,
    /// From when.
    pub from: MonotonicNs,
    /// Until when.
    pub to: MonotonicNs,
    /// How often it came back after it had gone.
    pub interruptions: u32,
    /// Whether it was counted at all in the epoch.
    pub was_counted: bool,
}

impl Presence {
    /// Room for this many interface names.
    #[must_use]
    pub fn new(limit: u16) -> Self {
        Self { limit, slots: Mutex::new(vec![]) }
    }

    /// How many interface names there is room for.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// The slot that stands for a name, a new one where it had none; `None` when all are taken.
    pub fn slot(&self, name: &str) -> Option<u16> {
        let mut slots = self.lock();
        let index = match slots.iter().position(|slot| slot.name == name) {
            Some(index) => index,
            None if slots.len() < usize::from(self.limit) => {
                slots.push(Slot {
                    name: name.to_owned(),
                    state: State::Detached,
                    was_attached: false,
                    first: None,
                    last: None,
                    interruptions: 0,
                });
                slots.len() - 1
            }
            None => return None,
        };
        u16::try_from(index).ok()
    }

    /// The interface is counted from now on.
    pub fn attached(&self, slot: u16) {
        let now = clock::monotonic_coarse();
        if let Some(slot) = self.lock().get_mut(usize::from(slot)) {
            slot.interruptions += u32::from(slot.was_attached);
            slot.was_attached = true;
            slot.state = State::Attached;
            slot.first.get_or_insert(now);
        }
    }

    /// The interface is not counted any more.
    pub fn detached(&self, slot: u16) {
        let now = clock::monotonic_coarse();
        if let Some(slot) = self.lock().get_mut(usize::from(slot)) {
            slot.state = State::Detached;
            slot.last = Some(now);
        }
    }

    /// When each interface was counted between two instants; to be asked once per epoch.
    ///
    /// Those that were not counted are told too: a packet that was on its way through the kernel
    /// program when its interface went may still be in this epoch.
    pub fn between(&self, opened: MonotonicNs, closed: MonotonicNs) -> Vec<Observed> {
        let mut observed = vec![];
        for (index, slot) in self.lock().iter_mut().enumerate() {
            let Ok(number) = u16::try_from(index) else { continue };
            let is_attached = slot.state == State::Attached;
            // Attached in the next epoch, which has begun already, says nothing of this one.
            let is_of_next = slot.first.is_some_and(|first| first >= closed);
            let was_counted = !is_of_next && (is_attached || slot.last.is_some());
            let mut entry = Observed {
                slot: number,
                name: slot.name.clone(),
                from: opened,
                to: opened,
                interruptions: 0,
                was_counted,
            };
            if was_counted {
                entry.from = slot.first.take().map_or(opened, |first| first.max(opened));
                let last = slot.last.take().filter(|_| !is_attached);
                entry.to = last.unwrap_or(closed).clamp(entry.from, closed);
                entry.interruptions = std::mem::take(&mut slot.interruptions);
            }
            observed.push(entry);
        }
        observed
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Every change leaves the table sound, so that of a thread that panicked is too.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_slot() {
        let presence = Presence::new(2);
        assert_eq!(presence.slot("wg0"), Some(0));
        assert_eq!(presence.slot("tun0"), Some(1));
        assert_eq!(presence.slot("wg0"), Some(0));
        assert_eq!(presence.slot("wg1"), None);
    }

    #[test]
    fn an_interface_is_observed_while_it_is_attached() {
        let presence = Presence::new(4);
        let slot = presence.slot("wg0").unwrap();
        let counted = |opened, closed| {
            let observed = presence.between(opened, closed);
            observed.into_iter().filter(|o| o.was_counted).collect::<Vec<_>>()
        };
        assert_eq!(counted(0, 10), []);
        presence.attached(slot);
        let far = u64::MAX;
        let first = counted(0, far - 1);
        assert_eq!(first.len(), 1);
        assert!(first[0].from > 0 && first[0].to == far - 1);
        // The whole of the next epoch, too.
        assert_eq!(counted(5, 9)[0].from, 5);
        presence.detached(slot);
        let last = counted(5, far);
        assert!(last[0].to < far && last[0].interruptions == 0);
        assert_eq!(counted(5, far), []);
        presence.attached(slot);
        assert_eq!(counted(5, far)[0].interruptions, 1);
    }

    #[test]
    fn what_is_attached_in_the_next_epoch_is_not_in_this_one() {
        let presence = Presence::new(4);
        let slot = presence.slot("wg0").unwrap();
        presence.attached(slot);
        assert!(!presence.between(0, 1)[0].was_counted);
        assert!(presence.between(1, u64::MAX)[0].was_counted);
    }
}
