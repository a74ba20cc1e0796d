//! Where a packet was met: which interface, which way, in which epoch.

use aya_ebpf::{helpers::bpf_ktime_get_coarse_ns, programs::TcContext};
use flowlog_common::{
    control::Control,
    epoch::EpochSwitch,
    flow::Direction,
    interface::Interface,
    total::{self, Totals},
};

use crate::maps::{CONTROL, TOTALS};

/// What is fixed for a packet before it is looked at.
pub struct Hook {
    pub interface: u16,
    pub direction: Direction,
    pub epoch: u32,
    pub now_ns: u64,
    totals: *mut Totals,
}

impl Hook {
    /// `None` where the daemon does not count this interface.
    #[inline(always)]
    pub fn find(ctx: &TcContext, direction: Direction) -> Option<Self> {
        // SAFETY: the context of a TC program is a valid `__sk_buff`.
        let kernel_index = unsafe { (*ctx.skb.skb).ifindex };
        let control = CONTROL.get_ptr_mut(0)?;
        // SAFETY: an element of the map, of which the daemon writes each word in one instruction.
        let counted = unsafe { Control::interface(control, kernel_index).read_volatile() };
        let counted = Interface::from_word(counted);
        if counted.kernel_index != kernel_index {
            return None;
        }
        // The switch is read before the clock: who still reads the old switch decides by the
        // clock, and the daemon writes the new one only once the clock has passed the old.
        // SAFETY: as above.
        let switch = EpochSwitch::from_word(unsafe { Control::switch(control).read_volatile() });
        // SAFETY: a helper without arguments.
        let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
        let epoch = switch.epoch_at(now_ns);
        let totals = TOTALS.get_ptr_mut(total::index(counted.slot, direction, epoch))?;
        Some(Self { interface: counted.slot, direction, epoch, now_ns, totals })
    }

    /// The totals of this CPU.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "the totals are of this CPU and outlive the hook")]
    pub fn totals(&self) -> &mut Totals {
        // SAFETY: an element of a per-CPU map, which nothing else uses while this program runs.
        unsafe { &mut *self.totals }
    }

    #[inline(always)]
    pub fn count_malformed(&self, bytes: u32) {
        let totals = self.totals();
        totals.seen.add(1, u64::from(bytes));
        totals.malformed.add(1, u64::from(bytes));
    }

    #[inline(always)]
    pub fn count_not_ip(&self, bytes: u32) {
        let totals = self.totals();
        totals.seen.add(1, u64::from(bytes));
        totals.not_ip.add(1, u64::from(bytes));
    }
}
