//! The `ledger` table: its description, and how the ledgers of windows are written.

mod description;

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray,
        TimestampMillisecondArray, UInt32Array, UInt64Array,
    },
    compute::{concat_batches, filter_record_batch},
    datatypes::UInt64Type,
    error::ArrowError,
};
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use object_store::path::Path;
use parquet::file::metadata::KeyValue;

use super::{Error, Reader, metadata::direction_name, reader::Rows, writer};
use crate::record::{
    clock::Utc,
    epoch_set::EpochSet,
    ledger::{Account, Gap, LedgerEntry},
    window::WindowLedger,
};

pub use description::LEDGER;

/// Encodes the ledger of some windows.
pub fn encode(
    windows: &[WindowLedger],
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let rows: Vec<Row<'_>> = windows.iter().flat_map(rows_of_window).collect();
    writer::encode(&LEDGER, &columns(&rows).map_err(unbuilt)?, metadata)
}

const fn unbuilt(source: ArrowError) -> Error {
    Error::Columns { dataset: LEDGER.name, source }
}

/// Encodes the ledger of some windows, and of others that a ledger accounts for already, or for a part of them;
/// `None` where it accounts for epochs of these windows that they do not have.
pub fn complete(
    object: &Path,
    before: &Bytes,
    windows: &[WindowLedger],
    held: &EpochSet,
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Option<Bytes>, Error> {
    let Some(before) = rows_of_this_version(object, before)? else { return Ok(None) };
    let number = |name| before.column_by_name(name)?.as_primitive_opt::<UInt64Type>();
    let Some((first, last)) = number("epoch_first").zip(number("epoch_last")) else {
        return Ok(None);
    };
    let epochs = |row| EpochSet::range(first.value(row), last.value(row));
    let rows = 0..before.num_rows();
    if rows.clone().map(epochs).any(|epochs| epochs.meets(held) && !held.contains(&epochs)) {
        return Ok(None);
    }
    let others: BooleanArray = rows.map(|row| Some(!epochs(row).meets(held))).collect();
    let rows: Vec<Row<'_>> = windows.iter().flat_map(rows_of_window).collect();
    let both = [filter_record_batch(&before, &others), columns(&rows)];
    let [before, these] = both.map(|batch| batch.map_err(unbuilt));
    let all = concat_batches(&LEDGER.schema(), &[before?, these?]).map_err(unbuilt)?;
    writer::encode(&LEDGER, &all, metadata).map(Some)
}

/// The rows of a ledger; `None` where it is of another version.
fn rows_of_this_version(object: &Path, file: &Bytes) -> Result<Option<RecordBatch>, Error> {
    let read = |source| Error::Read { dataset: LEDGER.name, source };
    let reader = match Reader::open(&LEDGER, object, file.clone()) {
        Ok(reader) if reader.version() == LEDGER.version => reader,
        Ok(_) => return Ok(None),
        Err(error) if error.fault.is_of_another_schema() => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let batches = reader.batches().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let batches = batches.map_err(read)?;
    concat_batches(&LEDGER.schema(), batches.iter().map(Rows::batch)).map(Some).map_err(unbuilt)
}

fn rows_of_window(window: &WindowLedger) -> impl Iterator<Item = Row<'_>> {
    window.rows.iter().flat_map(move |entry| rows_of(window, entry))
}

/// The rows of an interface in a window: its account with its first gap, and a row without counts
/// for each further one.
fn rows_of<'a>(window: &'a WindowLedger, entry: &'a LedgerEntry) -> Vec<Row<'a>> {
    let mut gaps = entry.gaps.iter().copied();
    let first = gaps.next();
    let counted = Direction::ALL.map(|direction| Row {
        window,
        interface: &entry.interface,
        direction,
        observed: (entry.observed_start, entry.observed_end),
        gap: first,
        counts: Some(entry),
        account: entry.account(direction),
    });
    let further = gaps.flat_map(|gap| {
        Direction::ALL.map(|direction| Row {
            window,
            interface: &entry.interface,
            direction,
            observed: (gap.end, gap.end),
            gap: Some(gap),
            counts: None,
            account: Account::default(),
        })
    });
    counted.into_iter().chain(further).collect()
}

struct Row<'a> {
    window: &'a WindowLedger,
    interface: &'a str,
    direction: Direction,
    observed: (Utc, Utc),
    gap: Option<Gap>,
    /// `None` in a row that is there for a further gap.
    counts: Option<&'a LedgerEntry>,
    account: Account,
}

impl Row<'_> {
    fn clock_error_ms(&self) -> u32 {
        let error = self.counts.map_or(0, |entry| entry.clock_error.as_millis());
        u32::try_from(error).unwrap_or(u32::MAX)
    }

    fn clock_step_ms(&self) -> Option<i64> {
        self.counts.map(|entry| entry.clock_step_ms).filter(|step| *step != 0)
    }

    fn on_interface(&self) -> Option<Count> {
        Some(self.counts?.on_interface?[self.direction as usize])
    }
}

fn columns(rows: &[Row<'_>]) -> Result<RecordBatch, ArrowError> {
    let time = |of: &dyn Fn(&Row<'_>) -> Option<Utc>| -> ArrayRef {
        let times = rows.iter().map(|row| of(row).map(Utc::ms));
        Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
    };
    let number = |of: &dyn Fn(&Row<'_>) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(of)))
    };
    let maybe = |of: &dyn Fn(&Row<'_>) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<UInt64Array>())
    };
    let text = |of: &dyn Fn(&Row<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let mut columns: Vec<ArrayRef> = vec![
        time(&|row| Some(row.window.start())),
        time(&|row| Some(row.window.end())),
        maybe(&|row| Some(row.window.epochs?.0)),
        maybe(&|row| Some(row.window.epochs?.1)),
        text(&|row| Some(row.interface.to_owned())),
        text(&|row| Some(direction_name(row.direction).to_owned())),
        time(&|row| Some(row.observed.0)),
        time(&|row| Some(row.observed.1)),
        number(&|row| row.counts.map_or(0, |entry| entry.interruptions)),
        time(&|row| Some(row.gap?.start)),
        time(&|row| Some(row.gap?.end)),
        text(&|row| Some(row.gap?.reason.name().to_owned())),
        number(&|row| row.clock_error_ms()),
        Arc::new(rows.iter().map(Row::clock_step_ms).collect::<Int64Array>()),
        maybe(&|row| Some(row.on_interface()?.packets)),
        maybe(&|row| Some(row.on_interface()?.bytes)),
    ];
    let terms: Vec<_> = rows.iter().map(|row| row.account.terms()).collect();
    for term in 0..Account::default().terms().len() {
        for part in [|count: Count| count.packets, |count: Count| count.bytes] {
            let values = terms.iter().map(|terms| part(terms[term].1));
            columns.push(Arc::new(UInt64Array::from_iter_values(values)));
        }
    }
    RecordBatch::try_new(LEDGER.schema(), columns)
}
