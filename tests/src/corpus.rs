//! The fuzzer's corpus as packets to send.

use std::path::Path;

use super::capture::{Layer, Writer};

/// The kernel program takes frames with more tags for something else than IP; the oracle takes
/// off any number.
const MAX_VLAN_TAGS: usize = 4;
const TAGS: [[u8; 4]; MAX_VLAN_TAGS] =
    [[0x81, 0, 0, 5], [0x88, 0xa8, 0xe0, 0], [0x91, 0, 0, 0], [0x92, 0, 0x0f, 0xff]];

/// Writes the fuzzer's corpus to a capture file, and returns how many packets that are.
///
/// An input is any bytes, and is sent as it is in both forms. Those that may be IP packets are
/// sent as frames too, behind up to four tags.
pub fn corpus(layer: Layer, file: &Path) -> usize {
    let mut packets = vec![];
    for (number, input) in inputs().into_iter().enumerate() {
        if layer == Layer::L2 {
            let framed = framed(&input, number % (MAX_VLAN_TAGS + 1));
            packets.extend(framed);
        }
        if layer == Layer::L3 || tags(&input) <= MAX_VLAN_TAGS {
            packets.push(input);
        }
    }
    let mut capture = Writer::new(layer);
    for (number, packet) in packets.iter().enumerate() {
        capture.put_next(number, packet);
    }
    capture.finish(file);
    packets.len()
}

/// In the order of their names, since fragments depend on it.
fn inputs() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/packet");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// An Ethernet frame around an IP packet.
fn framed(packet: &[u8], tags: usize) -> Option<Vec<u8>> {
    let ethertype = match packet.first()? >> 4 {
        4 => [0x08, 0x00],
        6 => [0x86, 0xdd],
        _ => return None,
    };
    Some([&[2; 12], TAGS[..tags].as_flattened(), &ethertype, packet].concat())
}

/// How many tags a frame has.
fn tags(frame: &[u8]) -> usize {
    let words = frame.get(12..).unwrap_or_default().chunks(4);
    words.take_while(|word| matches!(word, [0x81 | 0x91 | 0x92, 0, ..] | [0x88, 0xa8, ..])).count()
}
