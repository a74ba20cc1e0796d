//! Transport headers: ports, TCP flags, ICMP type and code.

use super::{
    Packet, Transport,
    header::{Icmp, Ports, Tcp},
};
use crate::flow::partial;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DCCP: u8 = 33;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
pub(super) const UDP_LITE: u8 = 136;

/// Reads the transport header at `start`, of which nothing lies past `end`.
///
/// `icmp` is the protocol number of the ICMP that belongs to the IP version.
#[inline(always)]
pub(super) fn parse(
    packet: &impl Packet,
    protocol: u8,
    start: u32,
    end: u32,
    icmp: u8,
) -> Transport {
    let available = end.saturating_sub(start);
    match protocol {
        TCP if available >= 14 => packet.read::<Tcp>(start).map(|tcp| Transport {
            source_port: tcp.source.to_ne_bytes(),
            destination_port: tcp.destination.to_ne_bytes(),
            tcp_flags: tcp.flags,
            header_bytes: (tcp.data_offset >> 4) << 2,
            ..Transport::bare(protocol, 0)
        }),
        TCP | UDP | UDP_LITE | SCTP | DCCP if available >= 4 => {
            packet.read::<Ports>(start).map(|ports| Transport {
                source_port: ports.source.to_ne_bytes(),
                destination_port: ports.destination.to_ne_bytes(),
                // UDP is the only one of them that the kernel segments.
                header_bytes: 8,
                ..Transport::bare(protocol, 0)
            })
        }
        TCP | UDP | UDP_LITE | SCTP | DCCP => None,
        _ if protocol == icmp && available >= 2 => packet.read::<Icmp>(start).map(|header| {
            let type_and_code = [header.kind, header.code];
            Transport {
                source_port: type_and_code,
                destination_port: type_and_code,
                ..Transport::bare(protocol, 0)
            }
        }),
        _ if protocol == icmp => None,
        _ => Some(Transport::bare(protocol, 0)),
    }
    .unwrap_or(Transport::bare(protocol, partial::TRANSPORT_HEADER_CUT))
}
