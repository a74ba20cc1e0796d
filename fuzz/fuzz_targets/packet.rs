//! Any bytes, taken for an IP packet and for an Ethernet frame.

#![no_main]

use flowlog_properties::{hold_for_frame, hold_for_packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    hold_for_packet(bytes);
    hold_for_frame(bytes);
});
