//! Which interfaces were counted, and when: the names behind the slots, and the bounds that the
//! ledger states.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Control;
use crate::clock::{self, MonotonicNs};

/// The interfaces that were ever counted; shared by capture, which attaches, and drain, which asks.
pub struct Presence {
    limit: u16,
    slots: Mutex<Vec<Slot>>,
    /// Where names are written down for the daemons to come.
    control: Option<Arc<Control>>,
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

impl Slot {
    const fn new(name: String) -> Self {
        Self {
            name,
            state: State::Detached,
            was_attached: false,
            first: None,
            last: None,
            interruptions: 0,
        }
    }
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
        Self { limit, slots: Mutex::new(vec![]), control: None }
    }

    /// The names that the control map knows keep their slots, and new ones are written there before
    /// their slot is used. What is being counted was counted before this daemon began.
    #[must_use]
    pub fn restore(limit: u16, control: Arc<Control>) -> Self {
        let names = (0..limit).map_while(|slot| control.name(slot));
        let mut slots: Vec<Slot> = names.map(Slot::new).collect();
        for counted in control.counted() {
            if let Some(slot) = slots.get_mut(usize::from(counted.slot)) {
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

    /// The slot that stands for a name, a new one where it had none; `None` when all are taken.
    pub fn slot(&self, name: &str) -> Option<u16> {
        let mut slots = self.lock();
        let index = match slots.iter().position(|slot| slot.name == name) {
            Some(index) => index,
            None if slots.len() < usize::from(self.limit) => {
                let index = slots.len();
                if let (Some(control), Ok(slot)) = (&self.control, u16::try_from(index)) {
                    control.set_name(slot, name);
                }
                slots.push(Slot::new(name.to_owned()));
                index
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
            // Where it was counted before within the epoch, that was first.
            if slot.state == State::Detached && slot.last.is_none() {
                slot.first.get_or_insert(now);
            }
            slot.state = State::Attached;
        }
    }

    /// The interface is counted as it was before this daemon began: since the epoch opened, and
    /// without an interruption.
    pub fn continued(&self, slot: u16) {
        if let Some(slot) = self.lock().get_mut(usize::from(slot)) {
            slot.was_attached = true;
            slot.state = State::Attached;
        }
    }

    /// Whether the interface of a slot is counted.
    #[must_use]
    pub fn is_attached(&self, slot: u16) -> bool {
        self.lock().get(usize::from(slot)).is_some_and(|slot| slot.state == State::Attached)
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
                // Gone in the next epoch, which is to hear of it.
                let is_gone_later = !is_attached && slot.last.is_some_and(|last| last > closed);
                let last = if is_gone_later { None } else { slot.last.take() };
                let last = last.filter(|_| !is_attached);
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

    #[test]
    fn what_goes_in_the_next_epoch_is_counted_in_the_whole_of_this_one() {
        let presence = Presence::new(4);
        let slot = presence.slot("wg0").unwrap();
        presence.attached(slot);
        presence.between(0, u64::MAX);
        presence.detached(slot);
        let this = &presence.between(1, 2)[0];
        assert_eq!((this.was_counted, this.from, this.to), (true, 1, 2));
        let next = &presence.between(2, u64::MAX)[0];
        assert!(next.was_counted && next.from == 2 && next.to < u64::MAX);
        assert!(!presence.between(2, u64::MAX)[0].was_counted);
    }

    #[test]
    fn what_comes_back_within_an_epoch_was_counted_from_its_beginning() {
        let presence = Presence::new(4);
        let slot = presence.slot("wg0").unwrap();
        presence.attached(slot);
        presence.between(0, u64::MAX);
        presence.detached(slot);
        presence.attached(slot);
        let observed = &presence.between(5, u64::MAX)[0];
        assert_eq!((observed.from, observed.interruptions), (5, 1));
    }

    #[test]
    fn what_goes_on_has_no_interruption() {
        let presence = Presence::new(4);
        let slot = presence.slot("wg0").unwrap();
        presence.continued(slot);
        let observed = &presence.between(5, 9)[0];
        assert!(observed.was_counted && observed.interruptions == 0);
        assert_eq!((observed.from, observed.to), (5, 9));
    }
}
