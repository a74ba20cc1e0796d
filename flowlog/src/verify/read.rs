//! Reading back the columns that are added up.

use arrow::{
    array::{
        Array as _, AsArray as _, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
    },
    datatypes::{TimestampMillisecondType, UInt64Type},
};
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{
    aggregate::ledger::{Account, Gap, GapReason},
    clock::Utc,
    encode::metadata::direction_name,
};

/// Why a file cannot be added up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is no Parquet file, or a damaged one.
    #[error("it is not a sound Parquet file")]
    Parquet(#[source] parquet::errors::ParquetError),
    /// Its rows cannot be decoded.
    #[error("its rows cannot be decoded")]
    Decode(#[source] arrow::error::ArrowError),
    /// It lacks a column, or the column has another type.
    #[error("it has no column {0} of the expected type")]
    Column(&'static str),
    /// A row has a direction that does not exist.
    #[error("a row has a direction that is neither up nor down")]
    Direction,
}

/// Adds up the flow rows of a file by interface: direction, counts, and number of rows (told with
/// the first direction).
pub(super) fn flows(
    file: Bytes,
    mut add: impl FnMut(&str, Direction, Count, u64),
) -> Result<(), Error> {
    let columns = ["interface", "packets_up", "bytes_up", "packets_down", "bytes_down"];
    for_each_batch(file, &columns, |batch| {
        let interface = text(batch, "interface")?;
        let [packets_up, bytes_up] = [number(batch, "packets_up")?, number(batch, "bytes_up")?];
        let [packets_down, bytes_down] =
            [number(batch, "packets_down")?, number(batch, "bytes_down")?];
        for row in 0..batch.num_rows() {
            let count = |packets: &UInt64Array, bytes: &UInt64Array| Count {
                packets: packets.value(row),
                bytes: bytes.value(row),
            };
            let interface = interface.value(row);
            add(interface, Direction::Up, count(packets_up, bytes_up), 1);
            add(interface, Direction::Down, count(packets_down, bytes_down), 0);
        }
        Ok(())
    })
}

/// A row of the ledger.
pub(super) struct LedgerRow<'a> {
    /// Beginning of the window.
    pub window: Utc,
    pub interface: &'a str,
    pub direction: Direction,
    pub gap: Option<Gap>,
    pub account: &'a Account,
}

/// Hands out the rows of a ledger file.
pub(super) fn ledger(file: Bytes, mut add: impl FnMut(LedgerRow<'_>)) -> Result<(), Error> {
    for_each_batch(file, &[], |batch| {
        let window_start = times(batch, "window_start")?;
        let gap_bounds = [times(batch, "gap_start")?, times(batch, "gap_end")?];
        // Version 1 knew one reason.
        let reasons = batch.column_by_name("gap_reason").and_then(|c| c.as_string_opt::<i32>());
        let interface = text(batch, "interface")?;
        let direction = text(batch, "direction")?;
        for row in 0..batch.num_rows() {
            let count = |packets, bytes| {
                Ok(Count {
                    packets: number(batch, packets)?.value(row),
                    bytes: number(batch, bytes)?.value(row),
                })
            };
            let account = Account {
                seen: count("packets_seen", "bytes_seen")?,
                flows: count("packets_flows", "bytes_flows")?,
                overflow: count("packets_overflow", "bytes_overflow")?,
                remainder: count("packets_remainder", "bytes_remainder")?,
                not_ip: count("packets_not_ip", "bytes_not_ip")?,
                malformed: count("packets_malformed", "bytes_malformed")?,
                excluded: count("packets_excluded", "bytes_excluded")?,
                fragments_without_first: count(
                    "packets_fragments_without_first",
                    "bytes_fragments_without_first",
                )?,
            };
            let direction = Direction::ALL
                .into_iter()
                .find(|d| direction_name(*d) == direction.value(row))
                .ok_or(Error::Direction)?;
            let [start, end] =
                gap_bounds.map(|bound| bound.is_valid(row).then(|| Utc::from_ms(bound.value(row))));
            let reason = reasons
                .filter(|reasons| reasons.is_valid(row))
                .and_then(|reasons| GapReason::from_name(reasons.value(row)))
                .unwrap_or(GapReason::Down);
            add(LedgerRow {
                window: Utc::from_ms(window_start.value(row)),
                interface: interface.value(row),
                direction,
                gap: start.zip(end).map(|(start, end)| Gap { start, end, reason }),
                account: &account,
            });
        }
        Ok(())
    })
}

/// Decodes some columns of a file; all of them where none is named.
fn for_each_batch(
    file: Bytes,
    columns: &[&str],
    mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::Parquet)?;
    if !columns.is_empty() {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    for batch in builder.build().map_err(Error::Parquet)? {
        each(&batch.map_err(Error::Decode)?)?;
    }
    Ok(())
}

fn times<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a TimestampMillisecondArray, Error> {
    let column = batch.column_by_name(name);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    times.ok_or(Error::Column(name))
}

fn text<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a StringArray, Error> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.filter(|column| column.null_count() == 0).ok_or(Error::Column(name))
}

fn number<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a UInt64Array, Error> {
    let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt64Type>());
    column.filter(|column| column.null_count() == 0).ok_or(Error::Column(name))
}
