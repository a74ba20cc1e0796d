//! IPv4 (RFC 791).

use super::{
    Datagram, Malformed, Packet, Transport,
    header::Ipv4,
    transport::{self, ICMP},
};
use crate::flow::partial;

const OFFSET_MASK: u16 = 0x1fff;

/// Reads an IPv4 packet whose version nibble was already checked.
#[inline(always)]
pub fn parse(packet: &impl Packet) -> Result<Datagram<4>, Malformed> {
    let header = packet.read::<Ipv4>(0).ok_or(Malformed)?;
    let header_bytes = u32::from(header.version_ihl & 0x0f) << 2;
    if header_bytes < 20 {
        return Err(Malformed);
    }
    let there = packet.len();
    let bytes = match u32::from(u16::from_be(header.total_length)) {
        0 => there,
        said if said < header_bytes => return Err(Malformed),
        said => said.min(there),
    };
    let transport = if u16::from_be(header.fragment) & OFFSET_MASK == 0 {
        transport::parse(packet, header.protocol, header_bytes, bytes, ICMP)
    } else {
        Transport::bare(header.protocol, partial::FRAGMENT_WITHOUT_FIRST)
    };
    Ok(Datagram {
        source: header.source.to_ne_bytes(),
        destination: header.destination.to_ne_bytes(),
        bytes,
        header_bytes,
        transport,
    })
}
