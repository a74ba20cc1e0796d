//! The description of `sessions`.

use crate::table::{
    Table,
    description::{Column, Kind, Span, column},
};

/// The retention of sessions and of the coverage of their sources: one period for both.
pub const RETENTION_OF_SESSIONS: &str = "sessions";

/// A row for each prefix that a session held, on each day.
pub static SESSIONS: Table = Table {
    name: "sessions",
    version: 1,
    about: "A row for each prefix that a session held, on each day (UTC). The row claims the time from `held_start` to \
            `held_end`; by the slack on either side it may have been longer.",
    columns: &COLUMNS,
    sorted_by: &["inner_first", "held_start"],
    span: Span::Day,
    retention: RETENTION_OF_SESSIONS,
    is_personal: true,
    sealed_since: Some(1),
};

static COLUMNS: [Column; 24] = [
    column(
        "session_id",
        Kind::Text,
        "identity of the session: 128 bits as 32 hexadecimal digits; the same on every day, and after a restart",
    ),
    column("segment", Kind::UInt32, "number of changes of the outer endpoint before this row"),
    column("source", Kind::Text, "source of the session: `wireguard`, `openvpn` or `lease`"),
    column("instance", Kind::Text, "interface, server or file of the source"),
    column("realm", Kind::Text, "address space: within it an address has one holder at a time"),
    column(
        "peer",
        Kind::Text,
        "pseudonym of the peer: the first 128 bits of an HMAC-SHA256 of its public key, common name or lease name",
    )
    .known_as("", "actor.user.uid"),
    column(
        "subscriber",
        Kind::Text,
        "reference of the subscriber by the mapping that was valid at `held_start`; null if the mapping has none",
    )
    .nullable()
    .known_as("userName 371", "actor.user.name"),
    column(
        "state",
        Kind::Text,
        "`tunnel`: a tunnel was up; `assigned`: the address was reserved, and no tunnel was up",
    ),
    column("inner_prefix", Kind::Text, "addresses in the VPN (RFC 5952), with their length"),
    column(
        "inner_first",
        Kind::Text,
        "first address of the prefix: 32 hexadecimal digits, IPv4 as `00000000000000000000ffff0a000007`; the order of these texts is the order of the addresses",
    ),
    column("inner_last", Kind::Text, "last address of the prefix, written like `inner_first`"),
    column("outer_ip", Kind::Text, "address of the other end of the tunnel; null if it is not known")
        .nullable()
        .known_as("", "src_endpoint.ip"),
    column("outer_port", Kind::UInt16, "port of the other end of the tunnel; null if it is not known")
        .nullable()
        .known_as("", "src_endpoint.port"),
    column("held_start", Kind::Timestamp, "since when the prefix was certainly held in this row's state"),
    column("held_end", Kind::Timestamp, "until when it was certainly held"),
    column(
        "start_slack_ms",
        Kind::UInt32,
        "milliseconds by which it may have been held earlier, within the day",
    ),
    column(
        "end_slack_ms",
        Kind::UInt32,
        "milliseconds by which it may have been held longer, within the day",
    ),
    column(
        "session_start",
        Kind::Timestamp,
        "since when its session holds the prefix, for the same subscriber, in this row or earlier ones",
    ),
    column(
        "session_start_slack_ms",
        Kind::UInt32,
        "milliseconds by which that may have begun earlier",
    ),
    column(
        "continues",
        Kind::Boolean,
        "whether the prefix was held on where this row ends: the next row begins there",
    ),
    column(
        "end_reason",
        Kind::Text,
        "`roamed`, `handshake_expired`, `disconnected`, `timeout`, `replaced`, `removed`, `source_restarted` or `unknown`; null if the row goes on",
    )
    .nullable(),
    column(
        "bytes_up",
        Kind::UInt64,
        "bytes from the member within the row, on the first prefix of a session; null elsewhere, and while the row goes on",
    )
    .nullable()
    .known_as("initiatorOctets 231", "traffic.bytes_out"),
    column(
        "bytes_down",
        Kind::UInt64,
        "bytes to the member within the row, on the first prefix of a session; null elsewhere, and while the row goes on",
    )
    .nullable()
    .known_as("responderOctets 232", "traffic.bytes_in"),
    column("clock_error_ms", Kind::UInt32, "greatest error of the gateway's clock, in milliseconds"),
];
