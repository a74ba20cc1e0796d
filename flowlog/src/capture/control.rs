//! What the kernel program is told while it runs: its control map, mapped into memory.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use flowlog_common::{control, epoch::EpochSwitch, interface::Interface};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::error::Error;

/// What is mapped; the kernel rounds it up to whole pages.
const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<control::Control>()).unwrap();

/// The control map. Each word is written in one instruction, so that no packet ever sees half of a
/// change.
pub struct Control(NonNull<control::Control>);

// SAFETY: the mapping belongs to the process, and the words in it are only used atomically.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

impl Control {
    pub(super) fn map(map: &MapData) -> Result<Self, Error> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, which is unmapped when this is dropped.
        let mapped =
            unsafe { mmap(None, SIZE, protection, MapFlags::MAP_SHARED, map.fd().as_fd(), 0) };
        Ok(Self(mapped.map_err(|error| Error::MapControl { source: error.into() })?.cast()))
    }

    /// Announces a change of epoch.
    pub fn announce(&self, switch: EpochSwitch) {
        // SAFETY: the mapping is the element of the map.
        let word = unsafe { AtomicU64::from_ptr(control::Control::switch(self.0.as_ptr())) };
        word.store(switch.to_word(), Ordering::SeqCst);
    }

    /// Packets of this interface are counted from now on.
    pub fn count(&self, counted: Interface) {
        self.set_interface(counted.kernel_index, counted);
    }

    /// Packets of this interface are not counted any more.
    pub fn ignore(&self, kernel_index: u32) {
        self.set_interface(kernel_index, Interface::default());
    }

    fn set_interface(&self, kernel_index: u32, entry: Interface) {
        // SAFETY: the mapping is the element of the map.
        let word = unsafe {
            AtomicU64::from_ptr(control::Control::interface(self.0.as_ptr(), kernel_index))
        };
        word.store(entry.to_word(), Ordering::SeqCst);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: nothing else uses the mapping.
        if let Err(error) = unsafe { munmap(self.0.cast(), SIZE.get()) } {
            tracing::warn!("cannot unmap the kernel program's control map: {error}");
        }
    }
}
