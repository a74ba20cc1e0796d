//! A table that exists only in tests, to show what it takes to add one.
//!
//! Adding it touched two files: this one, with the description and how a row is written, and `table.rs`, with its line
//! in `TABLES` and the one that declares this module. The store lists it, `verify` reads it, `duckdb` has a view of
//! it, the documentation has a section, and retention knows its period: none of them was changed for it.
//!
//! It is what the tables to come are and the two of today are not: cut by days, kept for a period of its own, sorted,
//! with a digest of each file in itself, and with a second version that has a column more.

mod tests;

use std::sync::Arc;

use arrow::{
    array::{
        BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt8Array, UInt16Array,
        UInt32Array,
    },
    error::ArrowError,
};
use bytes::Bytes;
use parquet::file::metadata::KeyValue;

use super::{
    Error, Span, Table,
    description::{Column, Kind, column},
    writer,
};
use crate::record::clock::Utc;

/// A row for each lease of an address.
pub static TRIAL: Table = Table {
    name: "trial",
    version: 2,
    about: "A row for each lease of an address.",
    columns: &COLUMNS,
    sorted_by: &["prefix", "held_start"],
    span: Span::Day,
    retention: "trial",
    is_personal: true,
    sealed_since: Some(1),
};

static COLUMNS: [Column; 7] = [
    column("prefix", Kind::Text, "address with its length"),
    column("held_start", Kind::Timestamp, "since when it was held"),
    column("held_end", Kind::Timestamp, "until when it was held"),
    column("continues", Kind::Boolean, "whether it was held on"),
    column("outer_port", Kind::UInt16, "port of the tunnel").nullable(),
    column("protocol", Kind::UInt8, "IP protocol number"),
    column("start_slack_ms", Kind::UInt32, "by how much it may have begun earlier").since(2),
];

/// A lease.
pub struct Lease {
    pub prefix: String,
    pub held: (Utc, Utc),
    pub continues: bool,
    pub outer_port: Option<u16>,
}

/// Encodes leases.
pub fn encode(
    rows: &[Lease],
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let built = columns(rows);
    let built = built.map_err(|source| Error::Columns { dataset: TRIAL.name, source })?;
    writer::encode(&TRIAL, &built, metadata)
}

pub fn columns(rows: &[Lease]) -> Result<RecordBatch, ArrowError> {
    let times = |of: fn(&Lease) -> Utc| {
        let times = rows.iter().map(|row| of(row).ms());
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let prefixes = rows.iter().map(|row| row.prefix.as_str());
    RecordBatch::try_new(
        TRIAL.schema(),
        vec![
            Arc::new(StringArray::from_iter_values(prefixes)),
            times(|row| row.held.0),
            times(|row| row.held.1),
            Arc::new(rows.iter().map(|row| Some(row.continues)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.outer_port).collect::<UInt16Array>()),
            Arc::new(UInt8Array::from_iter_values(rows.iter().map(|_| 17))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|_| 5_000))),
        ],
    )
}
