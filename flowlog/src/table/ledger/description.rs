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
    column("window_end", Kind::Timestamp, "end of the window, and beginning of the next one"),
    column(
        "epoch_first",
        Kind::UInt64,
        "number of the first epoch of the window; null in files of version 1",
    )
    .since(2),
    column(
        "epoch_last",
        Kind::UInt64,
        "number of the last epoch of the window; the next window continues the numbers; null in files of version 1",
    )
    .since(2),
    column("interface", Kind::Text, "name of the VPN interface"),
    column("direction", Kind::Text, "`up` is from the member, `down` is to the member"),
    column(
        "observed_start",
        Kind::Timestamp,
        "when the counting in this row began; before `window_start` if a drain came late",
    ),
    column(
        "observed_end",
        Kind::Timestamp,
        "when the counting in this row ended",
    ),
    column("interruptions", Kind::UInt32, "how often the interface came back after it had disappeared"),
    column(
        "gap_start",
        Kind::Timestamp,
        "start of a gap: from here on, the interface may have been in use without being counted; null if there is no gap. A window with several gaps has a further row, without counts, for each of them",
    )
    .nullable(),
    column("gap_end", Kind::Timestamp, "end of the gap").nullable(),
    column(
        "gap_reason",
        Kind::Text,
        "reason of the gap: `down` (no program counted: power loss, removal of flowlog, maps of another version), `detached` (somebody took the program away), `not_reached` (the interface's own counters moved, and no packet reached the program), `damaged` (packets were counted, but the counts were damaged before the store had them)",
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
        "milliseconds by which the clock was set within the window; null if it was not set",
    )
    .since(2),
    column(
        "packets_interface",
        Kind::UInt64,
        "packets by the interface's own counters between `observed_start` and `observed_end`; null if flowlog could not read them for all of that time",
    )
    .since(2),
    column("bytes_interface", Kind::UInt64, "bytes by the interface's own counters, as for `packets_interface`").since(2),
    column("packets_seen", Kind::UInt64, "packets that the interface saw"),
    column("bytes_seen", Kind::UInt64, "bytes of `packets_seen` on the wire, without the link layer"),
    column("packets_flows", Kind::UInt64, "packets of `packets_seen` in rows of `flows`, without the rows of `packets_overflow`"),
    column("bytes_flows", Kind::UInt64, "bytes of `packets_flows`"),
    column(
        "packets_overflow",
        Kind::UInt64,
        "packets of `packets_seen` in rows of `flows` that have only member and protocol, because the flow map was full",
    ),
    column("bytes_overflow", Kind::UInt64, "bytes of `packets_overflow`"),
    column(
        "packets_remainder",
        Kind::UInt64,
        "packets of `packets_seen` in no row of `flows`, because the overflow map was full too",
    ),
    column("bytes_remainder", Kind::UInt64, "bytes of `packets_remainder`"),
    column("packets_not_ip", Kind::UInt64, "packets of `packets_seen` that are neither IPv4 nor IPv6"),
    column("bytes_not_ip", Kind::UInt64, "bytes of `packets_not_ip`"),
    column("packets_malformed", Kind::UInt64, "packets of `packets_seen` without a readable IP header"),
    column("bytes_malformed", Kind::UInt64, "bytes of `packets_malformed`"),
    column("packets_excluded", Kind::UInt64, "packets of `packets_seen` that the profile leaves out"),
    column("bytes_excluded", Kind::UInt64, "bytes of `packets_excluded`"),
    column(
        "packets_fragments_without_first",
        Kind::UInt64,
        "packets of `packets_flows` that are fragments with unknown ports",
    ),
    column("bytes_fragments_without_first", Kind::UInt64, "bytes of `packets_fragments_without_first`"),
];
