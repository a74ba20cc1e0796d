//! Rows of sessions as the columns of the table.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array,
        UInt32Array, UInt64Array,
    },
    error::ArrowError,
};

use super::SESSIONS;
use crate::record::{
    clock::Utc,
    session::{SessionRow, Subscriber},
};

/// An address as 32 hexadecimal digits, whose order is that of the addresses.
pub fn hex_of(address: IpAddr) -> String {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    };
    format!("{bits:032x}")
}

pub(super) fn columns(rows: &[SessionRow]) -> Result<RecordBatch, ArrowError> {
    let time = |of: &dyn Fn(&SessionRow) -> Utc| -> ArrayRef {
        let times = rows.iter().map(|row| of(row).ms());
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let number = |of: &dyn Fn(&SessionRow) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(of)))
    };
    let text = |of: &dyn Fn(&SessionRow) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let maybe_text = |of: &dyn Fn(&SessionRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let bytes = |place: usize| -> ArrayRef {
        let bytes = rows.iter().map(|row| row.bytes.map(|bytes| bytes[place]));
        Arc::new(bytes.collect::<UInt64Array>())
    };
    let ports = rows.iter().map(|row| row.outer?.port);
    let continues = rows.iter().map(|row| Some(row.continues));
    RecordBatch::try_new(
        SESSIONS.schema(),
        vec![
            text(&|row| row.session.hex()),
            number(&|row| row.segment),
            text(&|row| row.instance.source.name().to_owned()),
            text(&|row| row.instance.name.clone()),
            text(&|row| row.realm.clone()),
            text(&|row| row.peer.hex()),
            maybe_text(&|row| row.subscriber.as_ref().map(Subscriber::in_clear).cloned()),
            text(&|row| row.state.name().to_owned()),
            text(&|row| row.prefix.in_clear().to_string()),
            text(&|row| hex_of(row.prefix.in_clear().network())),
            text(&|row| hex_of(row.prefix.in_clear().broadcast())),
            maybe_text(&|row| Some(row.outer?.address.in_clear().to_string())),
            Arc::new(ports.collect::<UInt16Array>()),
            time(&|row| row.held.start),
            time(&|row| row.held.end.ceiling_ms()),
            number(&|row| row.held.start_slack_ms),
            number(&|row| row.held.end_slack_ms),
            time(&|row| row.session_start),
            number(&|row| row.session_start_slack_ms),
            Arc::new(continues.collect::<BooleanArray>()),
            maybe_text(&|row| row.end_reason.map(|reason| reason.name().to_owned())),
            bytes(0),
            bytes(1),
            number(&|row| row.clock_error_ms),
        ],
    )
}
