//! Totals: the counters that every packet of an interface is in, whatever became of it.
//!
//! They are the left-hand side of the conservation law that the ledger keeps:
//! `seen = flow rows + overflow rows + remainder + not IP + malformed + excluded`, for packets and for
//! bytes.

use crate::{flow::Direction, layout::assert_layout};

/// Packets and their bytes on the wire from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// Packets on the wire.
    pub packets: u64,
    /// Bytes on the wire, without the link-layer header.
    pub bytes: u64,
}

assert_layout!(Count, size 16, {
    packets: u64 => 0,
    bytes: u64 => 8,
});

impl Count {
    /// Adds another count to this one.
    #[inline(always)]
    pub const fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// Totals of one interface, direction and epoch, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Totals {
    /// Every packet that the hook saw.
    pub seen: Count,
    /// Neither IPv4 nor IPv6 by their link-layer type (ARP, LLC, …).
    pub not_ip: Count,
    /// The IP header is cut or contradicts itself.
    pub malformed: Count,
    /// Left out by the capture policy.
    pub excluded: Count,
    /// Neither the flow map nor the overflow map had room.
    pub remainder: Count,
    /// Later fragments whose first one was not seen; they are in flow rows too.
    pub fragments_without_first: Count,
}

assert_layout!(Totals, size 96, {
    seen: Count => 0,
    not_ip: Count => 16,
    malformed: Count => 32,
    excluded: Count => 48,
    remainder: Count => 64,
    fragments_without_first: Count => 80,
});

impl Totals {
    /// Adds the totals of another CPU or epoch to these.
    pub const fn add(&mut self, other: &Self) {
        // Destructured, so that a new counter cannot be forgotten.
        let Self { seen, not_ip, malformed, excluded, remainder, fragments_without_first } = other;
        self.seen.add(seen.packets, seen.bytes);
        self.not_ip.add(not_ip.packets, not_ip.bytes);
        self.malformed.add(malformed.packets, malformed.bytes);
        self.excluded.add(excluded.packets, excluded.bytes);
        self.remainder.add(remainder.packets, remainder.bytes);
        self.fragments_without_first
            .add(fragments_without_first.packets, fragments_without_first.bytes);
    }
}

/// Index of an interface's totals in the per-CPU array.
#[inline(always)]
#[must_use]
pub const fn index(interface: u16, direction: Direction, epoch: u32) -> u32 {
    // Bit operations rather than arithmetic let the verifier see that the index stays small.
    ((interface as u32) << 2) | ((direction as u32) << 1) | (epoch & 1)
}

/// Number of totals needed for this many interface slots.
#[must_use]
pub const fn table_size(interfaces: u16) -> u32 {
    (interfaces as u32) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_direction_and_epoch_has_totals_of_its_own() {
        let mut seen = [false; 12];
        for interface in 0..3 {
            for direction in Direction::ALL {
                for epoch in 0..2 {
                    let index = index(interface, direction, epoch);
                    assert!(index < table_size(3));
                    assert!(!core::mem::replace(&mut seen[index as usize], true));
                }
            }
        }
        assert_eq!(seen, [true; 12]);
    }
}
