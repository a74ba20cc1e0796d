//! Fragments: what is remembered of a first fragment, so that the later ones have its ports.

use crate::layout::assert_layout;

/// Which packet a fragment is a part of; `A` is the size of an address in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct FragmentKey<const A: usize> {
    /// Source address, network order.
    pub source: [u8; A],
    /// Destination address, network order.
    pub destination: [u8; A],
    /// Common to all fragments of a packet, network order.
    pub identification: [u8; 4],
    /// Slot of the interface.
    pub interface: u16,
    /// IPv4: protocol, which is part of the identity; IPv6: zero, since each fragment has its own.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// Which IPv4 packet a fragment is a part of.
pub type FragmentKeyV4 = FragmentKey<4>;
/// Which IPv6 packet a fragment is a part of.
pub type FragmentKeyV6 = FragmentKey<16>;

assert_layout!(FragmentKeyV4, size 16, {
    source: [u8; 4] => 0,
    destination: [u8; 4] => 4,
    identification: [u8; 4] => 8,
    interface: u16 => 12,
    protocol: u8 => 14,
    reserved: u8 => 15,
});

assert_layout!(FragmentKeyV6, size 40, {
    source: [u8; 16] => 0,
    destination: [u8; 16] => 16,
    identification: [u8; 4] => 32,
    interface: u16 => 36,
    protocol: u8 => 38,
    reserved: u8 => 39,
});

/// What the first fragment said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FirstFragment {
    /// When it was seen, nanoseconds of the kernel's coarse monotonic clock.
    pub seen_ns: u64,
    /// Source and destination port in network order; ICMP: type and code, twice.
    pub ports: [u8; 4],
    /// IP protocol number after extension headers.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

assert_layout!(FirstFragment, size 16, {
    seen_ns: u64 => 0,
    ports: [u8; 4] => 8,
    protocol: u8 => 12,
    reserved: [u8; 3] => 13,
});

/// For how long the later fragments of a packet may follow: identifications come round again.
pub const TIMEOUT_NS: u64 = 30_000_000_000;
