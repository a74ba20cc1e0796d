mod corpus;
mod counting;
mod strategies;

use proptest::prelude::*;

use crate::{hold_for_frame, hold_for_packet, hold_for_super_packet};
use strategies::{frame, ip_packet};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_properties_hold_for_ip_packets(packet in ip_packet()) {
        hold_for_packet(&packet);
    }

    #[test]
    fn the_properties_hold_for_ethernet_frames(frame in frame()) {
        hold_for_frame(&frame);
    }

    #[test]
    fn the_properties_hold_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        hold_for_packet(&bytes);
        hold_for_frame(&bytes);
    }

    #[test]
    fn a_super_packet_counts_what_is_on_the_wire_once_it_is_cut(
        bytes in 0..600_000_u32,
        headers in 0..200_u32,
        segment_payload in prop_oneof![0..4_u32, 500..9_000_u32, Just(65_535), any::<u32>()],
    ) {
        hold_for_super_packet(bytes, headers, segment_payload);
    }

    /// Whatever a device says of its segments, nothing overflows.
    #[test]
    fn no_super_packet_is_too_large_to_be_counted(
        bytes: u32, headers: u32, segments: u32, segment_payload: u32,
    ) {
        let (packets, wire) =
            flowlog_common::packet::on_the_wire(bytes, headers, segments, segment_payload);
        prop_assert!(packets >= 1 && wire >= u64::from(bytes));
    }
}
