//! Rows as IPFIX (RFC 7011): one record for each flow, with the reverse counts of RFC 5103.

use std::net::IpAddr;

use super::rows::Row;

const TEMPLATE_SET: u16 = 2;
const V4: u16 = 256;
const V6: u16 = 257;
/// Marks an element of the enterprise that follows it: here, the reverse direction.
const ENTERPRISE: u16 = 0x8000;
const REVERSE: u32 = 29305;

/// Elements of both templates after the addresses, with their lengths: first and last packet,
/// octets, packets, ports, protocol, TCP flags.
const ELEMENTS: [(u16, u16); 8] =
    [(152, 8), (153, 8), (1, 8), (2, 8), (7, 2), (11, 2), (4, 1), (6, 1)];
/// Of the reverse direction: octets and packets.
const REVERSE_ELEMENTS: [(u16, u16); 2] = [(1, 8), (2, 8)];

/// Rows of one message, which stays well below the largest datagram.
pub const ROWS: usize = 300;

/// The message that comes before all others.
pub fn templates() -> Vec<u8> {
    let mut templates = vec![];
    for (id, addresses) in [(V4, [(8, 4), (12, 4)]), (V6, [(27, 16), (28, 16)])] {
        let fields: [(u16, u16); 10] = std::array::from_fn(|index| match index {
            0 | 1 => addresses[index],
            _ => ELEMENTS[index - 2],
        });
        put(&mut templates, &id.to_be_bytes());
        put(&mut templates, &12_u16.to_be_bytes());
        for (element, length) in fields {
            put(&mut templates, &element.to_be_bytes());
            put(&mut templates, &length.to_be_bytes());
        }
        for (element, length) in REVERSE_ELEMENTS {
            put(&mut templates, &(ENTERPRISE | element).to_be_bytes());
            put(&mut templates, &length.to_be_bytes());
            put(&mut templates, &REVERSE.to_be_bytes());
        }
    }
    message(0, 0, &[(TEMPLATE_SET, templates)])
}

/// A message of at most [`ROWS`] rows, after `sequence` others.
pub fn data(sequence: u32, rows: &[Row]) -> Vec<u8> {
    let (mut v4, mut v6) = (vec![], vec![]);
    for row in rows {
        let set = if row.member.is_ipv4() { &mut v4 } else { &mut v6 };
        record(set, row);
    }
    let exported_secs = rows.last().map_or(0, |row| row.end_ms / 1000);
    message(sequence, exported_secs, &[(V4, v4), (V6, v6)])
}

fn record(set: &mut Vec<u8>, row: &Row) {
    for address in [row.member, row.remote] {
        match address {
            IpAddr::V4(address) => put(set, &address.octets()),
            IpAddr::V6(address) => put(set, &address.octets()),
        }
    }
    put(set, &row.start_ms.to_be_bytes());
    put(set, &row.end_ms.to_be_bytes());
    put(set, &row.bytes_up.to_be_bytes());
    put(set, &row.packets_up.to_be_bytes());
    put(set, &row.member_port.to_be_bytes());
    put(set, &row.remote_port.to_be_bytes());
    put(set, &[row.protocol, row.tcp_flags_up]);
    put(set, &row.bytes_down.to_be_bytes());
    put(set, &row.packets_down.to_be_bytes());
}

fn message(sequence: u32, exported_secs: i64, sets: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![0; 16];
    for (id, body) in sets.iter().filter(|(_, body)| !body.is_empty()) {
        put(&mut message, &id.to_be_bytes());
        put(&mut message, &length(body.len() + 4));
        put(&mut message, body);
    }
    message[..2].copy_from_slice(&10_u16.to_be_bytes());
    let whole = length(message.len());
    message[2..4].copy_from_slice(&whole);
    let seconds = u32::try_from(exported_secs).unwrap_or(0);
    message[4..8].copy_from_slice(&seconds.to_be_bytes());
    message[8..12].copy_from_slice(&sequence.to_be_bytes());
    message[12..16].copy_from_slice(&1_u32.to_be_bytes());
    message
}

/// A length field: [`ROWS`] keeps every message below its limit.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn put(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.extend_from_slice(bytes);
}
