//! The description of `flows`.

use crate::table::{
    Table,
    description::{Column, Kind, RETENTION_OF_FLOWS, Span, column},
};

/// A row for each flow that was active in a window.
pub static FLOWS: Table = Table {
    name: "flows",
    version: 1,
    about: "A row for each flow that was active in a window, keyed from the member's side (RFC 5103). \
            Rows are sorted by the text of \
            `member_ip`, then by `protocol`, remote port (ICMP: type and code), remote address and member port.",
    columns: &COLUMNS,
    sorted_by: &["member_ip", "protocol"],
    span: Span::Hour,
    retention: RETENTION_OF_FLOWS,
    is_personal: true,
    sealed_since: None,
};

static COLUMNS: [Column; 18] = [
    column("interface", Kind::Text, "name of the VPN interface")
        .known_as("interfaceName (82)", "src_endpoint.interface_name"),
    column("flow_start", Kind::Timestamp, "first packet of the flow within the window")
        .known_as("flowStartMilliseconds (152)", "start_time"),
    column("flow_end", Kind::Timestamp, "last packet of the flow within the window")
        .known_as("flowEndMilliseconds (153)", "end_time"),
    column("member_ip", Kind::Text, "address of the member behind the VPN interface, written as in RFC 5952")
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
    column("icmp_type", Kind::UInt8, "type as on the wire, so that request and reply are two rows; null unless ICMP")
        .nullable()
        .known_as("icmpTypeIPv4 (176), icmpTypeIPv6 (178)", ""),
    column("icmp_code", Kind::UInt8, "code as on the wire; null unless ICMP")
        .nullable()
        .known_as("icmpCodeIPv4 (177), icmpCodeIPv6 (179)", ""),
    column("packets_up", Kind::UInt64, "IP packets on the wire from the member")
        .known_as("packetDeltaCount (2)", "traffic.packets_out"),
    column("bytes_up", Kind::UInt64, "IP bytes on the wire from the member, with IP headers, without link layer and padding")
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
    column("initiator", Kind::Text, "sender of the first packet that flowlog saw: `member` or `remote`")
        .known_as("biflowDirection (239)", "connection_info.direction"),
    column("partial", Kind::Text, "null if the row is complete; else the reason why ports or address are missing: `overflow` (the flow map was full), `fragment without first` (a later fragment without its first one), `transport header cut` (a packet too short for its ports)")
        .nullable(),
];

// DuckDB takes the columns of a table of one version from its first file. With a second version it has to take them
// from all files, and reads the footer of each before it answers anything: three to six times as slow.
const _: () = assert!(FLOWS.version == 1, "a second version of flows makes each question slow");
