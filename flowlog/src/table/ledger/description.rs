//! The description of `ledger`.

use crate::table::{
    Table,
    description::{Column, Kind, RETENTION_OF_FLOWS, Span, column},
};

/// A row for each interface and direction that was counted in a window.
///
/// Version 2 has also the epochs, the interface's own counters, the reason of a gap, and the steps of the clock.
pub static LEDGER: Table = Table {
    name: "ledger",
    version: 2,
    about: "A row for each interface and direction that was counted in a window. For packets and for \
            bytes, `seen = flows + overflow + remainder + not_ip + malformed + excluded`; `flowlog verify` adds it \
            up again.",
    columns: &COLUMNS,
    sorted_by: &[],
    span: Span::Hour,
    retention: RETENTION_OF_FLOWS,
    is_personal: false,
    sealed_since: Some(2),
};

static COLUMNS: [Column; 32] = [
    column("window_start", Kind::Timestamp, "beginning of the window"),
    column("window_end", Kind::Timestamp, "end of the window, which the next one begins with"),
    column(
        "epoch_first",
        Kind::UInt64,
        "number of the first epoch of the window; null in files of version 1",
    )
    .since(2),
    column(
        "epoch_last",
        Kind::UInt64,
        "number of the last epoch of the window, from which the next window goes on; null in files of version 1",
    )
    .since(2),
    column("interface", Kind::Text, "name of the VPN interface"),
    column("direction", Kind::Text, "`up` is from the member, `down` is to the member"),
    column(
        "observed_start",
        Kind::Timestamp,
        "since when the interface was counted within the window",
    ),
    column(
        "observed_end",
        Kind::Timestamp,
        "until when the interface was counted within the window",
    ),
    column("interruptions", Kind::UInt32, "how often the interface came back after it had gone"),
    column(
        "gap_start",
        Kind::Timestamp,
        "since when the interface may have been in use without being counted; null where there is no such gap. A window with several gaps has a further row, without counts, for each of them",
    )
    .nullable(),
    column("gap_end", Kind::Timestamp, "until when").nullable(),
    column(
        "gap_reason",
        Kind::Text,
        "why: `down` (no program counted: power loss, removal of flowlog, maps of another version), `detached` (somebody took the program away), `not_reached` (the interface's own counters moved, and no packet reached the program), `damaged` (counted, and damaged before the store had it)",
    )
    .since(2),
    column(
        "clock_error_ms",
        Kind::UInt32,
        "greatest error of the clock, as the kernel estimates it, in milliseconds",
    ),
    column(
        "clock_step_ms",
        Kind::Int64,
        "by how many milliseconds the clock was set within the window; null where it was not",
    )
    .since(2),
    column(
        "packets_interface",
        Kind::UInt64,
        "packets by the interface's own counters while it was observed; null where they were not asked all the while",
    )
    .since(2),
    column("bytes_interface", Kind::UInt64, "bytes by the interface's own counters").since(2),
    column("packets_seen", Kind::UInt64, "packets that the interface saw"),
    column("bytes_seen", Kind::UInt64, "their bytes on the wire, without the link layer"),
    column("packets_flows", Kind::UInt64, "of them, in rows of `flows`"),
    column("bytes_flows", Kind::UInt64, "their bytes"),
    column(
        "packets_overflow",
        Kind::UInt64,
        "of them, in rows of `flows` that tell only member and protocol, since the flow map was full",
    ),
    column("bytes_overflow", Kind::UInt64, "their bytes"),
    column(
        "packets_remainder",
        Kind::UInt64,
        "of them, in no row at all, since the overflow map was full too",
    ),
    column("bytes_remainder", Kind::UInt64, "their bytes"),
    column("packets_not_ip", Kind::UInt64, "of them, neither IPv4 nor IPv6"),
    column("bytes_not_ip", Kind::UInt64, "their bytes"),
    column("packets_malformed", Kind::UInt64, "of them, without a readable IP header"),
    column("bytes_malformed", Kind::UInt64, "their bytes"),
    column("packets_excluded", Kind::UInt64, "of them, left out by the capture policy"),
    column("bytes_excluded", Kind::UInt64, "their bytes"),
    column(
        "packets_fragments_without_first",
        Kind::UInt64,
        "of those in flows: fragments whose ports are unknown",
    ),
    column("bytes_fragments_without_first", Kind::UInt64, "their bytes"),
];
