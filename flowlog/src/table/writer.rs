//! The Parquet writer of small tables, and its settings.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    datatypes::{
        ArrowPrimitiveType, DataType, Int64Type as SignedType, TimestampMillisecondType, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
};
use bytes::Bytes;
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{Compression, ZstdLevel},
    column::writer::{ColumnWriter, ColumnWriterImpl, get_column_writer},
    data_type::{ByteArray, DataType as ParquetType},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
};

use super::{Error, Table, page::Pages, seal};

/// Rows of a row group, in a table whose order makes it worth while: a reader passes over those it does not need.
const GROUP_ROWS: usize = 65_536;

/// Encodes rows of a table as a file with these key-value pairs, which are made of the number of rows, and with a
/// digest of itself, where it is to have one.
pub fn encode(
    table: &Table,
    rows: &RecordBatch,
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let pairs = metadata(rows.num_rows());
    let failed = |source| Error::Parquet { dataset: table.name, source };
    if table.sealed_since.is_some() {
        write(table, rows, seal::pairs(pairs)).map(seal::seal).map_err(failed)
    } else {
        write(table, rows, pairs).map_err(failed)
    }
}

fn write(table: &Table, rows: &RecordBatch, pairs: Vec<KeyValue>) -> Result<Bytes, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_sorting_columns(sorting_columns(table))
        .set_key_value_metadata(Some(pairs));
    let properties = Arc::new(properties.build());
    let schema = ArrowSchemaConverter::new().schema_root(table.name).convert(&rows.schema())?;
    let mut file = SerializedFileWriter::new(vec![], schema.root_schema_ptr(), properties.clone())?;
    let group_rows = if table.sorted_by.is_empty() { usize::MAX } else { GROUP_ROWS };
    let mut written = 0;
    while written < rows.num_rows() {
        let of_group = rows.slice(written, group_rows.min(rows.num_rows() - written));
        let mut group = file.next_row_group()?;
        for (array, descriptor) in of_group.columns().iter().zip(schema.columns()) {
            let mut bytes = vec![];
            let pages = Box::new(Pages(&mut bytes));
            let column = get_column_writer(descriptor.clone(), properties.clone(), pages);
            let close = write_column(array, column, descriptor.max_def_level() > 0)?;
            group.append_column(&Bytes::from(bytes), close)?;
        }
        group.close()?;
        written += of_group.num_rows();
    }
    file.into_inner().map(Bytes::from)
}

/// The order of the rows, for the footer of a row group.
pub(super) fn sorting_columns(table: &Table) -> Option<Vec<SortingColumn>> {
    let column = |name: &&str| {
        let place = table.columns.iter().position(|column| column.name == *name)?;
        let column_idx = i32::try_from(place).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: false })
    };
    let columns: Vec<_> = table.sorted_by.iter().filter_map(column).collect();
    (!columns.is_empty()).then_some(columns)
}

fn write_column(
    array: &ArrayRef,
    column: ColumnWriter<'_>,
    is_nullable: bool,
) -> Result<parquet::column::writer::ColumnCloseResult, ParquetError> {
    let levels: Option<Vec<i16>> =
        is_nullable.then(|| (0..array.len()).map(|row| i16::from(array.is_valid(row))).collect());
    let levels = levels.as_deref();
    match (column, array.data_type()) {
        (ColumnWriter::Int64ColumnWriter(column), DataType::Timestamp(..)) => {
            finish(column, &numbers::<TimestampMillisecondType>(array), levels)
        }
        (ColumnWriter::Int64ColumnWriter(column), DataType::Int64) => {
            finish(column, &numbers::<SignedType>(array), levels)
        }
        (ColumnWriter::Int64ColumnWriter(column), DataType::UInt64) => {
            let values = numbers::<UInt64Type>(array).into_iter().map(u64::cast_signed);
            finish(column, &values.collect::<Vec<_>>(), levels)
        }
        (ColumnWriter::Int32ColumnWriter(column), DataType::UInt32) => {
            let values = numbers::<UInt32Type>(array).into_iter().map(u32::cast_signed);
            finish(column, &values.collect::<Vec<_>>(), levels)
        }
        (ColumnWriter::Int32ColumnWriter(column), DataType::UInt16) => {
            let values = numbers::<UInt16Type>(array).into_iter().map(i32::from);
            finish(column, &values.collect::<Vec<_>>(), levels)
        }
        (ColumnWriter::Int32ColumnWriter(column), DataType::UInt8) => {
            let values = numbers::<UInt8Type>(array).into_iter().map(i32::from);
            finish(column, &values.collect::<Vec<_>>(), levels)
        }
        (ColumnWriter::BoolColumnWriter(column), DataType::Boolean) => {
            finish(column, &array.as_boolean().iter().flatten().collect::<Vec<_>>(), levels)
        }
        (ColumnWriter::ByteArrayColumnWriter(column), DataType::Utf8) => {
            let texts = array.as_string::<i32>().iter().flatten();
            let texts = texts.map(|text| ByteArray::from(text.as_bytes().to_vec()));
            finish(column, &texts.collect::<Vec<_>>(), levels)
        }
        (_, other) => Err(ParquetError::NYI(format!("columns of {other}"))),
    }
}

/// The values of the rows that have one.
fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Vec<T::Native> {
    array.as_primitive::<T>().iter().flatten().collect()
}

fn finish<T: ParquetType>(
    mut column: ColumnWriterImpl<'_, T>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<parquet::column::writer::ColumnCloseResult, ParquetError> {
    column.write_batch(values, levels, None)?;
    column.close()
}
