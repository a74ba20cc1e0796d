//! The `ledger` table of a window.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
    },
    error::ArrowError,
};
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};

use parquet::file::metadata::KeyValue;

use super::{Error, metadata::direction_name, schema, writer};
use crate::{
    aggregate::ledger::{Account, Gap, LedgerEntry},
    clock::Utc,
    spool::header::WindowLedger,
};

const DATASET: &str = "ledger";

/// Encodes the ledger of some windows.
pub(super) fn encode(
    windows: &[WindowLedger],
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let rows: Vec<Row<'_>> = windows
        .iter()
        .flat_map(|window| window.rows.iter().map(move |entry| (window, entry)))
        .flat_map(|(window, entry)| {
            Direction::ALL.map(|direction| Row {
                window,
                entry,
                direction,
                account: entry.account(direction),
            })
        })
        .collect();
    let batch = columns(&rows).map_err(|source| Error::Columns { dataset: DATASET, source })?;
    writer::write(&batch, metadata(rows.len()))
        .map_err(|source| Error::Parquet { dataset: DATASET, source })
}

struct Row<'a> {
    window: &'a WindowLedger,
    entry: &'a LedgerEntry,
    direction: Direction,
    account: Account,
}

fn columns(rows: &[Row<'_>]) -> Result<RecordBatch, ArrowError> {
    let time = |of: &dyn Fn(&Row<'_>) -> i64| -> ArrayRef {
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let number = |of: fn(&Row<'_>) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(of)))
    };
    let bound = |of: fn(Gap) -> Utc| -> ArrayRef {
        let bounds = rows.iter().map(|row| row.entry.gap.map(|gap| of(gap).ms()));
        Arc::new(bounds.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
    };
    let mut columns: Vec<ArrayRef> = vec![
        time(&|row| row.window.start().ms()),
        time(&|row| row.window.end().ms()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.entry.interface))),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| direction_name(row.direction)),
        )),
        time(&|row| row.entry.observed_start.ms()),
        time(&|row| row.entry.observed_end.ms()),
        number(|row| row.entry.interruptions),
        bound(|gap| gap.start),
        bound(|gap| gap.end),
        number(|row| u32::try_from(row.entry.clock_error.as_millis()).unwrap_or(u32::MAX)),
    ];
    let terms: Vec<_> = rows.iter().map(|row| row.account.terms()).collect();
    for term in 0..Account::default().terms().len() {
        for part in [|count: Count| count.packets, |count: Count| count.bytes] {
            let values = terms.iter().map(|terms| part(terms[term].1));
            columns.push(Arc::new(UInt64Array::from_iter_values(values)));
        }
    }
    RecordBatch::try_new(schema::ledger(), columns)
}
