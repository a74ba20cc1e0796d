//! A row group, column by column. Column chunks with a dictionary are made here, since Parquet's own
//! writer would look up every value once more; all others are left to it.

use std::io::Write;

use bytes::Bytes;
use parquet::{
    basic::{Encoding, PageType},
    bloom_filter::Sbbf,
    column::{
        page::{CompressedPage, Page, PageWriter as _},
        writer::{ColumnCloseResult, get_column_writer, get_typed_column_writer},
    },
    data_type::DataType,
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, PageEncodingStats},
        properties::{EnabledStatistics, WriterPropertiesPtr},
        statistics::Statistics,
        writer::SerializedRowGroupWriter,
    },
    schema::types::ColumnDescPtr,
};
use zstd::bulk::Compressor;

use super::hybrid;
use crate::table::page::Pages;

/// A row group that is being written, column by column in the order of the schema.
pub struct Columns<'a, 'g, W: Write> {
    pub group: SerializedRowGroupWriter<'g, W>,
    /// The columns that are left.
    pub left: &'a [ColumnDescPtr],
    pub properties: &'a WriterPropertiesPtr,
    pub compressor: &'a mut Compressor<'static>,
}

/// The distinct values of a column, in the order in which rows first have them.
#[derive(Default)]
pub struct Dictionary {
    /// One behind the other (PLAIN).
    pub values: Vec<u8>,
    pub count: usize,
}

/// What the rows of a column point to.
pub struct Chunk<'a> {
    pub dictionary: &'a Dictionary,
    /// The place in the dictionary of each row that has a value.
    pub places: &'a [u32],
    /// 1 where a row has a value, 0 where it has none; empty where all have one.
    pub levels: &'a [i16],
    pub statistics: Statistics,
    pub bloom_filter: Option<Sbbf>,
}

impl<W: Write + Send> Columns<'_, '_, W> {
    /// Whether the next column is to have a dictionary.
    pub fn is_dictionary(&self) -> bool {
        self.left.first().is_some_and(|next| self.properties.dictionary_enabled(next.path()))
    }

    /// How often the bloom filter of the next column may be wrong, if it is to have one.
    pub fn bloom_fpp(&self) -> Option<f64> {
        let properties = self.properties.bloom_filter_properties(self.left.first()?.path())?;
        Some(properties.fpp())
    }

    /// Writes the next column without a dictionary.
    pub fn write<T: DataType>(
        &mut self,
        values: &[T::T],
        levels: &[i16],
    ) -> Result<(), ParquetError> {
        let descriptor = self.next()?;
        let levels = (!levels.is_empty()).then_some(levels);
        let mut bytes = vec![];
        let pages = Box::new(Pages(&mut bytes));
        let column = get_column_writer(descriptor, self.properties.clone(), pages);
        let mut column = get_typed_column_writer::<T>(column);
        column.write_batch(values, levels, None)?;
        let close = column.close()?;
        self.group.append_column(&Bytes::from(bytes), close)
    }

    /// Writes the next column with a dictionary.
    pub fn write_chunk(&mut self, chunk: Chunk<'_>) -> Result<(), ParquetError> {
        let descriptor = self.next()?;
        let mut bytes = vec![];
        let mut pages =
            DictionaryPages { to: &mut bytes, compressor: self.compressor, uncompressed: 0 };
        pages.write_dictionary(chunk.dictionary)?;
        let data_offset = pages.to.len();
        let page_count = pages.write_data(&chunk, self.properties.data_page_row_count_limit())?;
        let uncompressed = pages.uncompressed;
        let count = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
        let rows = chunk.rows();
        let mut metadata = ColumnChunkMetaData::builder(descriptor.clone())
            .set_compression(self.properties.compression(descriptor.path()))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_page_encoding_stats(vec![
                count(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                count(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, page_count),
            ])
            .set_total_compressed_size(length(bytes.len())?)
            .set_total_uncompressed_size(length(uncompressed)?)
            .set_num_values(length(rows)?)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(length(data_offset)?);
        if self.properties.statistics_enabled(descriptor.path()) != EnabledStatistics::None {
            metadata = metadata.set_statistics(chunk.statistics);
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: chunk.bloom_filter,
            column_index: None,
            offset_index: None,
        };
        self.group.append_column(&Bytes::from(bytes), close)
    }

    pub fn finish(self) -> Result<(), ParquetError> {
        self.group.close().map(drop)
    }

    fn next(&mut self) -> Result<ColumnDescPtr, ParquetError> {
        let (next, left) = self.left.split_first().ok_or_else(too_many)?;
        self.left = left;
        Ok(next.clone())
    }
}

impl Chunk<'_> {
    fn rows(&self) -> usize {
        if self.levels.is_empty() { self.places.len() } else { self.levels.len() }
    }
}

/// The pages of a column chunk that has a dictionary.
struct DictionaryPages<'a> {
    to: &'a mut Vec<u8>,
    compressor: &'a mut Compressor<'static>,
    /// Bytes of all of them, had they not been compressed.
    uncompressed: usize,
}

impl DictionaryPages<'_> {
    fn write_dictionary(&mut self, dictionary: &Dictionary) -> Result<(), ParquetError> {
        let num_values = page_count(dictionary.count)?;
        self.write(&dictionary.values, |buf| Page::DictionaryPage {
            buf,
            num_values,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        })
    }

    /// Writes the rows, and returns in how many pages.
    fn write_data(&mut self, chunk: &Chunk<'_>, page_rows: usize) -> Result<i32, ParquetError> {
        let width = hybrid::width(chunk.dictionary.count);
        let mut places = chunk.places;
        let mut page = vec![];
        let (mut written, mut pages) = (0, 0);
        while written < chunk.rows() {
            let rows = page_rows.min(chunk.rows() - written);
            page.clear();
            let values = if chunk.levels.is_empty() {
                rows
            } else {
                put_levels(&chunk.levels[written..written + rows], &mut page)?
            };
            let (first, rest) = places.split_at_checked(values).ok_or_else(too_few)?;
            places = rest;
            page.extend_from_slice(&width.to_le_bytes()[..1]);
            hybrid::encode(first, width, &mut page);
            let num_values = page_count(rows)?;
            self.write(&page, |buf| Page::DataPage {
                buf,
                num_values,
                encoding: Encoding::RLE_DICTIONARY,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            })?;
            written += rows;
            pages += 1;
        }
        Ok(pages)
    }

    fn write(
        &mut self,
        bytes: &[u8],
        page: impl FnOnce(Bytes) -> Page,
    ) -> Result<(), ParquetError> {
        let compressed = self.compressor.compress(bytes)?;
        let page = CompressedPage::new(page(compressed.into()), bytes.len());
        self.uncompressed += Pages(self.to).write_page(page)?.uncompressed_size;
        Ok(())
    }
}

/// Appends levels as a page begins with them, and returns how many rows have a value.
fn put_levels(levels: &[i16], page: &mut Vec<u8>) -> Result<usize, ParquetError> {
    let levels: Vec<u32> = levels.iter().map(|level| u32::from(*level > 0)).collect();
    let values = levels.iter().sum::<u32>() as usize;
    page.extend_from_slice(&[0; 4]);
    hybrid::encode(&levels, 1, page);
    let length = page_count(page.len() - 4)?;
    page[..4].copy_from_slice(&length.to_le_bytes());
    Ok(values)
}

fn page_count(count: usize) -> Result<u32, ParquetError> {
    u32::try_from(count).map_err(|source| ParquetError::External(source.into()))
}

fn length(bytes: usize) -> Result<i64, ParquetError> {
    i64::try_from(bytes).map_err(|source| ParquetError::External(source.into()))
}

fn too_many() -> ParquetError {
    ParquetError::General("more columns than the schema has".to_owned())
}

fn too_few() -> ParquetError {
    ParquetError::General("fewer values than levels say".to_owned())
}
