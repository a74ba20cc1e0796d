//! Properties of the parser.

use flowlog_common::{
    flow::partial,
    packet::{
        Datagram, Fragment, Malformed, Part, Transport, parse_ipv4, parse_ipv6, parse_plain_ipv4,
        parse_plain_ipv6,
    },
};

use crate::{
    recorded::Recorded,
    walk::{self, End},
};

const TCP: u8 = 6;

/// Asserts what holds for any bytes taken for an IP packet.
pub fn hold_for_packet(packet: &[u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => hold(&IPV4, packet),
        Some(6) => hold(&IPV6, packet),
        _ => {}
    }
}

/// What differs between the two families; `A` is the size of an address.
struct Family<const A: usize> {
    parse: fn(&Recorded<'_>) -> Result<Datagram<A>, Malformed>,
    parse_plain: fn(&Recorded<'_>) -> Option<Datagram<A>>,
    header: usize,
    source: usize,
    icmp: u8,
    /// Whether the IP header is all there and does not contradict itself.
    is_sound: fn(&[u8]) -> bool,
    /// How long a sound packet says that it is, where it says so.
    said_length: fn(&[u8]) -> Option<usize>,
    /// How long it is where it does not say so, by how much is there.
    unsaid_length: fn(usize) -> usize,
    walk: fn(&[u8]) -> End,
}

const IPV4: Family<4> = Family {
    parse: |packet| parse_ipv4(packet),
    parse_plain: |packet| parse_plain_ipv4(packet),
    header: 20,
    source: 12,
    icmp: 1,
    is_sound: |packet| {
        let Some(header) = packet.first_chunk::<20>() else { return false };
        let (length, total) = (usize::from(header[0] & 0x0f) * 4, number(&header[2..4]));
        length >= 20 && (total == 0 || total >= length)
    },
    said_length: |packet| Some(number(&packet[2..4])).filter(|total| *total != 0),
    unsaid_length: |there| there,
    walk: walk::ipv4,
};

const IPV6: Family<16> = Family {
    parse: |packet| parse_ipv6(packet),
    parse_plain: |packet| parse_plain_ipv6(packet),
    header: 40,
    source: 8,
    icmp: 58,
    is_sound: |packet| packet.len() >= 40,
    said_length: |packet| {
        let (payload, is_last) = (number(&packet[4..6]), packet[6] == 59);
        (payload != 0 || is_last).then_some(40 + payload)
    },
    // What an Ethernet frame of least size carries may all be padding.
    unsaid_length: |there| if there > 46 { there } else { 40 },
    walk: walk::ipv6,
};

fn hold<const A: usize>(family: &Family<A>, packet: &[u8]) {
    let recorded = Recorded::new(packet, 0);
    let parsed = (family.parse)(&recorded);
    assert_eq!(parsed.is_ok(), (family.is_sound)(packet), "only such a header is malformed");
    the_short_way_says_the_same_or_nothing(family, packet, parsed.ok());
    let Ok(datagram) = parsed else { return };
    bytes_are_what_is_said_and_never_more_than_is_there(family, packet, &datagram);
    addresses_are_those_of_the_ip_header(family, packet, &datagram);
    fields_come_from_the_transport_header_inside_the_datagram(family, packet, &datagram);
    headers_are_walked_as_the_rfcs_say(family, packet, &datagram);
    fragments_with_an_offset_have_no_ports(&datagram);
    nothing_is_read_behind_the_transport_header(family, &datagram, recorded.read_to());
    what_is_not_read_changes_nothing(family, packet, &datagram, recorded.read_to());
    padding_changes_nothing(family, packet, &datagram);
    less_of_the_packet_never_says_something_else(family, packet, &datagram);
    the_other_way_it_is_the_same_conversation(family, packet, &datagram);
    where_the_packet_begins_changes_nothing(family, packet, &datagram);
}

/// The short way through the parser takes every packet without options or extension headers that is
/// whole and has its transport header, and says of it what the long one says; it takes no other.
fn the_short_way_says_the_same_or_nothing<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: Option<Datagram<A>>,
) {
    let is_plain = |datagram: &Datagram<A>| {
        datagram.header_bytes as usize == family.header
            && datagram.transport.partial == 0
            && datagram.fragment.part == Part::Whole
            && !is_extension::<A>(datagram.transport.protocol)
    };
    let plain = (family.parse_plain)(&Recorded::new(packet, 0));
    assert_eq!(plain, datagram.filter(is_plain));
}

/// Bytes are the smaller of what the header says and what is there; where it says nothing, what is
/// there unless that may be padding.
fn bytes_are_what_is_said_and_never_more_than_is_there<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let (bytes, there) = (datagram.bytes as usize, packet.len());
    assert!((family.header..=there).contains(&bytes), "{bytes} bytes of {there}");
    match (family.said_length)(packet) {
        Some(said) => assert_eq!(bytes, said.min(there), "the header says {said}"),
        None => assert_eq!(bytes, (family.unsaid_length)(there), "the header says nothing"),
    }
}

/// Addresses are those of the IP header, whatever routing headers say.
fn addresses_are_those_of_the_ip_header<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let (source, destination) = packet[family.source..][..2 * A].split_at(A);
    assert_eq!((&datagram.source[..], &datagram.destination[..]), (source, destination));
}

/// Ports, type and code, and TCP flags are the bytes of the transport header, which lies inside
/// the datagram; where there is none they are zero.
fn fields_come_from_the_transport_header_inside_the_datagram<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let transport = &datagram.transport;
    let (start, end) = (datagram.header_bytes as usize, datagram.bytes as usize);
    let (mut ports, mut flags) = ([0; 4], 0);
    if transport.partial == 0 {
        let needed = needed(family, transport.protocol);
        assert!(needed == 0 || start + needed <= end, "a transport header behind the datagram");
        match packet[start.min(end)..end][..needed] {
            [kind, code] => ports = [kind, code, kind, code],
            [a, b, c, d] => ports = [a, b, c, d],
            _ => {}
        }
        if transport.protocol == TCP && start + 14 <= end {
            flags = packet[start + 13];
        }
    }
    assert_eq!(transport.ports, ports);
    assert_eq!(transport.tcp_flags, flags);
}

/// The headers before the transport header are walked as the RFCs say, to the same end; and a
/// transport header is called cut if and only if less of it is there than is needed.
fn headers_are_walked_as_the_rfcs_say<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let Datagram { bytes, header_bytes, transport, fragment, .. } = *datagram;
    let end = (family.walk)(&packet[..bytes as usize]);
    assert_eq!((transport.protocol, header_bytes as usize), (end.protocol, end.start));
    assert_eq!(fragment, end.fragment);
    // Where nothing of a protocol is read, nothing is missing either.
    let needed = needed(family, end.protocol);
    let is_cut = end.is_cut || needed > 0 && end.start + needed > bytes as usize;
    let is_cut = is_cut && fragment.part != Part::Later;
    assert_eq!(transport.partial == partial::TRANSPORT_HEADER_CUT, is_cut);
}

/// A fragment with an offset has no transport header, and is the only thing that says so; what
/// is whole has no identification to be taken for a part of something.
fn fragments_with_an_offset_have_no_ports<const A: usize>(datagram: &Datagram<A>) {
    let Fragment { part, identification } = datagram.fragment;
    let transport = datagram.transport;
    let says_so = transport.partial == partial::FRAGMENT_WITHOUT_FIRST;
    assert_eq!(part == Part::Later, says_so);
    assert!(says_so || [0, partial::TRANSPORT_HEADER_CUT].contains(&transport.partial));
    if part == Part::Later {
        assert_eq!((transport.ports, transport.tcp_flags), ([0; 4], 0));
    }
    assert!(part != Part::Whole || identification == [0; 4]);
}

/// Nothing is read behind the transport header (of TCP up to its flags), nor behind the datagram.
fn nothing_is_read_behind_the_transport_header<const A: usize>(
    family: &Family<A>,
    datagram: &Datagram<A>,
    read_to: usize,
) {
    let protocol = datagram.transport.protocol;
    let header = match protocol {
        TCP => 14,
        // The one at which the walk ended.
        _ if is_extension::<A>(protocol) => 8,
        _ => needed(family, protocol),
    };
    let end_of_header = (datagram.header_bytes as usize + header).max(family.header);
    assert!(read_to <= end_of_header, "read to {read_to}, headers end at {end_of_header}");
    assert!(read_to <= datagram.bytes as usize, "read to {read_to} of {}", datagram.bytes);
}

/// Payload is not looked at: with other bytes in its place the packet says the same.
fn what_is_not_read_changes_nothing<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
    read_to: usize,
) {
    let mut other = packet.to_vec();
    other[read_to..].iter_mut().for_each(|byte| *byte = !*byte);
    assert_eq!(parse(family, &other), Ok(*datagram));
}

/// What follows the length that a packet says it has is not part of it, be it there or not.
fn padding_changes_nothing<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    if let Some(said) = (family.said_length)(packet).filter(|said| *said <= packet.len()) {
        assert_eq!(parse(family, &packet[..said]), Ok(*datagram));
        for noise in [0, 0xff] {
            let padded = [packet, &[noise; 46]].concat();
            assert_eq!(parse(family, &padded), Ok(*datagram));
        }
    }
}

/// A packet of which less is there says less, never something else: not more bytes, and the ports
/// and flags of the whole one or none.
fn less_of_the_packet_never_says_something_else<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let behind_headers = datagram.header_bytes as usize + 16;
    for length in 0..packet.len().min(behind_headers) {
        let Ok(less) = parse(family, &packet[..length]) else { continue };
        assert!(less.bytes <= datagram.bytes && less.bytes as usize <= length);
        assert!([0, datagram.transport.tcp_flags].contains(&less.transport.tcp_flags));
        if less.transport.partial == 0 {
            let of = |t: &Transport| (t.protocol, t.ports);
            assert_eq!(of(&less.transport), of(&datagram.transport), "of {length} bytes");
        }
    }
}

/// With its addresses and ports swapped, a packet is of the same conversation, and nothing but
/// them changes.
fn the_other_way_it_is_the_same_conversation<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    let mut reply = packet.to_vec();
    reply[family.source..][..2 * A].rotate_left(A);
    let transport = &datagram.transport;
    if transport.partial == 0 && needed(family, transport.protocol) == 4 {
        reply[datagram.header_bytes as usize..][..4].rotate_left(2);
    }
    let [a, b, c, d] = transport.ports;
    let expected = Datagram {
        source: datagram.destination,
        destination: datagram.source,
        transport: Transport { ports: [c, d, a, b], ..*transport },
        ..*datagram
    };
    assert_eq!(parse(family, &reply), Ok(expected));
}

/// A packet says the same behind a link-layer header of any length.
fn where_the_packet_begins_changes_nothing<const A: usize>(
    family: &Family<A>,
    packet: &[u8],
    datagram: &Datagram<A>,
) {
    for base in [1, 14, 22] {
        let frame = [&[0x45; 22][..base], packet].concat();
        assert_eq!((family.parse)(&Recorded::new(&frame, base)), Ok(*datagram));
    }
}

/// Whether a header with this number belongs to the IP header.
fn is_extension<const A: usize>(protocol: u8) -> bool {
    A == 16 && matches!(protocol, 0 | 43 | 44 | 51 | 60 | 135)
}

/// Bytes of the transport header without which it says nothing.
fn needed<const A: usize>(family: &Family<A>, protocol: u8) -> usize {
    match protocol {
        TCP | 17 | 33 | 132 | 136 => 4,
        icmp if icmp == family.icmp => 2,
        _ => 0,
    }
}

fn parse<const A: usize>(family: &Family<A>, packet: &[u8]) -> Result<Datagram<A>, Malformed> {
    (family.parse)(&Recorded::new(packet, 0))
}

/// Two bytes in network order.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}
