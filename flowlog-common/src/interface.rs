//! Which network interfaces are counted.
//!
//! The daemon gives every interface that it counts a *slot*: a small number that stands for the
//! interface's name in flow keys and totals. A kernel index cannot do that, since it is given to
//! another interface once this one is gone.

use crate::layout::assert_layout;

/// Size of the table that turns a kernel index into a slot: an interface is looked up by the low
/// 16 bits of its index. Two interfaces whose indexes agree there cannot be counted at once; the
/// daemon refuses the second one.
pub const TABLE_SIZE: u32 = 1 << 16;

/// Position of an interface in the table.
#[inline(always)]
#[must_use]
pub const fn index(kernel_index: u32) -> u32 {
    kernel_index & (TABLE_SIZE - 1)
}

/// An entry of the table; a kernel index of zero means that no interface is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Interface {
    /// The kernel's index of the interface.
    pub kernel_index: u32,
    /// The slot that stands for it in keys and totals.
    pub slot: u16,
    /// Zero.
    pub reserved: u16,
}

assert_layout!(Interface, size 8, {
    kernel_index: u32 => 0,
    slot: u16 => 4,
    reserved: u16 => 6,
});
