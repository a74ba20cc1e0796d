//! One column of a row group, until it is written.

use std::{hash::Hash, io::Write};

use hashbrown::HashMap;
use parquet::{
    bloom_filter::Sbbf,
    data_type::{AsBytes, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type},
    errors::ParquetError,
    file::statistics::Statistics,
};

use super::chunk::{Chunk, Columns, Dictionary};

/// A column.
pub struct Column<V> {
    values: Vec<V>,
    /// 1 where a row has a value, 0 where it has none; empty in a column that has all.
    levels: Vec<i16>,
    /// Empty, but for the room that the last row group needed in it.
    places: HashMap<V, u32>,
}

impl<V> Default for Column<V> {
    fn default() -> Self {
        Self { values: vec![], levels: vec![], places: HashMap::new() }
    }
}

/// How numbers are stored. They are unsigned in the schema, but for times, which are after 1970.
pub trait Number: AsBytes + Into<i64> + Sized {
    type Parquet: DataType<T = Self>;

    fn statistics(least: Option<Self>, greatest: Option<Self>, nulls: u64) -> Statistics;
}

impl Number for i32 {
    type Parquet = Int32Type;

    fn statistics(least: Option<Self>, greatest: Option<Self>, nulls: u64) -> Statistics {
        Statistics::new(least, greatest, None, Some(nulls), false)
    }
}

impl Number for i64 {
    type Parquet = Int64Type;

    fn statistics(least: Option<Self>, greatest: Option<Self>, nulls: u64) -> Statistics {
        Statistics::new(least, greatest, None, Some(nulls), false)
    }
}

impl<V: Copy + Eq + Hash> Column<V> {
    /// Adds the value of a row, in a column where every row has one.
    pub fn push(&mut self, value: V) {
        self.values.push(value);
    }

    /// Adds the value of a row that may have none.
    pub fn push_optional(&mut self, value: Option<V>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    /// Writes the next column of a row group, and is empty then.
    pub fn write<W: Write + Send>(
        &mut self,
        to: &mut Columns<'_, '_, W>,
    ) -> Result<(), ParquetError>
    where
        V: Number,
    {
        if to.is_dictionary() {
            let (dictionary, places) =
                self.index(|value, dictionary| dictionary.extend_from_slice(value.as_bytes()));
            let rank = |value: &V| (*value).into().cast_unsigned();
            let least = self.values.iter().copied().min_by_key(rank);
            let greatest = self.values.iter().copied().max_by_key(rank);
            to.write_chunk(Chunk {
                dictionary: &dictionary,
                places: &places,
                levels: &self.levels,
                statistics: V::statistics(least, greatest, self.nulls()),
                bloom_filter: None,
            })?;
        } else {
            to.write::<V::Parquet>(&self.values, &self.levels)?;
        }
        self.clear();
        Ok(())
    }

    /// Writes the next column of a row group, in which each value is this text, and is empty then.
    pub fn write_texts<W: Write + Send, T: AsRef<[u8]>>(
        &mut self,
        to: &mut Columns<'_, '_, W>,
        text: impl Fn(V) -> T,
    ) -> Result<(), ParquetError> {
        let (dictionary, places) = self.index(|value, dictionary| {
            let text = text(value);
            let text = text.as_ref();
            dictionary.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            dictionary.extend_from_slice(text);
        });
        if to.is_dictionary() {
            let [least, greatest] = [texts(&dictionary).min(), texts(&dictionary).max()]
                .map(|text| Some(ByteArray::from(text?.to_vec())));
            to.write_chunk(Chunk {
                dictionary: &dictionary,
                places: &places,
                levels: &self.levels,
                statistics: Statistics::new(least, greatest, None, Some(self.nulls()), false),
                bloom_filter: to
                    .bloom_fpp()
                    .map(|fpp| bloom_filter(&dictionary, fpp))
                    .transpose()?,
            })?;
        } else {
            let texts: Vec<_> =
                texts(&dictionary).map(|text| ByteArray::from(text.to_vec())).collect();
            let rows = places.iter().filter_map(|place| texts.get(*place as usize).cloned());
            to.write::<ByteArrayType>(&rows.collect::<Vec<_>>(), &self.levels)?;
        }
        self.clear();
        Ok(())
    }

    /// The distinct values, as `append` writes them, and the place of each row's among them.
    ///
    /// One loop that does nothing else: the processor waits for many entries of the table at once.
    fn index(&mut self, append: impl Fn(V, &mut Vec<u8>)) -> (Dictionary, Vec<u32>) {
        let mut dictionary = Dictionary::default();
        let mut rows = Vec::with_capacity(self.values.len());
        let mut last = None;
        for value in &self.values {
            // Rows often have the value of the one before.
            let place = match last {
                Some((last, place)) if last == *value => place,
                _ => *self.places.entry(*value).or_insert_with(|| {
                    append(*value, &mut dictionary.values);
                    dictionary.count += 1;
                    // A row group has fewer rows.
                    u32::try_from(dictionary.count - 1).unwrap_or(u32::MAX)
                }),
            };
            last = Some((*value, place));
            rows.push(place);
        }
        (dictionary, rows)
    }

    fn nulls(&self) -> u64 {
        self.levels.len().saturating_sub(self.values.len()) as u64
    }

    fn clear(&mut self) {
        self.values.clear();
        self.levels.clear();
        self.places.clear();
    }
}

/// The texts of a dictionary.
fn texts(dictionary: &Dictionary) -> impl Iterator<Item = &[u8]> {
    let mut rest = dictionary.values.as_slice();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        Some(text)
    })
}

fn bloom_filter(dictionary: &Dictionary, fpp: f64) -> Result<Sbbf, ParquetError> {
    let mut filter = Sbbf::new_with_ndv_fpp(dictionary.count as u64, fpp)?;
    texts(dictionary).for_each(|text| filter.insert(text));
    // Its size is a power of two, and half of it may do.
    filter.fold_to_target_fpp(fpp);
    Ok(filter)
}
