//! The Parquet writer and its settings.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

/// Rows of a row group: what DuckDB gives to one thread, and where sorting by member begins to
/// prune well.
const ROW_GROUP: usize = 122_880;

/// Writes one table as a Parquet file in memory.
pub(super) fn write(
    batch: &RecordBatch,
    metadata: Vec<KeyValue>,
    sorted_by: &[&str],
    bloom: Option<(&str, u64)>,
) -> Result<Bytes, ParquetError> {
    let schema = batch.schema();
    let sorting = sorted_by.iter().filter_map(|name| {
        let column_idx = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: false })
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting.collect()))
        .set_key_value_metadata(Some(metadata));
    if let Some((column, distinct)) = bloom {
        let column = ColumnPath::from(column);
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_max_ndv(column, distinct.clamp(1, ROW_GROUP as u64));
    }
    let mut file = vec![];
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties.build()))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(file.into())
}
