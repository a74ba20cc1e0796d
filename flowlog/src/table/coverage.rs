//! The `coverage` table: its description, and how its rows are written and read.

use std::sync::Arc;

use arrow::{
    array::{
        Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
        UInt32Array, UInt64Array,
    },
    datatypes::{Int64Type, UInt32Type, UInt64Type},
    error::ArrowError,
};
use bytes::Bytes;
use parquet::file::metadata::KeyValue;

use super::{
    Error, Span, Table,
    description::{Column, Kind, column},
    reader::{self, Fault, Rows},
    sessions::RETENTION_OF_SESSIONS,
    writer,
};
use crate::record::{
    clock::Utc,
    session::{CoverageGap, CoverageReason, CoverageRow, Instance, Source},
};

/// A row for each source and window.
pub static COVERAGE: Table = Table {
    name: "coverage",
    version: 1,
    about: "A row for each source of sessions and window: when it was looked at. Without it, \"nobody held the address\" \
            is \"nobody looked\".",
    columns: &COLUMNS,
    sorted_by: &["source", "instance", "window_start"],
    span: Span::Day,
    retention: RETENTION_OF_SESSIONS,
    is_personal: false,
    sealed_since: Some(1),
};

static COLUMNS: [Column; 16] = [
    column("source", Kind::Text, "source of sessions: `wireguard`, `openvpn` or `lease`"),
    column("instance", Kind::Text, "interface, server or file of the source"),
    column("realm", Kind::Text, "address space of its sessions"),
    column("window_start", Kind::Timestamp, "beginning of the window"),
    column("window_end", Kind::Timestamp, "end of the window"),
    column("observed_start", Kind::Timestamp, "first report of the source in the window"),
    column("observed_end", Kind::Timestamp, "last report of the source in the window"),
    column("reports", Kind::UInt64, "polls that were answered, or events"),
    column("longest_pause_ms", Kind::UInt32, "longest time without a report, in milliseconds"),
    column("errors", Kind::UInt64, "polls that failed"),
    column("overruns", Kind::UInt64, "how often events were lost on the way"),
    column(
        "gap_start",
        Kind::Timestamp,
        "start of a gap: from here on nothing is known of the source; null if there is no gap. A window with several gaps has a further row, without reports, for each of them",
    )
    .nullable(),
    column("gap_end", Kind::Timestamp, "end of the gap").nullable(),
    column(
        "gap_reason",
        Kind::Text,
        "`down`, `overrun`, `source_silent`, `source_error` or `clock_step`",
    )
    .nullable(),
    column("clock_error_ms", Kind::UInt32, "greatest error of the gateway's clock, in milliseconds"),
    column("clock_step_ms", Kind::Int64, "milliseconds by which the clock was set within the window"),
];

/// Encodes rows of coverage, in the order of the table.
pub fn encode(
    rows: &[CoverageRow],
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let columns = columns(rows);
    let columns = columns.map_err(|source| Error::Columns { dataset: COVERAGE.name, source })?;
    writer::encode(&COVERAGE, &columns, metadata)
}

fn columns(rows: &[CoverageRow]) -> Result<RecordBatch, ArrowError> {
    let time = |of: &dyn Fn(&CoverageRow) -> Option<Utc>| -> ArrayRef {
        let times = rows.iter().map(|row| of(row).map(Utc::ms));
        Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
    };
    let text = |of: &dyn Fn(&CoverageRow) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let count = |of: &dyn Fn(&CoverageRow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
    };
    let number = |of: &dyn Fn(&CoverageRow) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(of)))
    };
    let reasons = rows.iter().map(|row| row.gap.map(|gap| gap.reason.name()));
    RecordBatch::try_new(
        COVERAGE.schema(),
        vec![
            text(&|row| row.instance.source.name().to_owned()),
            text(&|row| row.instance.name.clone()),
            text(&|row| row.realm.clone()),
            time(&|row| Some(row.window.0)),
            time(&|row| Some(row.window.1)),
            time(&|row| Some(row.observed.0)),
            time(&|row| Some(row.observed.1)),
            count(&|row| row.reports),
            number(&|row| row.longest_pause_ms),
            count(&|row| row.errors),
            count(&|row| row.overruns),
            time(&|row| row.gap.map(|gap| gap.start)),
            time(&|row| row.gap.map(|gap| gap.end.ceiling_ms())),
            Arc::new(reasons.collect::<StringArray>()),
            number(&|row| row.clock_error_ms),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.clock_step_ms))),
        ],
    )
}

/// The rows of a batch that has all columns of the table.
pub fn rows(rows: &Rows) -> Result<Vec<CoverageRow>, reader::Error> {
    let count = |name: &str| rows.numbers::<UInt64Type>(name);
    let number = |name: &str| rows.numbers::<UInt32Type>(name);
    let (source, instance, realm) =
        (rows.texts("source")?, rows.texts("instance")?, rows.texts("realm")?);
    let (window_start, window_end) = (rows.times("window_start")?, rows.times("window_end")?);
    let (start, end) = (rows.times("observed_start")?, rows.times("observed_end")?);
    let (gap_start, gap_end) = (rows.times("gap_start")?, rows.times("gap_end")?);
    let reason = rows.texts("gap_reason")?;
    let (reports, errors, overruns) = (count("reports")?, count("errors")?, count("overruns")?);
    let (pause, clock) = (number("longest_pause_ms")?, number("clock_error_ms")?);
    let step = rows.numbers::<Int64Type>("clock_step_ms")?;
    let read = |row: usize| {
        let word = |column: &str| rows.fault(Fault::Value(column.to_owned()));
        let gap = if gap_start.is_valid(row) {
            let reason = CoverageReason::from_name(reason.value(row));
            Some(CoverageGap {
                start: Utc::from_ms(gap_start.value(row)),
                end: Utc::from_ms(gap_end.value(row)),
                reason: reason.ok_or_else(|| word("gap_reason"))?,
            })
        } else {
            None
        };
        Ok(CoverageRow {
            instance: Instance {
                source: Source::from_name(source.value(row)).ok_or_else(|| word("source"))?,
                name: instance.value(row).to_owned(),
            },
            realm: realm.value(row).to_owned(),
            window: (Utc::from_ms(window_start.value(row)), Utc::from_ms(window_end.value(row))),
            observed: (Utc::from_ms(start.value(row)), Utc::from_ms(end.value(row))),
            reports: reports.value(row),
            longest_pause_ms: pause.value(row),
            errors: errors.value(row),
            overruns: overruns.value(row),
            gap,
            clock_error_ms: clock.value(row),
            clock_step_ms: step.value(row),
        })
    };
    (0..rows.count()).map(read).collect()
}
