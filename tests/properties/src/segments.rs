//! Packets that the kernel merged or will yet cut.

use flowlog_common::packet::on_the_wire;

/// A super-packet counts what lies on the wire once it is cut: every segment with headers of its
/// own, whether the kernel says how many segments there are or leaves that to be worked out.
pub fn hold_for_super_packet(bytes: u32, headers: u32, segment_payload: u32) {
    assert_eq!(on_the_wire(bytes, headers, 0, 0), (1, u64::from(bytes)), "not a super-packet");
    if headers > bytes || segment_payload == 0 {
        return;
    }
    let (mut packets, mut wire_bytes) = (0_u32, 0_u64);
    let mut payload = bytes - headers;
    loop {
        let carried = payload.min(segment_payload);
        packets += 1;
        wire_bytes += u64::from(headers + carried);
        payload -= carried;
        if payload == 0 {
            break;
        }
    }
    let cut = (u64::from(packets), wire_bytes);
    assert_eq!(on_the_wire(bytes, headers, packets, segment_payload), cut, "segments are told");
    assert_eq!(on_the_wire(bytes, headers, 0, segment_payload), cut, "segments are not told");
}
