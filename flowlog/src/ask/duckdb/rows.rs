//! Flow rows read back, for showing a few of them.

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _},
    datatypes::{ArrowPrimitiveType, UInt8Type, UInt16Type, UInt64Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;

use crate::{
    store::{self, Store},
    table::{FLOWS, ObjectName},
};

/// Why rows cannot be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file is not sound.
    #[error("a file of the store is not sound Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Rows cannot be decoded.
    #[error("rows of a file cannot be decoded")]
    Decode(#[from] arrow::error::ArrowError),
}

/// A flow row, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of the schema page")]
pub struct Row {
    pub member_ip: String,
    pub member_port: Option<u16>,
    pub remote_ip: String,
    pub remote_port: Option<u16>,
    pub protocol: u8,
    pub icmp_type: Option<u8>,
    pub packets_up: u64,
    pub bytes_up: u64,
    pub packets_down: u64,
    pub bytes_down: u64,
    pub initiator: String,
}

impl Row {
    /// The protocol as people call it.
    #[must_use]
    pub fn protocol_name(&self) -> String {
        match (self.protocol, self.icmp_type) {
            (1 | 58, Some(0 | 129)) => "pong".to_owned(),
            (1 | 58, Some(8 | 128)) => "ping".to_owned(),
            (1 | 58, Some(other)) => format!("icmp {other}"),
            (6, _) => "tcp".to_owned(),
            (17, _) => "udp".to_owned(),
            (other, _) => other.to_string(),
        }
    }
}

/// Reads the flow rows of a small store.
pub async fn read(store: &Store) -> Result<Vec<Row>, Error> {
    let mut rows = vec![];
    for object in store.list_folder(FLOWS.name).await?.reported() {
        if ObjectName::parse(&object.location).is_none() {
            continue;
        }
        let file = store.read(&object.location).await?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            let batch = batch?;
            let column = |name: &str| batch.column_by_name(name);
            for row in 0..batch.num_rows() {
                rows.push(Row {
                    member_ip: text(column("member_ip"), row),
                    member_port: number::<UInt16Type>(column("member_port"), row),
                    remote_ip: text(column("remote_ip"), row),
                    remote_port: number::<UInt16Type>(column("remote_port"), row),
                    protocol: number::<UInt8Type>(column("protocol"), row).unwrap_or_default(),
                    icmp_type: number::<UInt8Type>(column("icmp_type"), row),
                    packets_up: number::<UInt64Type>(column("packets_up"), row).unwrap_or_default(),
                    bytes_up: number::<UInt64Type>(column("bytes_up"), row).unwrap_or_default(),
                    packets_down: number::<UInt64Type>(column("packets_down"), row)
                        .unwrap_or_default(),
                    bytes_down: number::<UInt64Type>(column("bytes_down"), row).unwrap_or_default(),
                    initiator: text(column("initiator"), row),
                });
            }
        }
    }
    Ok(rows)
}

fn text(column: Option<&ArrayRef>, row: usize) -> String {
    let column = column.and_then(|column| column.as_string_opt::<i32>());
    column.filter(|c| c.is_valid(row)).map_or("", |c| c.value(row)).to_owned()
}

fn number<T: ArrowPrimitiveType>(column: Option<&ArrayRef>, row: usize) -> Option<T::Native> {
    let column = column?.as_primitive_opt::<T>()?;
    column.is_valid(row).then(|| column.value(row))
}
