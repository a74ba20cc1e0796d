//! One column of a row group, until it is written.

use std::{hash::Hash, io::Write};

use bytes::Bytes;
use hashbrown::HashMap;
use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType},
    errors::ParquetError,
    file::writer::SerializedRowGroupWriter,
};

/// Values of numbers.
pub struct Numbers<T: DataType> {
    values: Vec<T::T>,
    /// 1 where a row has a value, 0 where it has none; empty in a column that has all.
    levels: Vec<i16>,
}

impl<T: DataType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: vec![], levels: vec![] }
    }
}

impl<T: DataType> Numbers<T> {
    /// Adds the value of a row, in a column where every row has one.
    pub fn push(&mut self, value: T::T) {
        self.values.push(value);
    }

    /// Adds the value of a row that may have none.
    pub fn push_optional(&mut self, value: Option<T::T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    /// Writes the next column of a row group, and is empty then.
    pub fn write<W: Write + Send>(
        &mut self,
        to: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let levels = (!self.levels.is_empty()).then_some(self.levels.as_slice());
        let mut column = to.next_column()?.ok_or_else(too_many_columns)?;
        column.typed::<T>().write_batch(&self.values, levels, None)?;
        column.close()?;
        self.values.clear();
        self.levels.clear();
        Ok(())
    }
}

/// Values of text, of which there are few or which come in runs.
pub struct Texts<K> {
    /// By what the text is made from.
    places: HashMap<K, u32>,
    distinct: Vec<ByteArray>,
    last: Option<(K, u32)>,
    /// A place in `distinct` for each row that has a value.
    rows: Vec<u32>,
    levels: Vec<i16>,
}

impl<K> Default for Texts<K> {
    fn default() -> Self {
        Self { places: HashMap::new(), distinct: vec![], last: None, rows: vec![], levels: vec![] }
    }
}

/// Texts that are handed to the writer at once.
const BATCH: usize = 1024;

impl<K: Copy + Eq + Hash> Texts<K> {
    /// Adds the value of a row, in a column where every row has one.
    pub fn push(&mut self, key: K, text: impl FnOnce(K) -> Bytes) {
        let place = match self.last {
            Some((last, place)) if last == key => place,
            _ => self.place(key, text),
        };
        self.last = Some((key, place));
        self.rows.push(place);
    }

    /// Adds the value of a row that may have none.
    pub fn push_optional(&mut self, key: Option<K>, text: impl FnOnce(K) -> Bytes) {
        self.levels.push(i16::from(key.is_some()));
        if let Some(key) = key {
            self.push(key, text);
        }
    }

    fn place(&mut self, key: K, text: impl FnOnce(K) -> Bytes) -> u32 {
        *self.places.entry(key).or_insert_with(|| {
            let place = u32::try_from(self.distinct.len()).unwrap_or(u32::MAX);
            self.distinct.push(text(key).into());
            place
        })
    }

    /// Writes the next column of a row group, and is empty then.
    pub fn write<W: Write + Send>(
        &mut self,
        to: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        let mut column = to.next_column()?.ok_or_else(too_many_columns)?;
        let writer = column.typed::<ByteArrayType>();
        let mut batch = Vec::with_capacity(BATCH);
        let mut rows = self.rows.iter().filter_map(|place| self.distinct.get(*place as usize));
        if self.levels.is_empty() {
            loop {
                batch.extend(rows.by_ref().take(BATCH).cloned());
                if batch.is_empty() {
                    break;
                }
                writer.write_batch(&batch, None, None)?;
                batch.clear();
            }
        } else {
            for levels in self.levels.chunks(BATCH) {
                let values = levels.iter().filter(|level| **level > 0).count();
                batch.extend(rows.by_ref().take(values).cloned());
                writer.write_batch(&batch, Some(levels), None)?;
                batch.clear();
            }
        }
        column.close()?;
        let Self { places, distinct, last, rows, levels } = self;
        places.clear();
        distinct.clear();
        *last = None;
        rows.clear();
        levels.clear();
        Ok(())
    }
}

fn too_many_columns() -> ParquetError {
    ParquetError::General("more columns than the schema has".to_owned())
}
