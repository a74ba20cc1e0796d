//! Which of the two sets of maps a packet goes to.
//!
//! The daemon announces the next change of epoch before it is due, and the kernel program compares
//! each packet's own time with it. So an epoch ends at an exact instant of the kernel's clock,
//! however late the daemon wakes up, and no flow row ever crosses the border of its window.

/// An announced change of epoch, in one word so that it is read and written in one instruction.
///
/// Before `switch_at` the packets go to `epoch`, from then on to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochSwitch(u64);

impl EpochSwitch {
    /// A change that never comes: everything goes to `epoch`.
    #[must_use]
    pub const fn never(epoch: u32) -> Self {
        Self::at(u64::MAX, epoch)
    }

    /// Packets go to `epoch` until `switch_at_ns` of the kernel's monotonic clock.
    ///
    /// The instant is rounded down to an even nanosecond.
    #[must_use]
    pub const fn at(switch_at_ns: u64, epoch: u32) -> Self {
        Self((switch_at_ns & !1) | (epoch & 1) as u64)
    }

    /// The word as the kernel map holds it.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// The switch that a word of the kernel map means.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The epoch of a packet seen at `now_ns`.
    #[inline(always)]
    #[must_use]
    pub const fn epoch_at(self, now_ns: u64) -> u32 {
        let before = (self.0 & 1) as u32;
        before ^ (now_ns >= self.switch_at_ns()) as u32
    }

    /// When the epoch changes, nanoseconds of the kernel's monotonic clock.
    #[inline(always)]
    #[must_use]
    pub const fn switch_at_ns(self) -> u64 {
        self.0 & !1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_changes_at_the_announced_instant() {
        for epoch in 0..2 {
            let switch = EpochSwitch::at(1_000, epoch);
            assert_eq!(switch.epoch_at(999), epoch);
            assert_eq!(switch.epoch_at(1_000), epoch ^ 1);
            assert_eq!(switch.epoch_at(u64::MAX), epoch ^ 1);
        }
    }

    #[test]
    fn announcing_the_next_change_after_one_moves_no_packet() {
        let switch = EpochSwitch::at(1_000, 0);
        let next = EpochSwitch::at(2_000, 1);
        for now in 1_000..2_000 {
            assert_eq!(switch.epoch_at(now), next.epoch_at(now));
        }
    }

    #[test]
    fn a_switch_that_never_comes_stays_in_its_epoch() {
        assert_eq!(EpochSwitch::never(1).epoch_at(u64::MAX - 2), 1);
        assert_eq!(EpochSwitch::from_word(EpochSwitch::never(0).to_word()).epoch_at(5), 0);
    }
}
