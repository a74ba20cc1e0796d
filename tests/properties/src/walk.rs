//! Where the transport header is, once more: on slices, in the order of the RFCs' sentences, and
//! with no thought of a verifier.

use flowlog_common::packet::{Fragment, Part};

/// Extension headers that are walked: hop-by-hop, routing, fragment, authentication, destination
/// options, mobility.
const EXTENSIONS: [u8; 6] = [0, 43, FRAGMENT, AUTHENTICATION, 60, MOBILITY];
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const MOBILITY: u8 = 135;
const NO_NEXT_HEADER: u8 = 59;
const MOST_EXTENSIONS: usize = 8;

/// Where the headers before the transport header end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) protocol: u8,
    pub(crate) start: usize,
    pub(crate) fragment: Fragment,
    /// Whether there is another header before the transport header, which cannot be walked.
    pub(crate) is_cut: bool,
}

/// The end of the header of an IPv4 packet (RFC 791).
pub(crate) fn ipv4(datagram: &[u8]) -> End {
    let flags_and_offset = u16::from_be_bytes([datagram[6], datagram[7]]);
    let identification = [0, 0, datagram[4], datagram[5]];
    End {
        protocol: datagram[9],
        start: usize::from(datagram[0] % 16) * 4,
        fragment: fragment(
            flags_and_offset % 0x2000,
            flags_and_offset & 0x2000 != 0,
            identification,
            whole(),
        ),
        is_cut: false,
    }
}

/// The end of the chain of headers of an IPv6 packet (RFC 8200, 4302, 6275).
pub(crate) fn ipv6(datagram: &[u8]) -> End {
    let (mut protocol, mut rest, mut parts) = (datagram[6], &datagram[40..], whole());
    let end = |protocol, rest: &[u8], fragment, is_cut| End {
        protocol,
        start: datagram.len() - rest.len(),
        fragment,
        is_cut,
    };
    for _ in 0..MOST_EXTENSIONS {
        if !EXTENSIONS.contains(&protocol) || parts.part == Part::Later {
            break;
        }
        let Some([following, length, high, low, identification @ ..]) = rest.first_chunk::<8>()
        else {
            return end(protocol, rest, parts, true);
        };
        let length = match protocol {
            FRAGMENT => 8,
            MOBILITY if *following == NO_NEXT_HEADER => return end(protocol, rest, parts, false),
            AUTHENTICATION => 4 * (usize::from(*length) + 2),
            _ => 8 * (usize::from(*length) + 1),
        };
        let Some(behind) = rest.get(length..) else {
            return end(protocol, rest, parts, true);
        };
        if protocol == FRAGMENT {
            let word = u16::from_be_bytes([*high, *low]);
            parts = fragment(word >> 3, word % 2 == 1, *identification, parts);
        }
        (protocol, rest) = (*following, behind);
    }
    let is_cut = EXTENSIONS.contains(&protocol) && parts.part != Part::Later;
    end(protocol, rest, parts, is_cut)
}

/// What an offset and the flag of more fragments say; without either, nothing (RFC 6946).
fn fragment(offset: u16, more: bool, identification: [u8; 4], otherwise: Fragment) -> Fragment {
    match (offset, more) {
        (0, false) => otherwise,
        (0, true) => Fragment { part: Part::First, identification },
        (_, _) => Fragment { part: Part::Later, identification },
    }
}

fn whole() -> Fragment {
    Fragment { part: Part::Whole, identification: [0; 4] }
}
