//! What a flow did, in an epoch or in a window, in UTC.

use flowlog_common::flow::Direction;

use super::redacted::Address;

/// What one flow did in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// First packet, milliseconds of UTC.
    pub start_ms: i64,
    /// Last packet, milliseconds of UTC.
    pub end_ms: i64,
    /// Packets from the member.
    pub packets_up: u64,
    /// Bytes from the member.
    pub bytes_up: u64,
    /// Packets to the member.
    pub packets_down: u64,
    /// Bytes to the member.
    pub bytes_down: u64,
    /// OR of the TCP flags from the member.
    pub tcp_flags_up: u8,
    /// OR of the TCP flags to the member.
    pub tcp_flags_down: u8,
    /// OR of the reasons of [`flowlog_common::flow::partial`].
    pub partial: u8,
    /// Who sent the first packet.
    pub initiator: Direction,
}

/// A row of the flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// Address behind the interface.
    pub member: Address,
    /// Address on the other side; `None` where it is not known.
    pub remote: Option<Address>,
    /// Port of the member; ICMP: type and code.
    pub member_port: u16,
    /// Port of the remote side; ICMP: type and code.
    pub remote_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// What it did.
    pub activity: Activity,
}
