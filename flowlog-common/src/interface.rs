//! Which network interfaces are counted.
//!
//! The daemon gives every interface that it counts a *slot*: a small number that stands for the
//! interface's name in flow keys and totals. A kernel index cannot do that, since it is given to
//! another interface once this one is gone.

/// Size of the table that turns a kernel index into a slot: an interface is looked up by the low
/// 16 bits of its index. Two interfaces whose indexes agree there cannot be counted at once; the
/// daemon refuses the second one.
pub const TABLE_SIZE: usize = 1 << 16;

/// Position of an interface in the table.
#[inline(always)]
#[must_use]
pub const fn index(kernel_index: u32) -> usize {
    kernel_index as usize & (TABLE_SIZE - 1)
}

/// An entry of the table; a kernel index of zero means that no interface is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's index of the interface.
    pub kernel_index: u32,
    /// The slot that stands for it in keys and totals.
    pub slot: u16,
}

impl Interface {
    /// The entry in one word, so that it is read and written in one instruction.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.kernel_index as u64 | (self.slot as u64) << 32
    }

    /// The entry that a word of the table means.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
    pub const fn from_word(word: u64) -> Self {
        Self { kernel_index: word as u32, slot: (word >> 32) as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_through_a_word_unchanged() {
        for interface in [
            Interface::default(),
            Interface { kernel_index: 7, slot: 255 },
            Interface { kernel_index: u32::MAX, slot: u16::MAX },
        ] {
            assert_eq!(Interface::from_word(interface.to_word()), interface);
        }
    }
}
