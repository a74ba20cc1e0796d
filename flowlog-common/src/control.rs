//! What the daemon tells the kernel program while it runs, and what the next daemon must know of
//! the maps that this one leaves behind.
//!
//! All of it is one element of one map, mapped into the daemon's memory: the program looks it up
//! once for a packet, and the daemon changes each word of it in one instruction, so that no packet
//! sees half of a change.

use crate::{
    interface::{TABLE_SIZE, index},
    layout::assert_layout,
};

/// Interface names that can be told apart.
pub const MAX_SLOTS: usize = 256;
/// Longest interface name with the zero behind it, as the kernel has it.
pub const NAME_SIZE: usize = 16;

/// The element of the map.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Control {
    /// The announced change of epoch, see [`crate::epoch::EpochSwitch::to_word`].
    pub switch: u64,
    /// What each of the two sets of maps holds. Only daemons look at it.
    pub held: [Held; 2],
    /// The interface name of each slot, filled up with zeroes. Only daemons look at it.
    pub names: [[u8; NAME_SIZE]; MAX_SLOTS],
    /// The interfaces that are counted, by [`crate::interface::index`], see
    /// [`crate::interface::Interface::to_word`].
    pub interfaces: [u64; TABLE_SIZE],
}

/// What a set of maps holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Held {
    /// The number of its epoch, counted from one; zero where it holds nothing.
    pub epoch: u64,
    /// When that epoch began, nanoseconds of the kernel's monotonic clock.
    pub opened_ns: u64,
}

assert_layout!(Held, size 16, {
    epoch: u64 => 0,
    opened_ns: u64 => 8,
});

assert_layout!(Control, size 528_424, {
    switch: u64 => 0,
    held: [Held; 2] => 8,
    names: [[u8; NAME_SIZE]; MAX_SLOTS] => 40,
    interfaces: [u64; TABLE_SIZE] => 4136,
});

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
