//! The columns of a batch of rows.

use arrow::{
    array::{
        Array as _, AsArray as _, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
    },
    datatypes::{TimestampMillisecondType, UInt64Type},
};
use bytes::Bytes;
use flowlog_common::total::Count;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Account, Error};

/// The columns of accounts.
pub(super) struct Accounts<'a>([[&'a UInt64Array; 2]; 8]);

impl<'a> Accounts<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self, Error> {
        let pair = |packets, bytes| Ok([number(batch, packets)?, number(batch, bytes)?]);
        Ok(Self([
            pair("packets_seen", "bytes_seen")?,
            pair("packets_flows", "bytes_flows")?,
            pair("packets_overflow", "bytes_overflow")?,
            pair("packets_remainder", "bytes_remainder")?,
            pair("packets_not_ip", "bytes_not_ip")?,
            pair("packets_malformed", "bytes_malformed")?,
            pair("packets_excluded", "bytes_excluded")?,
            pair("packets_fragments_without_first", "bytes_fragments_without_first")?,
        ]))
    }

    pub(super) fn row(&self, row: usize) -> Account {
        let [
            seen,
            flows,
            overflow,
            remainder,
            not_ip,
            malformed,
            excluded,
            fragments_without_first,
        ] = self
            .0
            .map(|[packets, bytes]| Count { packets: packets.value(row), bytes: bytes.value(row) });
        Account {
            seen,
            flows,
            overflow,
            remainder,
            not_ip,
            malformed,
            excluded,
            fragments_without_first,
        }
    }
}

pub(super) fn for_each_batch(
    builder: ParquetRecordBatchReaderBuilder<Bytes>,
    mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    for batch in builder.with_batch_size(8_192).build().map_err(Error::Parquet)? {
        each(&batch.map_err(Error::Decode)?)?;
    }
    Ok(())
}

pub(super) fn times<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a TimestampMillisecondArray, Error> {
    let column = batch.column_by_name(name);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    times.ok_or(Error::Column(name))
}

pub(super) fn text<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a StringArray, Error> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.filter(|column| column.null_count() == 0).ok_or(Error::Column(name))
}

pub(super) fn number<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a UInt64Array, Error> {
    let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt64Type>());
    column.filter(|column| column.null_count() == 0).ok_or(Error::Column(name))
}
