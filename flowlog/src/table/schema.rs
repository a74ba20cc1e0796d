//! The columns of the tables, each described once.
//!
//! `docs/schema.md` is generated from here (see [`super::reference`]), with the names that other systems have for a column:
//! IPFIX information elements (the IANA registry, RFC 5103) and OCSF `network_activity`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Version of `flows`; in the metadata of every file of it, and raised when a column changes.
pub const FLOWS_VERSION: &str = "1";
/// Version of `ledger`. Version 2 has also the epochs, the interface's own counters, the reason of a
/// gap, and the steps of the clock.
pub const LEDGER_VERSION: &str = "2";

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Type and meaning of its values.
    pub kind: Kind,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// What it says, with its unit.
    pub meaning: &'static str,
    /// Names in the IPFIX registry, or empty.
    pub ipfix: &'static str,
    /// Names in OCSF, or empty.
    pub ocsf: &'static str,
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Milliseconds of UTC.
    Timestamp,
    /// Unsigned, 8 bits.
    UInt8,
    /// Unsigned, 16 bits.
    UInt16,
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 64 bits.
    UInt64,
    /// Signed, 64 bits.
    Int64,
}

impl Kind {
    fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Int64 => DataType::Int64,
        }
    }

    /// Its name in the documentation and in the SQL of DuckDB.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Text => "VARCHAR",
            Self::Timestamp => "TIMESTAMP WITH TIME ZONE",
            Self::UInt8 => "UTINYINT",
            Self::UInt16 => "USMALLINT",
            Self::UInt32 => "UINTEGER",
            Self::UInt64 => "UBIGINT",
            Self::Int64 => "BIGINT",
        }
    }
}

const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: false, meaning, ipfix: "", ocsf: "" }
}

impl Column {
    const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    const fn known_as(mut self, ipfix: &'static str, ocsf: &'static str) -> Self {
        self.ipfix = ipfix;
        self.ocsf = ocsf;
        self
    }
}

/// Columns of `flows`: a row for each flow that was active in a window.
pub static FLOWS: [Column; 18] = [
    column("interface", Kind::Text, "name of the VPN interface")
        .known_as("interfaceName (82)", "src_endpoint.interface_name"),
    column("flow_start", Kind::Timestamp, "first packet of the flow within the window")
        .known_as("flowStartMilliseconds (152)", "start_time"),
    column("flow_end", Kind::Timestamp, "last packet of the flow within the window")
        .known_as("flowEndMilliseconds (153)", "end_time"),
    column("member_ip", Kind::Text, "address behind the VPN interface, as RFC 5952 writes it")
        .known_as("sourceIPv4Address (8), sourceIPv6Address (27)", "src_endpoint.ip"),
    column("remote_ip", Kind::Text, "address on the other side; null in a row whose `partial` is `overflow`, and in the profile `attribution`")
        .nullable()
        .known_as("destinationIPv4Address (12), destinationIPv6Address (28)", "dst_endpoint.ip"),
    column("member_port", Kind::UInt16, "port of the member; null where the protocol has no ports or they are unknown")
        .nullable()
        .known_as("sourceTransportPort (7)", "src_endpoint.port"),
    column("remote_port", Kind::UInt16, "port of the other side; null where the protocol has no ports or they are unknown, and in the profile `attribution`")
        .nullable()
        .known_as("destinationTransportPort (11)", "dst_endpoint.port"),
    column("protocol", Kind::UInt8, "IP protocol number after extension headers (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6)")
        .known_as("protocolIdentifier (4)", "connection_info.protocol_num"),
    column("icmp_type", Kind::UInt8, "as on the wire, so that request and reply are two rows; null unless ICMP")
        .nullable()
        .known_as("icmpTypeIPv4 (176), icmpTypeIPv6 (178)", ""),
    column("icmp_code", Kind::UInt8, "as on the wire; null unless ICMP")
        .nullable()
        .known_as("icmpCodeIPv4 (177), icmpCodeIPv6 (179)", ""),
    column("packets_up", Kind::UInt64, "IP packets on the wire from the member")
        .known_as("packetDeltaCount (2)", "traffic.packets_out"),
    column("bytes_up", Kind::UInt64, "IP bytes on the wire from the member, headers included, link layer and padding not")
        .known_as("octetDeltaCount (1)", "traffic.bytes_out"),
    column("packets_down", Kind::UInt64, "IP packets on the wire to the member")
        .known_as("reverse packetDeltaCount (29305/2)", "traffic.packets_in"),
    column("bytes_down", Kind::UInt64, "IP bytes on the wire to the member")
        .known_as("reverse octetDeltaCount (29305/1)", "traffic.bytes_in"),
    column("tcp_flags_up", Kind::UInt8, "OR of the TCP flags from the member; null unless TCP")
        .nullable()
        .known_as("tcpControlBits (6)", "connection_info.tcp_flags"),
    column("tcp_flags_down", Kind::UInt8, "OR of the TCP flags to the member; null unless TCP")
        .nullable()
        .known_as("reverse tcpControlBits (29305/6)", ""),
    column("initiator", Kind::Text, "who sent the first packet seen: `member` or `remote`")
        .known_as("biflowDirection (239)", "connection_info.direction"),
    column("partial", Kind::Text, "null when whole; else why the row says less than the packets did: `overflow`, `fragment without first`, `transport header cut`")
        .nullable(),
];

/// Columns of `ledger`: a row for each interface and direction that was counted in a window.
pub static LEDGER: [Column; 32] = [
    column("window_start", Kind::Timestamp, "beginning of the window"),
    column("window_end", Kind::Timestamp, "end of the window, which the next one begins with"),
    column(
        "epoch_first",
        Kind::UInt64,
        "number of the first epoch of the window; null in files of version 1",
    )
    .nullable(),
    column(
        "epoch_last",
        Kind::UInt64,
        "number of the last epoch of the window, from which the next window goes on; null in files of version 1",
    )
    .nullable(),
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
    .nullable(),
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
    .nullable(),
    column(
        "packets_interface",
        Kind::UInt64,
        "packets by the interface's own counters while it was observed; null where they were not asked all the while",
    )
    .nullable(),
    column("bytes_interface", Kind::UInt64, "bytes by the interface's own counters").nullable(),
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

/// Arrow schema of `flows`.
pub fn flows() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(&FLOWS));
    Arc::clone(&SCHEMA)
}

/// Arrow schema of `ledger`.
pub fn ledger() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| arrow_schema(&LEDGER));
    Arc::clone(&SCHEMA)
}

fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |c: &Column| Field::new(c.name, c.kind.arrow(), c.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
