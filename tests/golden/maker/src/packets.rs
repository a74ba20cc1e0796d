//! Ethernet frames, as the kernel program is given them.

/// A frame with an IPv4 packet.
pub fn v4(source: [u8; 4], destination: [u8; 4], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + transport.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    [&[2; 12][..], &[8, 0], &header, &source, &destination, transport].concat()
}

/// A frame with an IPv6 packet.
pub fn v6(source: [u8; 16], destination: [u8; 16], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let length = u16::try_from(transport.len()).unwrap().to_be_bytes();
    let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    [&[2; 12][..], &[0x86, 0xdd], &header, &source, &destination, transport].concat()
}

/// A UDP header with a payload behind it.
pub fn udp(from: u16, to: u16, payload: usize) -> Vec<u8> {
    let length = u16::try_from(8 + payload).unwrap().to_be_bytes();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length, &[0; 2], &vec![0; payload]].concat()
}

/// A TCP header with these flags.
pub fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let rest = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0];
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &rest].concat()
}

/// An ICMP message of a type.
pub fn icmp(kind: u8) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 1, 0, 1][..], &[0; 56]].concat()
}
