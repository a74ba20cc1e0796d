//! The packet parser: from the bytes of an IP packet to what a flow row says of it.
//!
//! It is pure: the packet is an argument, so that the kernel program, the host tests and the
//! fuzzers run the same code. It never reads past the transport header.
//!
//! What it holds to, wherever packets leave room for opinion:
//!
//! * The IP version is what the packet's first nibble says, and it must agree with the link layer.
//! * Bytes are the smaller of the IP length and what is there: padding does not count and a
//!   length that lies does not either. An IP length of zero stands for a packet too large for the
//!   field (BIG TCP, RFC 2675): then what is there counts.
//! * Headers are looked for inside those bytes only, never in padding.
//! * Whatever has two readable addresses is a flow. Only a header without them is malformed.

mod header;
mod ipv4;
mod ipv6;
mod transport;

use transport::SCTP;

pub use header::{FirstByte, Header, LinkHeader, VlanTag};
pub use ipv4::{parse as parse_ipv4, parse_plain as parse_plain_ipv4};
pub use ipv6::{
    is_jumbo, parse as parse_ipv6, parse_plain as parse_plain_ipv6, take_out_jumbo_option,
};

/// A packet from its IP header on.
pub trait Packet {
    /// The header at this many bytes after the start of the IP header, or `None` where the packet
    /// ends before it.
    fn read<H: Header>(&self, offset: u32) -> Option<H>;

    /// Bytes from the IP header on, with padding.
    fn len(&self) -> u32;

    /// Whether nothing follows the link-layer header.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The IP header is cut or contradicts itself, so that it has no readable addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a flow row says of an IP packet; `A` is the size of an address in bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Datagram<const A: usize> {
    /// Source address, network order.
    pub source: [u8; A],
    /// Destination address, network order.
    pub destination: [u8; A],
    /// Bytes on the wire from the IP header on, as one packet.
    pub bytes: u32,
    /// Bytes of the IP header and its extension headers.
    pub header_bytes: u32,
    /// What follows the IP header.
    pub transport: Transport,
    /// Whether it is a part of a packet.
    pub fragment: Fragment,
}

/// Whether a datagram is a part of a packet.
///
/// A struct, since the verifier wants every byte of it written whatever the part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Which part it is.
    pub part: Part,
    /// Common to all parts of a packet, network order; zero where it is whole.
    pub identification: [u8; 4],
}

/// Which part of a packet a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// All of it.
    Whole = 0,
    /// The part that has the transport header.
    First = 1,
    /// A part without a transport header.
    Later = 2,
}

impl Fragment {
    /// No fragment.
    const WHOLE: Self = Self { part: Part::Whole, identification: [0; 4] };
}

/// What a flow row says of the transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// IP protocol number after extension headers.
    pub protocol: u8,
    /// Source port and destination port in network order; ICMP: type and code, twice.
    pub ports: [u8; 4],
    /// TCP flags; zero unless TCP.
    pub tcp_flags: u8,
    /// Reasons of [`crate::flow::partial`] why the row says less than the packet did.
    pub partial: u8,
    /// Bytes of the transport header, where segmentation repeats it; else zero.
    pub header_bytes: u8,
}

impl Transport {
    /// A protocol of which nothing more is known.
    #[inline(always)]
    #[must_use]
    const fn bare(protocol: u8, partial: u8) -> Self {
        Self { protocol, ports: [0; 4], tcp_flags: 0, partial, header_bytes: 0 }
    }

    /// Bytes of the transport header in each packet that a super-packet stands for. Only asked of
    /// those, so that other packets do not pay for it.
    #[inline(always)]
    #[must_use]
    pub const fn repeated_bytes(&self) -> u32 {
        // Of eight bytes ports are a half; SCTP has a checksum too.
        if self.protocol == SCTP && self.header_bytes != 0 { 12 } else { self.header_bytes as u32 }
    }
}

/// Packets and bytes on the wire of a packet that the kernel may have merged from several
/// (GRO) or will yet cut into several (GSO).
///
/// `segments` and `segment_payload` are the kernel's `gso_segs` and `gso_size`; some devices leave
/// the first one zero. Every segment carries `headers` of its own.
#[inline(always)]
#[must_use]
pub fn on_the_wire(bytes: u32, headers: u32, segments: u32, segment_payload: u32) -> (u64, u64) {
    if segment_payload == 0 {
        return (1, u64::from(bytes));
    }
    let segments = if segments != 0 {
        segments
    } else {
        bytes.saturating_sub(headers).div_ceil(segment_payload).max(1)
    };
    let repeated = u64::from(segments - 1) * u64::from(headers);
    (u64::from(segments), u64::from(bytes) + repeated)
}

#[cfg(test)]
mod tests;
