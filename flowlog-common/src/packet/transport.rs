//! Transport headers: ports, TCP flags, ICMP type and code.

use super::{
    Packet, Transport,
    header::{Header, Icmp, Ports, TcpFlags},
};
use crate::flow::partial;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const DCCP: u8 = 33;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
pub(super) const UDP_LITE: u8 = 136;

/// Where the flags of a TCP header end.
const TCP_FLAGS_END: u32 = 14;

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
    let cut = Transport::bare(protocol, partial::TRANSPORT_HEADER_CUT);
    match protocol {
        TCP | UDP | UDP_LITE | SCTP | DCCP => {
            let Some(Ports { ports }) = read_within(packet, start, 4, end) else {
                return cut;
            };
            let ports = ports.to_ne_bytes();
            // Where less of TCP is there, its ports still are.
            if protocol != TCP || start + TCP_FLAGS_END > end {
                // What SCTP has more, `Transport::repeated_bytes` knows.
                return Transport { ports, header_bytes: 8, ..Transport::bare(protocol, 0) };
            }
            let Some(TcpFlags { data_offset, flags }) = packet.read(start + TCP_FLAGS_END - 2)
            else {
                return cut;
            };
            let header_bytes = (data_offset >> 4) << 2;
            Transport { protocol, ports, tcp_flags: flags, partial: 0, header_bytes }
        }
        _ if protocol == icmp => match read_within(packet, start, 2, end) {
            Some(Icmp { kind, code }) => {
                let ports = [kind, code, kind, code];
                Transport { ports, ..Transport::bare(protocol, 0) }
            }
            None => cut,
        },
        _ => Transport::bare(protocol, 0),
    }
}

/// A header of this many bytes, if it lies wholly before `end`.
#[inline(always)]
fn read_within<H: Header>(packet: &impl Packet, start: u32, bytes: u32, end: u32) -> Option<H> {
    if start + bytes > end {
        return None;
    }
    packet.read(start)
}
