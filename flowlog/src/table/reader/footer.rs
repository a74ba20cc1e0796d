//! What is known of a file before a row of it is read. Whoever asks several questions keeps it.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema};
use object_store::path::Path;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use super::{Error, Fault, check_columns};
use crate::table::{Table, description::Kind, isolated, metadata::Facts};

/// The footer of a file whose columns are those that its version has.
#[derive(Clone, Debug)]
pub struct Footer(Arc<Known>);

#[derive(Debug)]
struct Known {
    table: &'static Table,
    version: u32,
    facts: Facts,
    metadata: ArrowReaderMetadata,
    /// The same, with texts as places in a dictionary.
    coded: OnceLock<ArrowReaderMetadata>,
}

impl Footer {
    /// Reads the footer of a file of a table; `object` is its name in errors.
    pub fn read<R: ChunkReader + 'static>(
        table: &'static Table,
        object: &Path,
        file: &R,
    ) -> Result<Self, Error> {
        let load = || ArrowReaderMetadata::load(file, ArrowReaderOptions::new());
        let check = || {
            let loaded = isolated::catch(load).map_err(|_| Fault::Panicked)?;
            let metadata = loaded.map_err(Fault::Parquet)?;
            let pairs = metadata.metadata().file_metadata().key_value_metadata();
            let facts = Facts::of_pairs(pairs);
            let named = facts.schema_version.as_deref().ok_or(Fault::Foreign)?;
            let version =
                table.known_version(named).ok_or_else(|| Fault::Version(named.to_owned()))?;
            check_columns(table, version, metadata.schema())?;
            Ok(Self(Arc::new(Known { table, version, facts, metadata, coded: OnceLock::new() })))
        };
        check().map_err(|fault: Fault| fault.of(object))
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.0.table
    }

    /// The version of its table.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.version
    }

    /// What the file says of itself.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    pub(super) fn arrow(&self) -> &ArrowReaderMetadata {
        &self.0.metadata
    }

    pub(super) fn parquet(&self) -> &ParquetMetaData {
        self.0.metadata.metadata()
    }

    /// For reading texts as places in a dictionary: few of them are distinct.
    pub(super) fn coded(&self) -> Result<&ArrowReaderMetadata, Fault> {
        if let Some(coded) = self.0.coded.get() {
            return Ok(coded);
        }
        let code = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 => {
                let coded = Kind::coded_text();
                Arc::new(field.as_ref().clone().with_data_type(coded))
            }
            _ => Arc::clone(field),
        };
        let fields = self.0.metadata.schema().fields().iter().map(code);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = Arc::clone(self.0.metadata.metadata());
        let coded = ArrowReaderMetadata::try_new(metadata, options).map_err(Fault::Parquet)?;
        Ok(self.0.coded.get_or_init(|| coded))
    }
}
