//! Packets that are sound up to the point where they are not: random bytes alone would hardly
//! ever get past the first header.

use proptest::{collection::vec, prelude::*, sample::select};

/// An IP packet of either family, often with padding, sometimes cut.
pub fn ip_packet() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![ipv4(), ipv6()];
    let padding = prop_oneof![Just(vec![]), vec(any::<u8>(), 0..50)];
    (whole, padding, any::<prop::sample::Index>(), 0..4_u8).prop_map(
        |(mut packet, padding, length, cut)| {
            packet.extend(padding);
            if cut == 0 {
                packet.truncate(length.index(packet.len() + 1));
            }
            packet
        },
    )
}

/// A frame with up to six tags, around a packet whose family it does not always know.
pub fn frame() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop_oneof![Just(vec![]), vec((tag_type(), any::<u16>()), 0..=6)];
    let kind = prop_oneof![8 => Just(None), 1 => any::<u16>().prop_map(Some)];
    (any::<[u8; 12]>(), tags, kind, ip_packet()).prop_map(|(addresses, tags, kind, packet)| {
        let mut frame = addresses.to_vec();
        for (ethertype, control) in tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let own_kind = if is_v6 { 0x86dd } else { 0x0800 };
        frame.extend(kind.unwrap_or(own_kind).to_be_bytes());
        frame.extend(packet);
        frame
    })
}

fn tag_type() -> impl Strategy<Value = u16> {
    select(vec![0x8100_u16, 0x88a8, 0x9100, 0x9200])
}

/// Options of every length, also lengths of less than a header and more than there is.
fn ipv4() -> impl Strategy<Value = Vec<u8>> {
    let header_words = prop_oneof![4 => Just(5_u8), 2 => 6..16_u8, 1 => 0..5_u8];
    let fragment =
        prop_oneof![4 => Just(0_u16), 1 => Just(0x2000), 2 => one_bit(), 1 => any::<u16>()];
    (header_words, length(), fragment, protocol(), any::<[u8; 8]>(), payload()).prop_map(
        |(words, length, fragment, protocol, addresses, payload)| {
            let options = usize::from(words.saturating_sub(5)) * 4;
            let honest = u16::try_from(20 + options + payload.len()).unwrap();
            let mut packet = vec![0x40 | words, 0];
            packet.extend(length.unwrap_or(honest).to_be_bytes());
            packet.extend([0, 7]);
            packet.extend(fragment.to_be_bytes());
            packet.extend([64, protocol, 0, 0]);
            packet.extend(addresses);
            packet.extend(vec![1; options]);
            packet.extend(payload);
            packet
        },
    )
}

/// Up to ten extension headers, each of a length that may be more than there is.
fn ipv6() -> impl Strategy<Value = Vec<u8>> {
    let kind = select(vec![0_u8, 43, 44, 51, 60, 135]);
    let words = prop_oneof![4 => 0..4_u8, 1 => any::<u8>()];
    let fragment = prop_oneof![Just(0_u16), Just(1), one_bit(), any::<u16>()];
    let chain = prop_oneof![Just(vec![]), vec((kind, words, fragment), 0..10)];
    (chain, length(), protocol(), any::<[u8; 32]>(), payload()).prop_map(
        |(chain, length, protocol, addresses, payload)| {
            let mut next_headers: Vec<u8> = chain.iter().map(|(kind, ..)| *kind).collect();
            next_headers.push(protocol);
            let mut body = vec![];
            for (next_header, (kind, words, fragment)) in next_headers[1..].iter().zip(chain) {
                body.extend([*next_header, words]);
                body.extend(fragment.to_be_bytes());
                body.extend([0, 0, 0, 9]);
                let length = match kind {
                    44 => 8,
                    51 => (usize::from(words) + 2) * 4,
                    _ => (usize::from(words) + 1) * 8,
                };
                // The long ones are not all there.
                body.extend(vec![0xaa; length.clamp(8, 40) - 8]);
            }
            body.extend(payload);
            let honest = u16::try_from(body.len()).unwrap();
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(length.unwrap_or(honest).to_be_bytes());
            packet.extend([next_headers[0], 64]);
            packet.extend(addresses);
            packet.extend(body);
            packet
        },
    )
}

/// Offsets and flags of which one bit alone decides.
fn one_bit() -> impl Strategy<Value = u16> {
    (0..16_u32).prop_map(|bit| 1 << bit)
}

/// What the length field says instead of the truth, where it does.
fn length() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![6 => Just(None), 1 => Just(Some(0)), 2 => (0..120_u16).prop_map(Some), 1 => any::<u16>().prop_map(Some)]
}

fn protocol() -> impl Strategy<Value = u8> {
    prop_oneof![4 => select(vec![1_u8, 6, 17, 33, 58, 132, 136, 47, 59]), 1 => any::<u8>()]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 0..4)]
}
