//! What the daemon tells the kernel program while it runs.
//!
//! All of it is one element of one map, mapped into the daemon's memory: the program looks it up
//! once for a packet, and the daemon changes each word of it in one instruction, so that no packet
//! sees half of a change.

use crate::{
    interface::{TABLE_SIZE, index},
    layout::assert_layout,
};

/// The element of the map.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Control {
    /// The announced change of epoch, see [`crate::epoch::EpochSwitch::to_word`].
    pub switch: u64,
    /// The interfaces that are counted, by [`crate::interface::index`], see
    /// [`crate::interface::Interface::to_word`].
    pub interfaces: [u64; TABLE_SIZE],
}

impl Control {
    /// Where the announced change of epoch is.
    ///
    /// # Safety
    ///
    /// `control` points to an element of the map.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn switch(control: *mut Self) -> *mut u64 {
        // SAFETY: inside the element, as promised by the caller.
        unsafe { &raw mut (*control).switch }
    }

    /// Where the entry of an interface is.
    ///
    /// # Safety
    ///
    /// `control` points to an element of the map.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn interface(control: *mut Self, kernel_index: u32) -> *mut u64 {
        // SAFETY: inside the element, as promised by the caller: the index is below the size.
        unsafe { (&raw mut (*control).interfaces).cast::<u64>().add(index(kernel_index)) }
    }
}

assert_layout!(Control, size 524_296, {
    switch: u64 => 0,
    interfaces: [u64; TABLE_SIZE] => 8,
});
