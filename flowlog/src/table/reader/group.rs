//! Row groups one by one, and some columns or rows of one: for whoever reads several at a time.

use std::ops::Range;

use arrow::array::{RecordBatch, RecordBatchReader as _};
use object_store::path::Path;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection},
    },
    file::reader::ChunkReader,
};

use super::{Error, Fault, Footer, prune};
use crate::{record::clock::Utc, table::isolated};

impl Footer {
    /// Number of row groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.parquet().num_row_groups()
    }

    /// Rows of a row group.
    #[must_use]
    pub fn rows_of(&self, group: usize) -> usize {
        usize::try_from(self.parquet().row_group(group).num_rows()).unwrap_or(0)
    }

    /// Rows of the file, by its row groups.
    #[must_use]
    pub fn rows(&self) -> u64 {
        (0..self.groups()).map(|group| self.rows_of(group) as u64).sum()
    }

    /// The least and the greatest time of two columns of a row group, by its statistics.
    #[must_use]
    pub fn times_of(&self, group: usize, first: &str, last: &str) -> Option<(Utc, Utc)> {
        prune::times(std::slice::from_ref(self.parquet().row_group(group)), first, last)
    }

    /// Where the columns of a row group are in the file.
    #[must_use]
    pub fn ranges(&self, group: usize, columns: &[&str]) -> Vec<Range<u64>> {
        let group = self.parquet().row_group(group);
        let range = |name: &&str| {
            let (start, length) = group.column(prune::place(group, name)?).byte_range();
            Some(start..start.checked_add(length)?)
        };
        columns.iter().filter_map(range).collect()
    }

    /// Bytes of a column of a row group when they are not compressed.
    #[must_use]
    pub fn decoded_size(&self, group: usize, column: &str) -> u64 {
        let group = self.parquet().row_group(group);
        let size = prune::place(group, column).map(|place| group.column(place).uncompressed_size());
        size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
    }

    /// Reads columns of the rows of a row group, or of those that are selected. Texts are places in a dictionary, and
    /// the columns are in the order of the file; a column that the file's version does not have is left out.
    pub fn read_group<R: ChunkReader + 'static>(
        &self,
        object: &Path,
        file: R,
        group: usize,
        columns: &[&str],
        selection: Option<RowSelection>,
    ) -> Result<RecordBatch, Error> {
        let rows = self.rows_of(group);
        let expected = selection.as_ref().map_or(rows, RowSelection::row_count);
        let read = || {
            let metadata = self.coded()?.clone();
            let mask = ProjectionMask::columns(metadata.parquet_schema(), columns.iter().copied());
            let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(rows.max(1))
                .with_row_groups(vec![group]);
            if let Some(selection) = selection {
                builder = builder.with_row_selection(selection);
            }
            let mut reader = builder.build().map_err(Fault::Parquet)?;
            let batch = reader.next().transpose().map_err(Fault::Decode)?;
            let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(reader.schema()));
            if batch.num_rows() == expected && reader.next().is_none() {
                return Ok(batch);
            }
            Err(Fault::Rows { rows: batch.num_rows() as u64, named: expected as u64 })
        };
        let read = isolated::catch(read).map_err(|_| Fault::Panicked);
        read.and_then(|read| read).map_err(|fault| fault.of(object))
    }
}
