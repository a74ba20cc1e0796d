//! IPv4 (RFC 791).

use super::{
    Datagram, Fragment, Malformed, Packet, Part, Transport,
    header::Ipv4,
    transport::{self, ICMP},
};
use crate::flow::partial;

const OFFSET_MASK: u16 = 0x1fff;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Version 4 and a header of 20 bytes.
const WITHOUT_OPTIONS: u8 = 0x45;

/// Reads an IPv4 packet whose version nibble was already checked.
#[inline(always)]
pub fn parse(packet: &impl Packet) -> Result<Datagram<4>, Malformed> {
    let header = packet.read::<Ipv4>(0).ok_or(Malformed)?;
    let header_bytes = u32::from(header.version_ihl & 0x0f) << 2;
    if header_bytes < 20 {
        return Err(Malformed);
    }
    behind_header(packet, &header, header_bytes)
}

/// As [`parse`] for what nearly all packets are, without options and whole; `None` for all others.
#[inline(always)]
pub fn parse_plain(packet: &impl Packet) -> Option<Datagram<4>> {
    let header = packet.read::<Ipv4>(0)?;
    if header.version_ihl != WITHOUT_OPTIONS || fragment(&header).part != Part::Whole {
        return None;
    }
    match behind_header(packet, &header, 20) {
        Ok(datagram) if datagram.transport.partial == 0 => Some(datagram),
        _ => None,
    }
}

#[inline(always)]
fn behind_header(
    packet: &impl Packet,
    header: &Ipv4,
    header_bytes: u32,
) -> Result<Datagram<4>, Malformed> {
    let there = packet.len();
    let bytes = match u32::from(u16::from_be(header.total_length)) {
        0 => there,
        said if said < header_bytes => return Err(Malformed),
        said => said.min(there),
    };
    let fragment = fragment(header);
    let transport = if fragment.part == Part::Later {
        Transport::bare(header.protocol, partial::FRAGMENT_WITHOUT_FIRST)
    } else {
        transport::parse(packet, header.protocol, header_bytes, bytes, ICMP)
    };
    Ok(Datagram {
        source: header.source.to_ne_bytes(),
        destination: header.destination.to_ne_bytes(),
        bytes,
        header_bytes,
        transport,
        fragment,
    })
}

#[inline(always)]
fn fragment(header: &Ipv4) -> Fragment {
    let flags_and_offset = u16::from_be(header.fragment);
    if flags_and_offset & (OFFSET_MASK | MORE_FRAGMENTS) == 0 {
        return Fragment::WHOLE;
    }
    let [a, b] = header.identification.to_ne_bytes();
    let part = if flags_and_offset & OFFSET_MASK == 0 { Part::First } else { Part::Later };
    Fragment { part, identification: [0, 0, a, b] }
}
