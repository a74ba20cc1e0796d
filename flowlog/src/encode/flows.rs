//! The `flows` table of a window.

use std::{net::IpAddr, sync::Arc};

use arrow::{
    array::{
        ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt8Array, UInt16Array,
        UInt64Array,
    },
    error::ArrowError,
};
use bytes::Bytes;
use flowlog_common::flow::{Direction, partial};

use super::{Error, Provenance, address::AddressBook, metadata, schema, writer};
use crate::aggregate::window::{Activity, FlowRecord, Window};

const DATASET: &str = "flows";

/// Encodes the flows of a window, sorted by member address, then by start.
pub fn encode(window: &Window, from: &Provenance) -> Result<Bytes, Error> {
    let mut records: Vec<FlowRecord<'_>> = window.flows().collect();
    let members = AddressBook::new(records.iter().map(|record| record.member));
    let remotes = AddressBook::new(records.iter().filter_map(|record| record.remote));
    // The whole key decides in the end, so that the same window gives the same file.
    records.sort_by_cached_key(|record| {
        (
            members.place(&record.member),
            record.activity.start_ms,
            record.remote.map(|remote| remotes.place(&remote)),
            (record.member_port, record.remote_port, record.protocol),
            record.interface,
        )
    });
    let batch = columns(&records, &members, &remotes)
        .map_err(|source| Error::Columns { dataset: DATASET, source })?;
    let pairs = metadata::pairs(window, from, records.len(), Some(metadata::ledger_json(window)));
    let bloom = Some(("remote_ip", remotes.len() as u64));
    writer::write(&batch, pairs, &["member_ip", "flow_start"], bloom)
        .map_err(|source| Error::Parquet { dataset: DATASET, source })
}

fn columns(
    records: &[FlowRecord<'_>],
    members: &AddressBook,
    remotes: &AddressBook,
) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(&FlowRecord<'_>) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(of)))
    };
    let time = |of: fn(&Activity) -> i64| -> ArrayRef {
        let times =
            TimestampMillisecondArray::from_iter_values(records.iter().map(|r| of(&r.activity)));
        Arc::new(times.with_timezone("UTC"))
    };
    let count = |of: fn(&Activity) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(records.iter().map(|r| of(&r.activity))))
    };
    let port = |of: fn(&FlowRecord<'_>) -> Option<u16>| -> ArrayRef {
        let ports = records.iter().map(|r| of(r).filter(|_| r.has_ports()));
        Arc::new(ports.collect::<UInt16Array>())
    };
    let byte = |of: fn(&FlowRecord<'_>) -> Option<u8>| -> ArrayRef {
        Arc::new(records.iter().map(of).collect::<UInt8Array>())
    };
    let address = |book: &AddressBook, of: fn(&FlowRecord<'_>) -> Option<IpAddr>| -> ArrayRef {
        let texts = records.iter().map(|r| of(r).map(|address| book.text(book.place(&address))));
        Arc::new(texts.collect::<StringArray>())
    };
    RecordBatch::try_new(
        schema::flows(),
        vec![
            Arc::new(StringArray::from_iter_values(records.iter().map(|r| r.interface))),
            time(|a| a.start_ms),
            time(|a| a.end_ms),
            address(members, |r| Some(r.member)),
            address(remotes, |r| r.remote),
            port(|r| Some(r.member_port)),
            port(|r| r.remote.map(|_| r.remote_port)),
            byte(|r| Some(r.protocol)),
            byte(|r| Some(r.icmp()?[0])),
            byte(|r| Some(r.icmp()?[1])),
            count(|a| a.packets_up),
            count(|a| a.bytes_up),
            count(|a| a.packets_down),
            count(|a| a.bytes_down),
            byte(|r| Some(r.activity.tcp_flags_up).filter(|_| r.protocol == TCP)),
            byte(|r| Some(r.activity.tcp_flags_down).filter(|_| r.protocol == TCP)),
            text(|r| initiator_name(r.activity.initiator)),
            Arc::new(
                records.iter().map(|r| partial_name(r.activity.partial)).collect::<StringArray>(),
            ),
        ],
    )
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// UDP, DCCP, SCTP and UDP-Lite, besides TCP.
const WITH_PORTS: [u8; 5] = [TCP, 17, 33, 132, 136];

impl FlowRecord<'_> {
    /// Whether the ports are known. Where the row is partial and both are zero they are not:
    /// nobody talks from port 0 to port 0.
    fn has_ports(&self) -> bool {
        let is_unknown =
            self.activity.partial != 0 && self.member_port == 0 && self.remote_port == 0;
        WITH_PORTS.contains(&self.protocol) && !is_unknown
    }

    /// ICMP type and code, which stand in place of the ports.
    fn icmp(&self) -> Option<[u8; 2]> {
        let of_this_version = if self.member.is_ipv4() { ICMP } else { ICMPV6 };
        Some(self.member_port.to_be_bytes()).filter(|_| self.protocol == of_this_version)
    }
}

const fn initiator_name(initiator: Direction) -> &'static str {
    match initiator {
        Direction::Up => "member",
        Direction::Down => "remote",
    }
}

/// The gravest reason why a row is partial.
fn partial_name(reasons: u8) -> Option<&'static str> {
    [
        (partial::OVERFLOW, "overflow"),
        (partial::FRAGMENT_WITHOUT_FIRST, "fragment without first"),
        (partial::TRANSPORT_HEADER_CUT, "transport header cut"),
    ]
    .into_iter()
    .find_map(|(reason, name)| (reasons & reason != 0).then_some(name))
}
