//! IPv6 (RFC 8200) and the walk over its extension headers.

use super::{
    Datagram, Fragment, Malformed, Packet, Part, Transport,
    header::{Extension, Ipv6},
    transport::{self, ICMPV6},
};
use crate::flow::partial;

const HEADER_BYTES: u32 = 40;
const VERSION_MASK: u32 = 0xf000_0000_u32.to_be();
const VERSION: u32 = 0x6000_0000_u32.to_be();
/// What the length in the header can say at most.
const LARGEST: u32 = HEADER_BYTES + 0xffff;
/// The hop-by-hop header with nothing but the jumbo-payload option (RFC 2675).
const JUMBO_BYTES: u32 = 8;
/// Kind and length of that option, as they lie in the packet.
const JUMBO_OPTION: u16 = u16::from_ne_bytes([0xc2, 4]);
/// Extension headers walked before the transport header is given up.
const MAX_EXTENSIONS: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;

const FRAGMENT_OFFSET_MASK: u16 = 0xfff8;
const MORE_FRAGMENTS: u16 = 1;

/// Reads an IPv6 packet whose version nibble was already checked.
#[inline(always)]
pub fn parse(packet: &impl Packet) -> Result<Datagram<16>, Malformed> {
    let header = packet.read::<Ipv6>(0).ok_or(Malformed)?;
    let bytes = datagram_bytes(&header, packet.len());
    let chain = if is_extension(header.next_header) {
        behind_extensions(packet, header.next_header, bytes)
    } else {
        behind_header(packet, &header, bytes)
    };
    Ok(datagram(&header, bytes, &chain))
}

/// As [`parse`] for what nearly all packets are, without extension headers; `None` for all others.
#[inline(always)]
pub fn parse_plain(packet: &impl Packet) -> Option<Datagram<16>> {
    let header = packet.read::<Ipv6>(0)?;
    if header.version_class_label & VERSION_MASK != VERSION || is_extension(header.next_header) {
        return None;
    }
    let bytes = datagram_bytes(&header, packet.len());
    let chain = behind_header(packet, &header, bytes);
    if chain.transport.partial != 0 {
        return None;
    }
    Some(datagram(&header, bytes, &chain))
}

#[inline(always)]
fn behind_header(packet: &impl Packet, header: &Ipv6, bytes: u32) -> Chain {
    let transport = transport::parse(packet, header.next_header, HEADER_BYTES, bytes, ICMPV6);
    Chain { transport, header_bytes: HEADER_BYTES, fragment: Fragment::WHOLE }
}

#[inline(always)]
fn datagram(header: &Ipv6, bytes: u32, chain: &Chain) -> Datagram<16> {
    Datagram {
        source: address(header.source),
        destination: address(header.destination),
        bytes,
        header_bytes: chain.header_bytes,
        transport: chain.transport,
        fragment: chain.fragment,
    }
}

/// The IP length, or what is there where that is less, or where the length says zero although a
/// payload follows (46 bytes: the least payload of an Ethernet frame, which may all be padding).
#[inline(always)]
fn datagram_bytes(header: &Ipv6, there: u32) -> u32 {
    let payload = u32::from(u16::from_be(header.payload_length));
    if payload == 0 && header.next_header != NO_NEXT_HEADER && there > 46 {
        there
    } else {
        (HEADER_BYTES + payload).min(there)
    }
}

/// Whether a packet is too large for its length field.
#[inline(always)]
pub const fn is_jumbo(datagram: &Datagram<16>) -> bool {
    datagram.bytes > LARGEST
}

/// Takes out of such a super-packet what no packet on the wire has: Linux puts the jumbo-payload
/// option into it (BIG TCP), and removes it when it cuts it.
#[inline(always)]
pub fn take_out_jumbo_option(packet: &impl Packet, super_packet: &mut Datagram<16>) {
    if begins_with_jumbo_option(packet) {
        super_packet.bytes -= JUMBO_BYTES;
        super_packet.header_bytes -= JUMBO_BYTES;
    }
}

#[inline(always)]
fn begins_with_jumbo_option(packet: &impl Packet) -> bool {
    let is_hop_by_hop =
        packet.read::<Ipv6>(0).is_some_and(|header| header.next_header == HOP_BY_HOP);
    is_hop_by_hop
        && packet
            .read::<Extension>(HEADER_BYTES)
            .is_some_and(|extension| extension.length == 0 && extension.fragment == JUMBO_OPTION)
}

/// What the chain of headers behind the IP header says.
struct Chain {
    transport: Transport,
    /// Where the transport header begins.
    header_bytes: u32,
    fragment: Fragment,
}

/// Finds the transport header behind extension headers.
///
/// Apart from the hot path: few packets have extension headers, and the walk is long.
#[inline(never)]
fn behind_extensions(packet: &impl Packet, first: u8, end: u32) -> Chain {
    let walk = walk_extensions(packet, first, end);
    let transport = if walk.partial == 0 && walk.protocol != MOBILITY {
        transport::parse(packet, walk.protocol, walk.offset, end, ICMPV6)
    } else {
        Transport::bare(walk.protocol, walk.partial)
    };
    Chain { transport, header_bytes: walk.offset, fragment: walk.fragment }
}

/// Where the walk over the extension headers ended.
struct EndOfWalk {
    /// The next header at which it ended.
    protocol: u8,
    /// Where that header begins.
    offset: u32,
    /// Reasons of [`partial`] to look no further.
    partial: u8,
    fragment: Fragment,
}

#[inline(always)]
fn walk_extensions(packet: &impl Packet, first: u8, end: u32) -> EndOfWalk {
    let mut walk =
        EndOfWalk { protocol: first, offset: HEADER_BYTES, partial: 0, fragment: Fragment::WHOLE };
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(walk.protocol) {
            return walk;
        }
        let Some(extension) = extension_at(packet, walk.offset, end) else {
            walk.partial = partial::TRANSPORT_HEADER_CUT;
            return walk;
        };
        let length = match walk.protocol {
            FRAGMENT => 8,
            // A mobility message ends the chain, and is a protocol of its own (RFC 6275 §6.1.1).
            MOBILITY if extension.next_header == NO_NEXT_HEADER => return walk,
            AUTHENTICATION => (u32::from(extension.length) + 2) << 2,
            _ => (u32::from(extension.length) + 1) << 3,
        };
        if walk.offset + length > end {
            walk.partial = partial::TRANSPORT_HEADER_CUT;
            return walk;
        }
        if walk.protocol == FRAGMENT {
            walk.fragment = fragment(&extension, walk.fragment);
        }
        walk.protocol = extension.next_header;
        walk.offset += length;
        if walk.fragment.part == Part::Later {
            walk.partial = partial::FRAGMENT_WITHOUT_FIRST;
            return walk;
        }
    }
    if is_extension(walk.protocol) {
        walk.partial = partial::TRANSPORT_HEADER_CUT;
    }
    walk
}

/// What a fragment header says; one that neither cuts nor continues a packet says nothing
/// (RFC 6946).
#[inline(always)]
fn fragment(header: &Extension, otherwise: Fragment) -> Fragment {
    let offset_and_flag = u16::from_be(header.fragment);
    let identification = header.identification.to_ne_bytes();
    if offset_and_flag & FRAGMENT_OFFSET_MASK != 0 {
        Fragment { part: Part::Later, identification }
    } else if offset_and_flag & MORE_FRAGMENTS != 0 {
        Fragment { part: Part::First, identification }
    } else {
        otherwise
    }
}

#[inline(always)]
fn extension_at(packet: &impl Packet, offset: u32, end: u32) -> Option<Extension> {
    if offset + 8 > end {
        return None;
    }
    packet.read::<Extension>(offset)
}

#[inline(always)]
const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS | MOBILITY
    )
}

#[inline(always)]
fn address(words: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (chunks, _) = bytes.as_chunks_mut::<4>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_ne_bytes();
    }
    bytes
}
