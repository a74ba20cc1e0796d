//! The Parquet writer of small tables, and its settings.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    datatypes::{
        ArrowPrimitiveType, DataType, Int64Type as SignedType, TimestampMillisecondType,
        UInt32Type, UInt64Type,
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
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
};

use super::page::Pages;

/// Writes one table as a Parquet file in memory.
pub(super) fn write(
    table: &str,
    batch: &RecordBatch,
    metadata: Vec<KeyValue>,
) -> Result<Bytes, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(metadata));
    let properties = Arc::new(properties.build());
    let schema = ArrowSchemaConverter::new().schema_root(table).convert(&batch.schema())?;
    let mut file = SerializedFileWriter::new(vec![], schema.root_schema_ptr(), properties.clone())?;
    if batch.num_rows() > 0 {
        let mut group = file.next_row_group()?;
        for (array, descriptor) in batch.columns().iter().zip(schema.columns()) {
            let mut bytes = vec![];
            let pages = Box::new(Pages(&mut bytes));
            let column = get_column_writer(descriptor.clone(), properties.clone(), pages);
            let close = write_column(array, column, descriptor.max_def_level() > 0)?;
            group.append_column(&Bytes::from(bytes), close)?;
        }
        group.close()?;
    }
    file.into_inner().map(Bytes::from)
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
