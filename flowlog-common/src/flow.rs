//! Flow keys and counters: one entry per conversation seen from the member's side
//! (the perimeter biflow of RFC 5103).

use crate::layout::assert_layout;

/// Which way a packet crosses the VPN interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// From the member: TC ingress.
    Up = 0,
    /// To the member: TC egress.
    Down = 1,
}

impl Direction {
    /// Both directions, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Up, Self::Down];
}

/// Key of a flow; `A` is the size of an address in bytes.
///
/// ICMP has no ports: type and code are the two bytes of both port fields, in either direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
// Aligned so that the kernel program copies and hashes it by words.
#[repr(C, align(8))]
pub struct FlowKey<const A: usize> {
    /// Address behind the VPN interface, network order.
    pub member: [u8; A],
    /// Address on the other side, network order.
    pub remote: [u8; A],
    /// Port of the member, network order; zero where the protocol has none.
    pub member_port: [u8; 2],
    /// Port of the remote side, network order; zero where the protocol has none.
    pub remote_port: [u8; 2],
    /// Slot of the interface, see [`crate::interface`].
    pub interface: u16,
    /// IP protocol number after extension headers.
    pub protocol: u8,
    /// How much the entry tells apart, see [`detail`].
    pub detail: u8,
}

/// How much an entry tells apart.
pub mod detail {
    /// One conversation.
    pub const FULL: u8 = 0;
    /// All that a member did by one protocol and that had no room; remote address and ports are
    /// zero.
    pub const OVERFLOW: u8 = 1;
    /// All that a member did from one port, with whomever; remote address and port are zero.
    pub const WITHOUT_REMOTE: u8 = 2;
}

/// Key of an IPv4 flow.
pub type FlowKeyV4 = FlowKey<4>;
/// Key of an IPv6 flow.
pub type FlowKeyV6 = FlowKey<16>;

assert_layout!(FlowKeyV4, size 16, {
    member: [u8; 4] => 0,
    remote: [u8; 4] => 4,
    member_port: [u8; 2] => 8,
    remote_port: [u8; 2] => 10,
    interface: u16 => 12,
    protocol: u8 => 14,
    detail: u8 => 15,
});

assert_layout!(FlowKeyV6, size 40, {
    member: [u8; 16] => 0,
    remote: [u8; 16] => 16,
    member_port: [u8; 2] => 32,
    remote_port: [u8; 2] => 34,
    interface: u16 => 36,
    protocol: u8 => 38,
    detail: u8 => 39,
});

/// What was counted for one flow in one epoch.
///
/// Times are nanoseconds of the kernel's coarse monotonic clock, whose step is a jiffy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowCounters {
    /// IP packets on the wire from the member.
    pub packets_up: u64,
    /// IP bytes on the wire from the member.
    pub bytes_up: u64,
    /// IP packets on the wire to the member.
    pub packets_down: u64,
    /// IP bytes on the wire to the member.
    pub bytes_down: u64,
    /// When the first packet was seen.
    pub first_ns: u64,
    /// When the last packet was seen.
    pub last_ns: u64,
    /// What the packets had in common: see the `marks` functions.
    pub marks: u64,
}

assert_layout!(FlowCounters, size 56, {
    packets_up: u64 => 0,
    bytes_up: u64 => 8,
    packets_down: u64 => 16,
    bytes_down: u64 => 24,
    first_ns: u64 => 32,
    last_ns: u64 => 40,
    marks: u64 => 48,
});

impl FlowCounters {
    /// OR of the TCP flags from the member.
    #[must_use]
    pub const fn tcp_flags_up(&self) -> u8 {
        self.marks.to_le_bytes()[0]
    }

    /// OR of the TCP flags to the member.
    #[must_use]
    pub const fn tcp_flags_down(&self) -> u8 {
        self.marks.to_le_bytes()[1]
    }

    /// OR of the [`partial`] reasons of the flow's packets.
    #[must_use]
    pub const fn partial(&self) -> u8 {
        self.marks.to_le_bytes()[2]
    }

    /// Who sent the first packet: [`Direction::Up`] is the member.
    #[must_use]
    pub const fn initiator(&self) -> Direction {
        if self.marks & marks::REMOTE_INITIATED == 0 { Direction::Up } else { Direction::Down }
    }
}

/// The word that a flow's packets are OR-ed into, so that one atomic instruction keeps it exact:
/// TCP flags up, TCP flags down, partial reasons, and in the fourth byte who began.
pub mod marks {
    use super::Direction;

    /// Set when the first packet of the flow was sent to the member.
    pub const REMOTE_INITIATED: u64 = 1 << 24;

    /// Marks of a packet with these TCP flags and [`super::partial`] reasons.
    #[inline(always)]
    #[must_use]
    pub const fn of_packet(direction: Direction, tcp_flags: u8, partial: u8) -> u64 {
        match direction {
            Direction::Up => u64::from_le_bytes([tcp_flags, 0, partial, 0, 0, 0, 0, 0]),
            Direction::Down => u64::from_le_bytes([0, tcp_flags, partial, 0, 0, 0, 0, 0]),
        }
    }

    /// Marks of who began, set when the flow is created.
    #[inline(always)]
    #[must_use]
    pub const fn of_initiator(direction: Direction) -> u64 {
        match direction {
            Direction::Up => 0,
            Direction::Down => REMOTE_INITIATED,
        }
    }
}

/// Why a flow row says less than the packets did.
pub mod partial {
    /// The flow map was full; only the member and the protocol are known.
    pub const OVERFLOW: u8 = 1;
    /// A later fragment whose first one was not seen: its ports are unknown.
    pub const FRAGMENT_WITHOUT_FIRST: u8 = 2;
    /// The transport header, or the chain of extension headers before it, is not all there.
    pub const TRANSPORT_HEADER_CUT: u8 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_key_has_the_bytes_that_the_kernel_hashes() {
        let key = FlowKeyV4 {
            member: [10, 0, 0, 7],
            remote: [192, 0, 2, 1],
            member_port: 40000_u16.to_be_bytes(),
            remote_port: 443_u16.to_be_bytes(),
            interface: 1,
            protocol: 6,
            detail: detail::FULL,
        };
        // SAFETY: the layout assertion leaves no padding.
        let bytes: [u8; 16] = unsafe { core::mem::transmute(key) };
        let interface = 1_u16.to_ne_bytes();
        assert_eq!(
            bytes,
            [10, 0, 0, 7, 192, 0, 2, 1, 0x9c, 0x40, 0x01, 0xbb, interface[0], interface[1], 6, 0]
        );
    }

    #[test]
    fn marks_keep_the_two_directions_and_the_reasons_apart() {
        let mut counters =
            FlowCounters { marks: marks::of_initiator(Direction::Down), ..FlowCounters::default() };
        counters.marks |= marks::of_packet(Direction::Up, 0x02, 0);
        counters.marks |= marks::of_packet(Direction::Down, 0x12, partial::TRANSPORT_HEADER_CUT);
        assert_eq!(counters.tcp_flags_up(), 0x02);
        assert_eq!(counters.tcp_flags_down(), 0x12);
        assert_eq!(counters.partial(), partial::TRANSPORT_HEADER_CUT);
        assert_eq!(counters.initiator(), Direction::Down);
    }
}
