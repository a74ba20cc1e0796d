use super::{header::Header, *};
use crate::flow::partial;

/// A packet in memory; what is not captured of it can be more than its bytes.
struct Bytes<'a>(&'a [u8]);

impl Packet for Bytes<'_> {
    fn read<H: Header>(&self, offset: u32) -> Option<H> {
        let start = offset as usize;
        let bytes = self.0.get(start..start + size_of::<H>())?;
        // SAFETY: the slice has the size of the header, any bytes are a header.
        Some(unsafe { bytes.as_ptr().cast::<H>().read_unaligned() })
    }

    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }
}

fn v4(protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + options + payload.len()).unwrap();
    let mut packet = vec![0x45 + u8::try_from(options / 4).unwrap(), 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(vec![1; options]);
    packet.extend(payload);
    packet
}

fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend([0; 15]);
    packet.push(1);
    packet.extend([0; 15]);
    packet.push(2);
    packet.extend(payload);
    packet
}

const PORTS_1000_TO_53: [u8; 4] = [0x03, 0xe8, 0, 53];
const UDP_1000_TO_53: [u8; 12] = [0x03, 0xe8, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];

fn tcp_syn_ack() -> Vec<u8> {
    let mut header = vec![0x04, 0xd2, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12];
    header.extend([0; 6]);
    header
}

#[test]
fn a_udp_packet_has_its_ports_and_the_bytes_of_its_ip_length() {
    let mut packet = v4(17, 0, 0, &UDP_1000_TO_53);
    packet.extend([0xff; 14]); // Ethernet padding
    let datagram = parse_ipv4(&Bytes(&packet)).unwrap();
    assert_eq!(datagram.bytes, 32);
    assert_eq!(datagram.source, [10, 0, 0, 1]);
    assert_eq!(datagram.transport.ports, PORTS_1000_TO_53);
    assert_eq!(datagram.transport.partial, 0);
}

#[test]
fn a_tcp_header_behind_options_is_found_with_its_flags() {
    let datagram = parse_ipv4(&Bytes(&v4(6, 40, 0, &tcp_syn_ack()))).unwrap();
    assert_eq!(datagram.header_bytes, 60);
    assert_eq!(datagram.transport.tcp_flags, 0x12);
    assert_eq!(datagram.transport.header_bytes, 20);
}

/// The kernel segments SCTP too, whose header is longer than that of UDP.
#[test]
fn the_header_that_segmentation_repeats_is_that_of_the_protocol() {
    let repeated = |protocol, payload: &[u8]| {
        let datagram = parse_ipv4(&Bytes(&v4(protocol, 0, 0, payload))).unwrap();
        datagram.transport.repeated_bytes()
    };
    assert_eq!(repeated(17, &UDP_1000_TO_53), 8);
    assert_eq!(repeated(132, &[0; 28]), 12);
    assert_eq!(repeated(6, &tcp_syn_ack()), 20);
    assert_eq!(repeated(47, &[0; 28]), 0);
}

#[test]
fn ports_are_never_read_from_padding() {
    let mut packet = v4(17, 0, 0, &[]);
    packet.extend([0x77; 26]);
    let datagram = parse_ipv4(&Bytes(&packet)).unwrap();
    assert_eq!(datagram.bytes, 20);
    assert_eq!(datagram.transport.ports, [0; 4]);
    assert_eq!(datagram.transport.partial, partial::TRANSPORT_HEADER_CUT);
}

#[test]
fn a_length_that_lies_counts_what_is_there() {
    let mut packet = v4(17, 0, 0, &UDP_1000_TO_53);
    packet[2..4].copy_from_slice(&60_000_u16.to_be_bytes());
    assert_eq!(parse_ipv4(&Bytes(&packet)).unwrap().bytes, 32);
    packet[2..4].copy_from_slice(&[0, 0]);
    assert_eq!(parse_ipv4(&Bytes(&packet)).unwrap().bytes, 32);
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let sound = v4(17, 0, 0, &UDP_1000_TO_53);
    let mut short_header = sound.clone();
    short_header[0] = 0x44;
    let mut short_length = sound.clone();
    short_length[2..4].copy_from_slice(&19_u16.to_be_bytes());
    for packet in [&sound[..19], &short_header, &short_length] {
        assert_eq!(parse_ipv4(&Bytes(packet)), Err(Malformed));
    }
    assert_eq!(parse_ipv6(&Bytes(&v6(17, &[])[..39])), Err(Malformed));
}

#[test]
fn icmp_has_type_and_code_in_place_of_both_ports() {
    let echo = parse_ipv4(&Bytes(&v4(1, 0, 0, &[8, 0, 1, 2]))).unwrap().transport;
    assert_eq!(echo.ports, [8, 0, 8, 0]);
    let unreachable = parse_ipv6(&Bytes(&v6(58, &[1, 4, 0, 0]))).unwrap().transport;
    assert_eq!(unreachable.ports, [1, 4, 1, 4]);
    let icmpv6_in_v4 = parse_ipv4(&Bytes(&v4(58, 0, 0, &[128, 0, 1, 2]))).unwrap().transport;
    assert_eq!(icmpv6_in_v4.ports, [0; 4]);
    assert_eq!(icmpv6_in_v4.partial, 0);
}

#[test]
fn a_later_fragment_has_no_ports_and_says_so() {
    let datagram = parse_ipv4(&Bytes(&v4(17, 0, 2, &UDP_1000_TO_53))).unwrap();
    assert_eq!(datagram.transport.ports, [0; 4]);
    assert_eq!(datagram.transport.partial, partial::FRAGMENT_WITHOUT_FIRST);
    let identification = [0, 0, 0, 7];
    assert_eq!(datagram.fragment, Fragment { part: Part::Later, identification });
    let first = parse_ipv4(&Bytes(&v4(17, 0, 0x2000, &UDP_1000_TO_53))).unwrap();
    assert_eq!(first.transport.ports, PORTS_1000_TO_53);
    assert_eq!(first.fragment, Fragment { part: Part::First, identification });
    let whole = parse_ipv4(&Bytes(&v4(17, 0, 0x4000, &UDP_1000_TO_53))).unwrap();
    assert_eq!(whole.fragment, Fragment::WHOLE);
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let fragment = |offset_and_flag: u16| {
        let [high, low] = offset_and_flag.to_be_bytes();
        let mut payload = vec![17, 0, high, low, 0, 0, 0, 9];
        payload.extend(UDP_1000_TO_53);
        parse_ipv6(&Bytes(&v6(44, &payload))).unwrap()
    };
    let identification = [0, 0, 0, 9];
    assert_eq!(fragment(0).fragment, Fragment::WHOLE);
    assert_eq!(fragment(0).transport.ports, PORTS_1000_TO_53);
    assert_eq!(fragment(1).fragment, Fragment { part: Part::First, identification });
    assert_eq!(fragment(8).fragment, Fragment { part: Part::Later, identification });
    assert_eq!(fragment(8).transport.protocol, 17);
}

#[test]
fn eight_extension_headers_are_walked_and_no_more() {
    let chain = |count: usize| {
        let mut payload = Vec::new();
        for i in 0..count {
            payload.extend([if i + 1 == count { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        payload.extend(UDP_1000_TO_53);
        v6(60, &payload)
    };
    let walked = parse_ipv6(&Bytes(&chain(8))).unwrap();
    assert_eq!(walked.transport.protocol, 17);
    assert_eq!(walked.transport.ports, PORTS_1000_TO_53);
    assert_eq!(walked.header_bytes, 40 + 64);
    let too_long = parse_ipv6(&Bytes(&chain(9))).unwrap();
    assert_eq!(too_long.transport.protocol, 60);
    assert_eq!(too_long.transport.partial, partial::TRANSPORT_HEADER_CUT);
}

#[test]
fn a_v6_packet_of_length_zero_counts_what_is_there_unless_it_may_be_padding() {
    let mut jumbo = v6(6, &[0; 100]);
    jumbo[4..6].copy_from_slice(&[0, 0]);
    assert_eq!(parse_ipv6(&Bytes(&jumbo)).unwrap().bytes, 140);
    let mut padded = v6(17, &[]);
    padded.extend([0; 6]);
    assert_eq!(parse_ipv6(&Bytes(&padded)).unwrap().bytes, 40);
}

#[test]
fn a_super_packet_is_counted_without_the_jumbo_option_that_only_the_kernel_sees() {
    let super_packet = |option: u8, payload: usize| {
        let mut packet = v6(0, &[6, 0, option, 4, 0, 1, 0x20, 0]);
        packet[4..6].copy_from_slice(&[0, 0]);
        packet.extend(vec![0; payload]);
        let mut datagram = parse_ipv6(&Bytes(&packet)).unwrap();
        if is_jumbo(&datagram) {
            take_out_jumbo_option(&Bytes(&packet), &mut datagram);
        }
        (datagram.bytes, datagram.header_bytes)
    };
    assert_eq!(super_packet(0xc2, 70_000), (70_040, 40));
    // Another option is on the wire too, and so is one of a packet that needs none.
    assert_eq!(super_packet(0x05, 70_000), (70_048, 48));
    assert_eq!(super_packet(0xc2, 1_000), (1_048, 48));
}

#[test]
fn a_super_packet_counts_its_segments_and_their_repeated_headers() {
    assert_eq!(on_the_wire(1_500, 40, 0, 0), (1, 1_500));
    assert_eq!(on_the_wire(40 + 42_000, 40, 30, 1_400), (30, 42_040 + 29 * 40));
    // Devices that leave gso_segs at zero: the payload divided by gso_size, rounded up.
    assert_eq!(on_the_wire(40 + 42_001, 40, 0, 1_400), (31, 42_041 + 30 * 40));
    assert_eq!(on_the_wire(40, 40, 0, 1_400), (1, 40));
}

#[test]
fn the_short_way_says_the_same_as_the_long_one_or_nothing() {
    let plain_v4 = v4(6, 0, 0, &tcp_syn_ack());
    let plain_v6 = v6(17, &UDP_1000_TO_53);
    assert_eq!(parse_plain_ipv4(&Bytes(&plain_v4)), parse_ipv4(&Bytes(&plain_v4)).ok());
    assert_eq!(parse_plain_ipv6(&Bytes(&plain_v6)), parse_ipv6(&Bytes(&plain_v6)).ok());
    let with_options = v4(6, 40, 0, &tcp_syn_ack());
    let fragment = v4(17, 0, 0x2000, &UDP_1000_TO_53);
    let cut = v4(6, 0, 0, &[4]);
    for packet in [with_options, fragment, cut, plain_v6.clone()] {
        assert_eq!(parse_plain_ipv4(&Bytes(&packet)), None);
    }
    let with_extension = v6(0, &[17, 0, 0, 0, 0, 0, 0, 0]);
    for packet in [with_extension, v6(17, &[1]), plain_v4] {
        assert_eq!(parse_plain_ipv6(&Bytes(&packet)), None);
    }
}
