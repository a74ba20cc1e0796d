//! The one reader of a table's files, whoever asks.
//!
//! It is strict: a file has the columns of its version, each of the type that the description states, or it is not
//! read, and the error names the file. It joins the versions: a column that the version of a file does not have is
//! null. It reads by column, row group by row group, so that memory is bounded by a row group, and leaves out row
//! groups that cannot have what is looked for. A panic of the decoder is an error of the file.

mod bloom;
mod fault;
mod footer;
mod group;
mod prefetch;
mod prune;
mod rows;

use bytes::Bytes;
use object_store::path::Path;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use super::{
    Table,
    description::Column,
    isolated,
    metadata::Facts,
    seal::{self, Seal},
};
use crate::record::clock::Utc;
pub use fault::{Error, Fault};
pub use footer::Footer;
pub use prefetch::Prefetch;
pub use prune::Value;
pub use rows::{Batches, Rows};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// A file of a table that is open: its footer and its columns are what its version says.
pub struct Reader<R: ChunkReader + 'static = Bytes> {
    object: Path,
    footer: Footer,
    file: R,
    columns: Vec<&'static Column>,
    /// The row groups that are read; `None`: all of them.
    groups: Option<Vec<usize>>,
}

impl Reader {
    /// Opens a file that is there as a whole, and compares it with the digest that it has of itself, where its
    /// version has one.
    pub fn open_sealed(table: &'static Table, object: &Path, file: Bytes) -> Result<Self, Error> {
        let seal = table.sealed_since.map(|since| (since, seal::check(&file)));
        let changed = || Fault::Changed.of(object);
        if let Some((_, Seal::Broken)) = seal {
            return Err(changed());
        }
        let reader = Self::open(table, object, file)?;
        match seal {
            Some((since, Seal::None)) if reader.version() >= since => Err(changed()),
            _ => Ok(reader),
        }
    }
}

impl<R: ChunkReader + 'static> Reader<R> {
    /// Opens a file of a table; `object` is its name in errors.
    pub fn open(table: &'static Table, object: &Path, file: R) -> Result<Self, Error> {
        Ok(Self::of(Footer::read(table, object, &file)?, object, file))
    }

    /// Opens a file whose footer is known.
    #[must_use]
    pub fn of(footer: Footer, object: &Path, file: R) -> Self {
        let columns = footer.table().columns.iter().collect();
        Self { object: object.clone(), footer, file, columns, groups: None }
    }

    /// What is known of it without reading a row.
    #[must_use]
    pub const fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &R {
        &self.file
    }

    /// What the file says of itself.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.footer.facts()
    }

    /// The version of its table.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.footer.version()
    }

    /// Reads these columns alone.
    pub fn select(mut self, names: &[&str]) -> Result<Self, Error> {
        let of_name = |name: &&str| {
            let column = self.columns.iter().find(|column| column.name == *name);
            column.copied().ok_or_else(|| self.fault(Fault::Column((*name).to_owned())))
        };
        self.columns = names.iter().map(of_name).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Leaves out the row groups in which no row has a value of this column from `least` to `greatest`, as far as
    /// their statistics tell. The rows that are left are not looked at one by one.
    pub fn between(
        mut self,
        name: &str,
        least: Option<Value<'_>>,
        greatest: Option<Value<'_>>,
    ) -> Result<Self, Error> {
        let column = self.footer.table().column(name);
        let range = column.and_then(|column| prune::Range::of(column, least, greatest));
        let range = range.ok_or_else(|| self.fault(Fault::Column(name.to_owned())))?;
        let mut groups = self.groups();
        groups.retain(|group| range.meets(self.metadata().row_group(*group)));
        self.groups = Some(groups);
        Ok(self)
    }

    /// The row groups that are left to read.
    #[must_use]
    pub fn groups(&self) -> Vec<usize> {
        self.groups.clone().unwrap_or_else(|| (0..self.footer.groups()).collect())
    }

    /// The least and the greatest time of two columns, by the statistics of the file.
    #[must_use]
    pub fn times(&self, first: &str, last: &str) -> Option<(Utc, Utc)> {
        prune::times(self.metadata().row_groups(), first, last)
    }

    /// Reads the rows, batch by batch. Where all are read, it is an error at the end if there are others than the
    /// file says.
    pub fn batches(self) -> Result<Batches, Error> {
        let Self { object, footer, file, columns, groups } = self;
        let of_file: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let metadata = footer.arrow().clone();
        let mask = ProjectionMask::columns(metadata.parquet_schema(), of_file);
        let named = footer.facts().rows.filter(|_| groups.is_none());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        if let Some(groups) = groups {
            builder = builder.with_row_groups(groups);
        }
        let built = isolated::catch(|| builder.build());
        let built = built.map_err(|_| Fault::Panicked).and_then(|b| b.map_err(Fault::Parquet));
        let reader = built.map_err(|fault| fault.of(&object))?;
        Ok(Batches::new(object, reader, &columns, named))
    }

    /// Reads the rows, batch by batch.
    pub fn for_each<E: From<Error>>(
        self,
        mut each: impl FnMut(&Rows) -> Result<(), E>,
    ) -> Result<(), E> {
        for rows in self.batches()? {
            each(&rows?)?;
        }
        Ok(())
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.footer.parquet()
    }

    fn fault(&self, fault: Fault) -> Error {
        fault.of(&self.object)
    }
}

/// Compares the columns of a file with those that its version has.
fn check_columns(
    table: &Table,
    version: u32,
    file: &arrow::datatypes::Schema,
) -> Result<(), Fault> {
    let mut expected = 0;
    for column in table.columns.iter().filter(|column| column.since <= version) {
        let field = file.field_with_name(column.name).ok();
        let is_right = |field: &&arrow::datatypes::Field| {
            *field.data_type() == column.kind.arrow() && (column.nullable || !field.is_nullable())
        };
        field.filter(is_right).ok_or_else(|| Fault::Column(column.name.to_owned()))?;
        expected += 1;
    }
    if file.fields().len() == expected {
        return Ok(());
    }
    let is_known = |name: &str| {
        table.column(name).is_some_and(|column| column.since <= version)
            && file.fields().iter().filter(|field| field.name() == name).count() == 1
    };
    let unknown = file.fields().iter().find(|field| !is_known(field.name()));
    Err(Fault::UnknownColumn(unknown.map(|field| field.name().clone()).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
