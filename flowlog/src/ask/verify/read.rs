//! Reading a file back: what it says of itself, and the sums of its rows.

mod columns;

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch, TimestampMillisecondArray, UInt64Array},
    datatypes::{Int64Type, UInt64Type},
};
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{metadata::ParquetMetaData, statistics::Statistics},
};

use super::Depth;
use crate::{
    record::{
        clock::Utc,
        ledger::{Account, Gap, GapReason},
    },
    store,
    table::{
        FLOWS, LEDGER, Table,
        metadata::{Facts, direction_name},
        seal::{self, Seal},
    },
};
use columns::{Accounts, for_each_batch, number, text, times};

/// Why a file cannot be added up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store does not hand it out.
    #[error(transparent)]
    Store(store::Error),
    /// It is no Parquet file, or a damaged one.
    #[error("it is not a sound Parquet file")]
    Parquet(#[source] parquet::errors::ParquetError),
    /// Its rows cannot be decoded.
    #[error("its rows cannot be decoded")]
    Decode(#[source] arrow::error::ArrowError),
    /// It is so damaged that the decoder gives up.
    #[error("it is damaged: the decoder panicked")]
    Panicked,
    /// It is not what was written.
    #[error("it was changed after it was written: its own digest is another one")]
    Changed,
    /// It has another number of rows than its footer says.
    #[error("it has {rows} rows, and says that it has {named}")]
    Rows {
        /// Rows that are there.
        rows: u64,
        /// Rows by its metadata.
        named: u64,
    },
    /// It is of a later version.
    #[error("it is of version {0} of its table: use a version of flowlog that knows it")]
    Version(String),
    /// It lacks a column, or the column has another type.
    #[error("it has no column {0} of the expected type")]
    Column(&'static str),
    /// A row has a direction that does not exist.
    #[error("a row has a direction that is neither up nor down")]
    Direction,
    /// A row has a reason of a gap that does not exist.
    #[error("a row has a reason of a gap that this version does not know")]
    Reason,
}

/// The sums of an interface, by its name and direction.
pub(super) type Sums<T> = BTreeMap<(String, Direction), T>;

/// A file of flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub facts: Facts,
    pub sha256: String,
    pub rows: u64,
    pub sums: Sums<Count>,
    /// The first and the last time in it.
    pub times: Option<(Utc, Utc)>,
}

/// A gap, and the epochs beside which the ledger states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumberedGap {
    /// Epochs of the window whose row has it.
    pub epochs: Option<(u64, u64)>,
    pub interface: String,
    pub gap: Gap,
}

/// A file of the ledger.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub facts: Facts,
    pub sums: Sums<Account>,
    /// Windows whose account is not even: beginning, interface, direction, what is missing.
    pub uneven: Vec<(Utc, String, Direction, (i128, i128))>,
    /// Epochs and times of its windows, by their beginning.
    pub windows: BTreeMap<Utc, Window>,
    pub gaps: Vec<NumberedGap>,
    /// When each interface was counted, window by window.
    pub observed: Vec<(String, Utc, (Utc, Utc))>,
    pub has_clock_step: bool,
}

/// A window of a ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub end: Utc,
    pub epochs: Option<(u64, u64)>,
    /// From the first to the last time that is in it by its rows.
    pub observed: (Utc, Utc),
}

/// Reads a file of flows.
pub(super) fn flows(file: &Bytes, depth: Depth) -> Result<Option<Flows>, Error> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(Error::Parquet)?;
    let Some(facts) = facts(builder.metadata(), &FLOWS)? else { return Ok(None) };
    let mut flows = Flows {
        facts,
        sha256: crate::table::digest::sha256(file),
        times: times_of(builder.metadata()),
        ..Flows::default()
    };
    let columns = ["interface", "packets_up", "bytes_up", "packets_down", "bytes_down"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let builder = match depth {
        Depth::Sums => builder.with_projection(mask),
        Depth::Pages => builder,
    };
    for_each_batch(builder, |batch| flows.add(batch))?;
    check_rows(flows.rows, &flows.facts)?;
    Ok(Some(flows))
}

/// Reads a file of the ledger. It is small, so that all of its pages are always read.
pub(super) fn ledger(file: &Bytes) -> Result<Option<Ledger>, Error> {
    let seal = seal::check(file);
    if seal == Seal::Broken {
        return Err(Error::Changed);
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(Error::Parquet)?;
    let Some(facts) = facts(builder.metadata(), &LEDGER)? else { return Ok(None) };
    if seal == Seal::None && facts.schema_version.as_deref() != Some("1") {
        return Err(Error::Changed);
    }
    let mut ledger = Ledger { facts, ..Ledger::default() };
    let mut rows = 0;
    for_each_batch(builder, |batch| {
        rows += batch.num_rows() as u64;
        ledger.add(batch)
    })?;
    check_rows(rows, &ledger.facts)?;
    Ok(Some(ledger))
}

/// What a file says of itself; `None` where it is none of flowlog's.
fn facts(metadata: &ParquetMetaData, table: &Table) -> Result<Option<Facts>, Error> {
    let facts = Facts::of_pairs(metadata.file_metadata().key_value_metadata());
    match &facts.schema_version {
        None => Ok(None),
        Some(version) if table.known_version(version).is_some() => Ok(Some(facts)),
        Some(version) => Err(Error::Version(version.clone())),
    }
}

const fn check_rows(rows: u64, facts: &Facts) -> Result<(), Error> {
    match facts.rows {
        Some(named) if named != rows => Err(Error::Rows { rows, named }),
        _ => Ok(()),
    }
}

/// The first beginning and the last end of flows, by the statistics of a file.
fn times_of(metadata: &ParquetMetaData) -> Option<(Utc, Utc)> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let column = |name: &str| columns.iter().position(|column| column.name() == name);
    let (start, end) = (column("flow_start")?, column("flow_end")?);
    let statistics = |column: usize| {
        metadata.row_groups().iter().filter_map(move |group| {
            match group.column(column).statistics() {
                Some(Statistics::Int64(values)) => {
                    values.min_opt().copied().zip(values.max_opt().copied())
                }
                _ => None,
            }
        })
    };
    let first = statistics(start).map(|(least, _)| least).min()?;
    let last = statistics(end).map(|(_, greatest)| greatest).max()?;
    Some((Utc::from_ms(first), Utc::from_ms(last)))
}

impl Flows {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let interface = text(batch, "interface")?;
        let [packets_up, bytes_up] = [number(batch, "packets_up")?, number(batch, "bytes_up")?];
        let [packets_down, bytes_down] =
            [number(batch, "packets_down")?, number(batch, "bytes_down")?];
        let mut run: Option<(&str, [Count; 2])> = None;
        for row in 0..batch.num_rows() {
            let name = interface.value(row);
            let counts = match &mut run {
                Some((last, counts)) if *last == name => counts,
                _ => {
                    self.add_run(run.take());
                    &mut run.insert((name, Default::default())).1
                }
            };
            counts[Direction::Up as usize].add(packets_up.value(row), bytes_up.value(row));
            counts[Direction::Down as usize].add(packets_down.value(row), bytes_down.value(row));
        }
        self.add_run(run);
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds rows that follow each other and are of one interface.
    fn add_run(&mut self, run: Option<(&str, [Count; 2])>) {
        let Some((interface, counts)) = run else { return };
        for direction in Direction::ALL {
            let Count { packets, bytes } = counts[direction as usize];
            self.sums.entry((interface.to_owned(), direction)).or_default().add(packets, bytes);
        }
    }
}

impl Ledger {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let [start, end] = [times(batch, "window_start")?, times(batch, "window_end")?];
        let observed = [times(batch, "observed_start")?, times(batch, "observed_end")?];
        let gap_bounds = [times(batch, "gap_start")?, times(batch, "gap_end")?];
        // Version 1 has neither numbers nor steps, and knew one reason.
        let epochs = ["epoch_first", "epoch_last"]
            .map(|name| batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>());
        let reasons = batch.column_by_name("gap_reason").and_then(|c| c.as_string_opt::<i32>());
        let steps = batch
            .column_by_name("clock_step_ms")
            .and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.has_clock_step |= steps.is_some_and(|steps| steps.null_count() < steps.len());
        let [interface, direction] = [text(batch, "interface")?, text(batch, "direction")?];
        let accounts = Accounts::of(batch)?;
        for row in 0..batch.num_rows() {
            let at = |of: &TimestampMillisecondArray| Utc::from_ms(of.value(row));
            let name = interface.value(row);
            let direction = Direction::ALL
                .into_iter()
                .find(|d| direction_name(*d) == direction.value(row))
                .ok_or(Error::Direction)?;
            let account = accounts.row(row);
            let observed = observed.map(at);
            let number =
                |of: Option<&UInt64Array>| of.filter(|n| n.is_valid(row)).map(|n| n.value(row));
            let epochs = number(epochs[0]).zip(number(epochs[1]));
            self.add_window(at(start), at(end), epochs, observed);
            if account.missing() != (0, 0) {
                self.uneven.push((at(start), name.to_owned(), direction, account.missing()));
            }
            self.sums.entry((name.to_owned(), direction)).or_default().add(&account);
            // The rows of both directions have the same times.
            if direction == Direction::Up && observed[0] < observed[1] {
                self.observed.push((name.to_owned(), at(start), (observed[0], observed[1])));
            }
            let [gap_start, gap_end] =
                gap_bounds.map(|bound| bound.is_valid(row).then(|| at(bound)));
            if let Some((start, end)) = gap_start.zip(gap_end) {
                let reason = match reasons.filter(|reasons| reasons.is_valid(row)) {
                    Some(reasons) => {
                        GapReason::from_name(reasons.value(row)).ok_or(Error::Reason)?
                    }
                    None => GapReason::Down,
                };
                let gap = Gap { start, end, reason };
                self.gaps.push(NumberedGap { epochs, interface: name.to_owned(), gap });
            }
        }
        self.gaps.sort_unstable();
        self.gaps.dedup();
        Ok(())
    }

    fn add_window(&mut self, start: Utc, end: Utc, epochs: Option<(u64, u64)>, seen: [Utc; 2]) {
        let window =
            self.windows.entry(start).or_insert(Window { end, epochs, observed: (start, end) });
        window.observed = (window.observed.0.min(seen[0]), window.observed.1.max(seen[1]));
    }
}
