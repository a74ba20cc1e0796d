//! Rows of flows as they are read: by column, with texts as places in a dictionary.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch,
        StringArray, TimestampMillisecondArray,
    },
    datatypes::{
        ArrowPrimitiveType, Int32Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt64Type,
    },
};
use serde::Serialize;

use crate::record::clock::Utc;

/// A column of texts, of which few are distinct.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub places: Int32Array,
    pub texts: StringArray,
}

impl Texts {
    pub(super) fn of(column: &ArrayRef) -> Option<Self> {
        let coded: &DictionaryArray<Int32Type> = column.as_dictionary_opt()?;
        let texts = coded.values().as_string_opt::<i32>()?.clone();
        Some(Self { places: coded.keys().clone(), texts })
    }

    /// The text of a row.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let place = self.places.is_valid(row).then(|| self.places.value(row))?;
        self.text(usize::try_from(place).ok()?)
    }

    /// The text of a place.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        (place < self.texts.len() && self.texts.is_valid(place)).then(|| self.texts.value(place))
    }
}

/// Some rows of one row group.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    gateway: Arc<str>,
    interface: Texts,
    flow_start: TimestampMillisecondArray,
    flow_end: TimestampMillisecondArray,
    member_ip: Texts,
    remote_ip: Texts,
    member_port: PrimitiveArray<UInt16Type>,
    remote_port: PrimitiveArray<UInt16Type>,
    protocol: PrimitiveArray<UInt8Type>,
    icmp_type: PrimitiveArray<UInt8Type>,
    icmp_code: PrimitiveArray<UInt8Type>,
    packets_up: PrimitiveArray<UInt64Type>,
    bytes_up: PrimitiveArray<UInt64Type>,
    packets_down: PrimitiveArray<UInt64Type>,
    bytes_down: PrimitiveArray<UInt64Type>,
    tcp_flags_up: PrimitiveArray<UInt8Type>,
    tcp_flags_down: PrimitiveArray<UInt8Type>,
    initiator: Texts,
    partial: Texts,
}

/// A row of an answer. Rows are in the order of these fields: by time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the columns of the schema page")]
pub struct Row<'a> {
    #[serde(serialize_with = "instant")]
    pub flow_start: Utc,
    #[serde(serialize_with = "instant")]
    pub flow_end: Utc,
    pub gateway: &'a str,
    pub interface: &'a str,
    pub member_ip: &'a str,
    pub member_port: Option<u16>,
    pub remote_ip: Option<&'a str>,
    pub remote_port: Option<u16>,
    pub protocol: u8,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
    pub packets_up: u64,
    pub bytes_up: u64,
    pub packets_down: u64,
    pub bytes_down: u64,
    pub tcp_flags_up: Option<u8>,
    pub tcp_flags_down: Option<u8>,
    pub initiator: &'a str,
    pub partial: Option<&'a str>,
}

/// Writes an instant as RFC 3339.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) fn instant<S: serde::Serializer>(instant: &Utc, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(instant)
}

impl Columns {
    /// `None` where a column is missing or of another type.
    pub(super) fn of(gateway: &Arc<str>, batch: &RecordBatch) -> Option<Self> {
        let texts = |name: &str| Texts::of(batch.column_by_name(name)?);
        Some(Self {
            gateway: Arc::clone(gateway),
            interface: texts("interface")?,
            flow_start: numbers::<TimestampMillisecondType>(batch, "flow_start")?,
            flow_end: numbers::<TimestampMillisecondType>(batch, "flow_end")?,
            member_ip: texts("member_ip")?,
            remote_ip: texts("remote_ip")?,
            member_port: numbers(batch, "member_port")?,
            remote_port: numbers(batch, "remote_port")?,
            protocol: numbers(batch, "protocol")?,
            icmp_type: numbers(batch, "icmp_type")?,
            icmp_code: numbers(batch, "icmp_code")?,
            packets_up: numbers(batch, "packets_up")?,
            bytes_up: numbers(batch, "bytes_up")?,
            packets_down: numbers(batch, "packets_down")?,
            bytes_down: numbers(batch, "bytes_down")?,
            tcp_flags_up: numbers(batch, "tcp_flags_up")?,
            tcp_flags_down: numbers(batch, "tcp_flags_down")?,
            initiator: texts("initiator")?,
            partial: texts("partial")?,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.flow_start.len()
    }

    /// When a row starts and ends, in milliseconds: what rows are sorted by first.
    pub(super) fn times(&self, row: usize) -> (i64, i64) {
        (self.flow_start.value(row), self.flow_end.value(row))
    }

    pub(super) fn row(&self, row: usize) -> Row<'_> {
        Row {
            flow_start: Utc::from_ms(self.flow_start.value(row)),
            flow_end: Utc::from_ms(self.flow_end.value(row)),
            gateway: &self.gateway,
            interface: self.interface.get(row).unwrap_or_default(),
            member_ip: self.member_ip.get(row).unwrap_or_default(),
            member_port: valid(&self.member_port, row),
            remote_ip: self.remote_ip.get(row),
            remote_port: valid(&self.remote_port, row),
            protocol: self.protocol.value(row),
            icmp_type: valid(&self.icmp_type, row),
            icmp_code: valid(&self.icmp_code, row),
            packets_up: self.packets_up.value(row),
            bytes_up: self.bytes_up.value(row),
            packets_down: self.packets_down.value(row),
            bytes_down: self.bytes_down.value(row),
            tcp_flags_up: valid(&self.tcp_flags_up, row),
            tcp_flags_down: valid(&self.tcp_flags_down, row),
            initiator: self.initiator.get(row).unwrap_or_default(),
            partial: self.partial.get(row),
        }
    }
}

/// A column of numbers.
pub(super) fn numbers<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    name: &str,
) -> Option<PrimitiveArray<T>> {
    batch.column_by_name(name)?.as_primitive_opt::<T>().cloned()
}

/// The value of a row that may have none.
fn valid<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}
