//! Rows, as columns of the newest version of their table.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray as _, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
        TimestampMillisecondArray, new_null_array,
    },
    datatypes::{ArrowPrimitiveType, Schema, SchemaRef, TimestampMillisecondType},
    error::ArrowError,
};
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::{Error, Fault};
use crate::table::{description::Column, isolated};

/// The rows of a file, some at once. It ends with the first error.
pub struct Batches {
    object: Path,
    reader: Option<ParquetRecordBatchReader>,
    schema: SchemaRef,
    /// Rows that the file says it has, where all of them are read.
    named: Option<u64>,
    rows: u64,
}

impl Batches {
    pub(super) fn new(
        object: Path,
        reader: ParquetRecordBatchReader,
        columns: &[&'static Column],
        named: Option<u64>,
    ) -> Self {
        let fields = columns.iter().map(|column| column.field());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { object, reader: Some(reader), schema, named, rows: 0 }
    }

    fn read(&mut self) -> Result<Option<Rows>, Fault> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let next = isolated::catch(|| reader.next()).map_err(|_| Fault::Panicked)?;
        let Some(batch) = next.transpose().map_err(Fault::Decode)? else {
            self.reader = None;
            return match self.named {
                Some(named) if named != self.rows => Err(Fault::Rows { rows: self.rows, named }),
                _ => Ok(None),
            };
        };
        self.rows += batch.num_rows() as u64;
        let batch = joined(&batch, &self.schema).map_err(Fault::Decode)?;
        Ok(Some(Rows { object: self.object.clone(), batch }))
    }
}

impl Iterator for Batches {
    type Item = Result<Rows, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.reader = None;
        }
        read.map_err(|fault| fault.of(&self.object)).transpose()
    }
}

/// The columns of the newest version; those that the file does not have are null.
fn joined(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
        let found = batch.column_by_name(field.name());
        found.map_or_else(|| new_null_array(field.data_type(), batch.num_rows()), Arc::clone)
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// Some rows.
#[derive(Clone, Debug)]
pub struct Rows {
    object: Path,
    batch: RecordBatch,
}

impl Rows {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.batch.num_rows()
    }

    /// All of their columns.
    #[must_use]
    pub const fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// A column of texts.
    pub fn texts(&self, name: &str) -> Result<&StringArray, Error> {
        self.typed(name, |column| column.as_string_opt::<i32>())
    }

    /// A column of instants.
    pub fn times(&self, name: &str) -> Result<&TimestampMillisecondArray, Error> {
        self.typed(name, |column| column.as_primitive_opt::<TimestampMillisecondType>())
    }

    /// A column of numbers.
    pub fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&PrimitiveArray<T>, Error> {
        self.typed(name, |column| column.as_primitive_opt::<T>())
    }

    /// A column of yes and no.
    pub fn booleans(&self, name: &str) -> Result<&BooleanArray, Error> {
        self.typed(name, |column| column.as_boolean_opt())
    }

    /// The error of the file that has these rows.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> Error {
        fault.of(&self.object)
    }

    fn typed<'a, T: Array>(
        &'a self,
        name: &str,
        of_type: impl FnOnce(&'a ArrayRef) -> Option<&'a T>,
    ) -> Result<&'a T, Error> {
        let column = self.batch.column_by_name(name).and_then(of_type);
        column.ok_or_else(|| Fault::Column(name.to_owned()).of(&self.object))
    }
}
