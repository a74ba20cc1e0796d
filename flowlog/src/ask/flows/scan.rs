//! The rows of one row group that a question is about: what decides is read first, and the rest of the rows that are
//! left.

use std::{sync::Arc, thread};

use arrow::{
    array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch},
    compute::filter,
    datatypes::{Schema, TimestampMillisecondType, UInt8Type, UInt16Type},
};
use parquet::arrow::arrow_reader::RowSelection;

use super::{
    columns::Texts,
    filter::{Addresses, Filter, Lasts},
};
use crate::{
    ask::open::Part,
    record::clock::Utc,
    table::{
        Reader,
        reader::{self, Fault, Footer, Prefetch as _, Value},
    },
};
use object_store::path::Path;

/// Leaves out the row groups of a file that cannot have such rows.
pub(super) fn prune(reader: Reader<Part>, sought: &Filter) -> Result<Reader<Part>, reader::Error> {
    let Filter { member, remote, port, protocol, lasts } = sought;
    let mut reader = reader;
    for (column, addresses) in [("member_ip", member), ("remote_ip", remote)] {
        if let Some(addresses) = addresses {
            let (least, greatest) = addresses.texts();
            let [least, greatest] = [&least, &greatest].map(|text| Some(Value::Text(text)));
            reader = reader.between(column, least, greatest)?;
        }
    }
    if let Some(Lasts { first_ms, last_ms }) = lasts {
        let [first, last] = [first_ms, last_ms].map(|ms| Some(Value::Time(Utc::from_ms(*ms))));
        reader = reader.between("flow_end", first, None)?.between("flow_start", None, last)?;
    }
    for (column, number) in
        [("remote_port", port.map(u64::from)), ("protocol", protocol.map(u64::from))]
    {
        if let Some(number) = number.map(Value::Number) {
            reader = reader.between(column, Some(number), Some(number))?;
        }
    }
    match remote.and_then(|remote| remote.one()) {
        Some(one) if !reader.groups().is_empty() => reader.having("remote_ip", &one),
        _ => Ok(reader),
    }
}

/// A row group that may have rows.
pub(super) struct Group {
    pub gateway: Arc<str>,
    /// The beginning of its partition.
    pub partition: Utc,
    pub object: Path,
    pub footer: Footer,
    pub part: Part,
    pub number: usize,
    /// How many threads may decode it, where there are fewer row groups than threads.
    pub threads: usize,
}

/// Columns of the rows of a row group that have something in common.
struct Selected<'a> {
    group: &'a Group,
    part: Part,
    /// The rows; `None`: all of them.
    rows: Option<Vec<u32>>,
    /// What was read already, of these rows.
    read: Vec<(&'static str, ArrayRef)>,
}

impl Group {
    /// Reads columns of the rows that are sought; `None` where there is no such row.
    pub(super) fn read(
        &self,
        sought: &Filter,
        columns: &[&'static str],
    ) -> Result<Option<RecordBatch>, reader::Error> {
        let mut selected =
            Selected { group: self, part: self.part.afresh(), rows: None, read: vec![] };
        let deciding = self.deciding(sought);
        let mut names: Vec<&str> = deciding.iter().map(Condition::column).collect();
        // One request is quicker than two, where most row groups that are left have rows.
        names.extend(columns.iter().filter(|_| self.part.is_remote()));
        self.prefetch(&selected.part, &names)?;
        for condition in &deciding {
            selected.keep(condition, columns)?;
            if selected.rows.as_ref().is_some_and(Vec::is_empty) {
                return Ok(None);
            }
        }
        selected.finish(columns).map(Some)
    }

    /// What decides about a row, and is not known of all rows of the group.
    fn deciding<'f>(&self, sought: &'f Filter) -> Vec<Condition<'f>> {
        let Filter { member, remote, port, protocol, lasts } = sought;
        let is_open = |lasts: &Lasts| {
            let within = self.footer.times_of(self.number, "flow_start", "flow_end");
            within.is_none_or(|(first, last)| {
                first.ms() < lasts.first_ms || last.ms() > lasts.last_ms
            })
        };
        let conditions = [
            member.as_ref().map(|addresses| Condition::Address("member_ip", addresses)),
            remote.as_ref().map(|addresses| Condition::Address("remote_ip", addresses)),
            lasts.filter(is_open).map(Condition::EndsFrom),
            lasts.filter(is_open).map(Condition::StartsUntil),
            port.map(Condition::Port),
            protocol.map(Condition::Protocol),
        ];
        conditions.into_iter().flatten().collect()
    }

    /// Columns, in shares that take about as long to decode.
    fn shares<'c>(&self, columns: &[&'c str]) -> Vec<Vec<&'c str>> {
        let mut sizes: Vec<(u64, &str)> = columns
            .iter()
            .map(|name| (self.footer.decoded_size(self.number, name), *name))
            .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut shares = vec![(0, vec![]); self.threads.clamp(1, columns.len().max(1))];
        for (size, name) in sizes {
            if let Some((sum, share)) = shares.iter_mut().min_by_key(|(sum, _)| *sum) {
                *sum += size;
                share.push(name);
            }
        }
        shares.into_iter().map(|(_, share)| share).collect()
    }

    fn prefetch(&self, part: &Part, columns: &[&str]) -> Result<(), reader::Error> {
        let fetched = part.prefetch(&self.footer.ranges(self.number, columns));
        fetched.map_err(|error| Fault::Parquet(error).of(&self.object))
    }
}

/// What a row is to have.
enum Condition<'a> {
    Address(&'static str, &'a Addresses),
    EndsFrom(Lasts),
    StartsUntil(Lasts),
    Port(u16),
    Protocol(u8),
}

impl Condition<'_> {
    const fn column(&self) -> &'static str {
        match self {
            Self::Address(column, _) => column,
            Self::EndsFrom(_) => "flow_end",
            Self::StartsUntil(_) => "flow_start",
            Self::Port(_) => "remote_port",
            Self::Protocol(_) => "protocol",
        }
    }

    /// Which rows have it; a row without a value has not.
    fn holds(&self, column: &ArrayRef) -> Option<BooleanArray> {
        let times = || column.as_primitive_opt::<TimestampMillisecondType>();
        Some(match self {
            Self::Address(_, addresses) => addresses_in(&Texts::of(column)?, addresses),
            Self::EndsFrom(Lasts { first_ms, .. }) => {
                BooleanArray::from_unary(times()?, |ms| ms >= *first_ms)
            }
            Self::StartsUntil(Lasts { last_ms, .. }) => {
                BooleanArray::from_unary(times()?, |ms| ms <= *last_ms)
            }
            Self::Port(port) => {
                BooleanArray::from_unary(column.as_primitive_opt::<UInt16Type>()?, |of| of == *port)
            }
            Self::Protocol(protocol) => {
                let column = column.as_primitive_opt::<UInt8Type>()?;
                BooleanArray::from_unary(column, |of| of == *protocol)
            }
        })
    }
}

/// Which rows have one of some addresses: each distinct text is looked at once.
fn addresses_in(texts: &Texts, addresses: &Addresses) -> BooleanArray {
    let one = addresses.one();
    let is_one = |text: Option<&str>| match (&one, text) {
        (_, None) => false,
        (Some(one), Some(text)) => text == one,
        (None, Some(text)) => addresses.contain(text),
    };
    let is_wanted: Vec<bool> = texts.texts.iter().map(is_one).collect();
    let is_in = |place: i32| usize::try_from(place).is_ok_and(|p| is_wanted.get(p) == Some(&true));
    if let (Some(_), Some(place)) = (&one, is_wanted.iter().position(|is_wanted| *is_wanted)) {
        let place = i32::try_from(place).unwrap_or(-1);
        return BooleanArray::from_unary(&texts.places, |of| of == place);
    }
    BooleanArray::from_unary(&texts.places, is_in)
}

impl Selected<'_> {
    /// Keeps the rows that a condition holds for.
    fn keep(
        &mut self,
        condition: &Condition<'_>,
        wanted: &[&'static str],
    ) -> Result<(), reader::Error> {
        let name = condition.column();
        let column = self.column(name)?;
        let holds = condition.holds(&column).ok_or_else(|| self.wrong(name))?;
        if wanted.contains(&name) {
            self.read.push((name, column));
        }
        // A row that has no value is not kept.
        let holds = match holds.nulls() {
            Some(nulls) => holds.values() & nulls.inner(),
            None => holds.values().clone(),
        };
        if holds.count_set_bits() == holds.len() {
            return Ok(());
        }
        let kept = holds.set_indices();
        self.rows = Some(match &self.rows {
            None => kept.filter_map(|row| u32::try_from(row).ok()).collect(),
            Some(rows) => kept.filter_map(|row| rows.get(row).copied()).collect(),
        });
        let holds = BooleanArray::new(holds, None);
        for (_, column) in &mut self.read {
            let kept = filter(column, &holds).map_err(Fault::Decode);
            *column = kept.map_err(|fault| fault.of(&self.group.object))?;
        }
        Ok(())
    }

    /// All columns that are wanted, of the rows that are left.
    fn finish(mut self, wanted: &[&'static str]) -> Result<RecordBatch, reader::Error> {
        let is_missing = |name: &&&str| !self.read.iter().any(|(read, _)| read == *name);
        let missing: Vec<&str> = wanted.iter().filter(is_missing).copied().collect();
        if !missing.is_empty() {
            self.group.prefetch(&self.part, &missing)?;
            for batch in self.batches(&missing)? {
                for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                    let name = wanted.iter().find(|name| *name == field.name());
                    self.read.extend(name.map(|name| (*name, Arc::clone(column))));
                }
            }
        }
        let field = |(name, column): &(&str, ArrayRef)| {
            arrow::datatypes::Field::new(*name, column.data_type().clone(), true)
        };
        let schema = Arc::new(Schema::new(self.read.iter().map(field).collect::<Vec<_>>()));
        let columns = self.read.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(schema, columns).map_err(Fault::Decode);
        batch.map_err(|fault| fault.of(&self.group.object))
    }

    fn column(&mut self, name: &'static str) -> Result<ArrayRef, reader::Error> {
        if let Some(place) = self.read.iter().position(|(read, _)| *read == name) {
            return Ok(self.read.swap_remove(place).1);
        }
        let batch = self.batch(&[name])?;
        batch.columns().first().cloned().ok_or_else(|| self.wrong(name))
    }

    /// Columns, each in one of some batches, which several threads decode.
    fn batches(&self, columns: &[&str]) -> Result<Vec<RecordBatch>, reader::Error> {
        let shares = self.group.shares(columns);
        let Some((first, others)) = shares.split_first() else { return Ok(vec![]) };
        thread::scope(|scope| {
            let others: Vec<_> =
                others.iter().map(|share| scope.spawn(|| self.batch(share))).collect();
            let first = self.batch(first);
            let panicked = || Fault::Panicked.of(&self.group.object);
            let others = others.into_iter().map(|share| share.join().map_err(|_| panicked())?);
            [first].into_iter().chain(others).collect()
        })
    }

    fn batch(&self, columns: &[&str]) -> Result<RecordBatch, reader::Error> {
        let Group { object, footer, number, .. } = self.group;
        let selection = self.rows.as_ref().map(|rows| {
            let ranges = rows.chunk_by(|a, b| a + 1 == *b).filter_map(|run| {
                let (first, last) = (*run.first()? as usize, *run.last()? as usize);
                Some(first..last + 1)
            });
            RowSelection::from_consecutive_ranges(ranges, footer.rows_of(*number))
        });
        footer.read_group(object, self.part.clone(), *number, columns, selection)
    }

    fn wrong(&self, name: &str) -> reader::Error {
        Fault::Column(name.to_owned()).of(&self.group.object)
    }
}
