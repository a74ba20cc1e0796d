//! What the kernel program is told while it runs: its control map, mapped into memory.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aya::maps::MapData;
use flowlog_common::{
    control::{self, Held, MAX_SLOTS, NAME_SIZE},
    epoch::EpochSwitch,
    interface::{Interface, TABLE_SIZE},
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{
    error::Error,
    interface::{name_bytes, name_text},
};
use crate::{
    durable::Lock,
    record::{clock::MonotonicNs, epoch::Slot},
};

/// What is mapped; the kernel rounds it up to whole pages.
const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<control::Control>()).unwrap();

/// The control map. Each word is written in one instruction, so that no packet ever sees half of a
/// change.
///
/// Where the maps outlive the process, whoever has this keeps other daemons away from them.
pub struct Control {
    element: NonNull<control::Control>,
    _lock: Option<Arc<Lock>>,
}

// SAFETY: the mapping belongs to the process, and the words in it are only used atomically.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

impl Control {
    pub(super) fn map(map: &MapData, lock: Option<Arc<Lock>>) -> Result<Self, Error> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, which is unmapped when this is dropped.
        let mapped =
            unsafe { mmap(None, SIZE, protection, MapFlags::MAP_SHARED, map.fd().as_fd(), 0) };
        let mapped = mapped.map_err(|error| Error::MapControl { source: error.into() })?;
        Ok(Self { element: mapped.cast(), _lock: lock })
    }

    /// Announces a change of epoch.
    pub fn announce(&self, switch: EpochSwitch) {
        self.switch_word().store(switch.to_word(), Ordering::SeqCst);
    }

    /// The change of epoch that was announced last.
    #[must_use]
    pub fn announced(&self) -> EpochSwitch {
        EpochSwitch::from_word(self.switch_word().load(Ordering::SeqCst))
    }

    /// What a set of maps holds, by the parity of its number.
    #[must_use]
    pub fn held(&self, set: u32) -> Held {
        let [epoch, opened_ns] = self.held_words(set);
        Held { epoch: epoch.load(Ordering::SeqCst), opened_ns: opened_ns.load(Ordering::SeqCst) }
    }

    /// States what a set of maps holds. Whoever dies in between has stated that it holds nothing.
    pub fn hold(&self, set: u32, held: Held) {
        let [epoch, opened_ns] = self.held_words(set);
        epoch.store(0, Ordering::SeqCst);
        opened_ns.store(held.opened_ns, Ordering::SeqCst);
        epoch.store(held.epoch, Ordering::SeqCst);
    }

    /// When the open epoch began.
    pub(super) fn opened(&self) -> MonotonicNs {
        let [even, odd] = [self.held(0), self.held(1)];
        MonotonicNs::from_ns(if even.epoch > odd.epoch { even.opened_ns } else { odd.opened_ns })
    }

    /// The interface name of a slot, where it stands for one.
    #[must_use]
    pub fn name(&self, slot: Slot) -> Option<String> {
        let words = self.name_words(slot)?.map(|word| word.load(Ordering::SeqCst).to_ne_bytes());
        let name: Vec<u8> = words.concat().into_iter().take_while(|byte| *byte != 0).collect();
        Some(name_text(&name)).filter(|name| !name.is_empty())
    }

    /// Gives a slot its name. Whoever dies in between has given it none.
    pub(super) fn set_name(&self, slot: Slot, name: &str) {
        let Some([first, second]) = self.name_words(slot) else { return };
        let mut bytes = [0; NAME_SIZE];
        for (to, from) in bytes.iter_mut().zip(name_bytes(name)) {
            *to = from;
        }
        let word = |at: usize| std::array::from_fn(|i| bytes[at + i]);
        first.store(0, Ordering::SeqCst);
        second.store(u64::from_ne_bytes(word(8)), Ordering::SeqCst);
        first.store(u64::from_ne_bytes(word(0)), Ordering::SeqCst);
    }

    /// Packets of this interface are counted from now on.
    pub fn count(&self, counted: Interface) {
        self.interface_word(counted.kernel_index).store(counted.to_word(), Ordering::SeqCst);
    }

    /// Packets of this interface are not counted any more.
    pub fn ignore(&self, kernel_index: u32) {
        self.interface_word(kernel_index).store(Interface::default().to_word(), Ordering::SeqCst);
    }

    /// Whether packets of this interface are counted under this slot.
    #[must_use]
    pub fn counts(&self, counted: Interface) -> bool {
        let word = self.interface_word(counted.kernel_index).load(Ordering::SeqCst);
        Interface::from_word(word) == counted
    }

    /// The interfaces whose packets are counted.
    #[must_use]
    pub fn counted(&self) -> Vec<Interface> {
        let table = (0..TABLE_SIZE).filter_map(|index| u32::try_from(index).ok());
        let entries = table
            .map(|index| Interface::from_word(self.interface_word(index).load(Ordering::SeqCst)));
        entries.filter(|entry| entry.kernel_index != 0).collect()
    }

    /// Takes over names and interfaces of the maps before these, which have other sizes.
    pub(super) fn copy_interfaces(&self, other: &Self) {
        for slot in (0..MAX_SLOTS_U16).map(Slot::new) {
            if let Some(name) = other.name(slot) {
                self.set_name(slot, &name);
            }
        }
        for counted in other.counted() {
            self.count(counted);
        }
    }

    fn switch_word(&self) -> &AtomicU64 {
        // SAFETY: the mapping is the element of the map.
        unsafe { AtomicU64::from_ptr(control::Control::switch(self.element.as_ptr())) }
    }

    fn interface_word(&self, kernel_index: u32) -> &AtomicU64 {
        // SAFETY: the mapping is the element of the map.
        unsafe {
            AtomicU64::from_ptr(control::Control::interface(self.element.as_ptr(), kernel_index))
        }
    }

    fn held_words(&self, set: u32) -> [&AtomicU64; 2] {
        let element = self.element.as_ptr();
        let set = usize::from(set & 1 == 1);
        // SAFETY: the mapping is the element of the map, and there are two sets.
        unsafe {
            let held = (&raw mut (*element).held).cast::<Held>().add(set);
            [
                AtomicU64::from_ptr(&raw mut (*held).epoch),
                AtomicU64::from_ptr(&raw mut (*held).opened_ns),
            ]
        }
    }

    /// The two words of a name; `None` where there is no such slot.
    fn name_words(&self, slot: Slot) -> Option<[&AtomicU64; 2]> {
        const NAMES: usize = std::mem::offset_of!(control::Control, names);
        const WORD: usize = size_of::<u64>();
        const { assert!(NAME_SIZE == 2 * WORD && NAMES.is_multiple_of(WORD)) };
        if slot.number() >= MAX_SLOTS_U16 {
            return None;
        }
        // SAFETY: the mapping is the element of the map, whose names begin at a multiple of eight,
        // and the slot is below their number.
        unsafe {
            let words = self.element.as_ptr().cast::<u64>();
            let name = words.add(NAMES / WORD + 2 * slot.place());
            Some([AtomicU64::from_ptr(name), AtomicU64::from_ptr(name.add(1))])
        }
    }
}

/// The number of slots as slots are numbered.
#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
pub(super) const MAX_SLOTS_U16: u16 = MAX_SLOTS as u16;
const _: () = assert!(MAX_SLOTS_U16 as usize == MAX_SLOTS);

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: nothing else uses the mapping.
        if let Err(error) = unsafe { munmap(self.element.cast(), SIZE.get()) } {
            tracing::warn!("cannot unmap the kernel program's control map: {error}");
        }
    }
}
