//! How a file of `flows` is laid out: what is measured by `cargo xtask bench layout`, and chosen
//! in ADR 11.

pub use parquet::basic::Encoding;
use parquet::{
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};

use super::FLOWS;
use crate::table::writer;

/// Settings of the file format; the default is what flowlog writes.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Rows of a row group, all of which are in memory at once.
    pub row_group: usize,
    /// Level of zstd.
    pub zstd_level: i32,
    /// The columns that have no dictionary, and how they are encoded instead.
    pub encodings: Vec<(&'static str, Encoding)>,
    /// The columns that are not compressed, since that makes them no smaller.
    pub uncompressed: Vec<&'static str>,
    /// How often the bloom filter of `remote_ip` may be wrong; `None` is without one.
    pub bloom_fpp: Option<f64>,
    /// Whether row groups say the least and the greatest value of a column.
    pub statistics: bool,
    /// Rows of a page, which is compressed by itself.
    pub page_rows: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            // A lookup decodes one of these: half of what DuckDB writes itself.
            row_group: 65_536,
            zstd_level: 3,
            encodings: vec![
                ("flow_start", Encoding::DELTA_BINARY_PACKED),
                ("flow_end", Encoding::DELTA_BINARY_PACKED),
                ("member_port", Encoding::DELTA_BINARY_PACKED),
                ("remote_port", Encoding::DELTA_BINARY_PACKED),
                ("packets_up", Encoding::PLAIN),
                ("bytes_up", Encoding::DELTA_BINARY_PACKED),
                ("packets_down", Encoding::PLAIN),
                ("bytes_down", Encoding::DELTA_BINARY_PACKED),
            ],
            // Their deltas are packed already: zstd takes off a tenth of a byte in 7.5, and as long for
            // it as for all others.
            uncompressed: vec!["flow_start", "flow_end", "member_port"],
            bloom_fpp: Some(0.01),
            statistics: true,
            page_rows: usize::MAX,
        }
    }
}

/// Above what a row group of the default size comes to: a page or a dictionary for each.
const PAGE_BYTES: usize = 8 << 20;

impl Layout {
    pub(super) fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let statistics =
            if self.statistics { EnabledStatistics::Chunk } else { EnabledStatistics::None };
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(self.zstd_level)?))
            .set_statistics_enabled(statistics)
            .set_sorting_columns(writer::sorting_columns(&FLOWS))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(self.page_rows)
            // A column has one page, which needs no index.
            .set_offset_index_disabled(true)
            .set_bloom_filter_position(BloomFilterPosition::AfterRowGroup);
        for (column, encoding) in &self.encodings {
            let column = ColumnPath::from(*column);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, *encoding);
        }
        for column in &self.uncompressed {
            let column = ColumnPath::from(*column);
            properties = properties.set_column_compression(column, Compression::UNCOMPRESSED);
        }
        if let Some(fpp) = self.bloom_fpp {
            let column = ColumnPath::from("remote_ip");
            // The writer folds the filter to the number of addresses that there are.
            properties = properties
                .set_column_bloom_filter_enabled(column.clone(), true)
                .set_column_bloom_filter_fpp(column.clone(), fpp)
                .set_column_bloom_filter_max_ndv(column, self.row_group.max(1) as u64);
        }
        Ok(properties.build())
    }
}
