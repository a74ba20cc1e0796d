//! Ledger rows as numbers in a fixed order.

use std::time::Duration;

use serde::{Deserializer, Serializer};

use flowlog_common::total::{Count, Totals};
use serde::{Deserialize, Serialize};

use crate::record::{
    clock::Utc,
    ledger::{Gap, GapReason, LedgerEntry},
};

#[derive(Serialize, Deserialize)]
struct Row {
    interface: String,
    observed_ns: (i64, i64),
    interruptions: u32,
    /// The only gap of a run of version 1.
    #[serde(default, skip_serializing)]
    gap_ns: Option<(i64, i64)>,
    #[serde(default)]
    gaps: Vec<(i64, i64, GapReason)>,
    clock_error_us: u64,
    #[serde(default)]
    clock_step_ms: i64,
    #[serde(default)]
    on_interface: Option<[Pair; 2]>,
    totals: [[Pair; 6]; 2],
    flows: [Pair; 2],
    overflow: [Pair; 2],
}

type Pair = (u64, u64);

pub(super) fn serialize<S: Serializer>(rows: &[LedgerEntry], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(rows.iter().map(Row::of))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<LedgerEntry>, D::Error> {
    let rows = Vec::<Row>::deserialize(from)?;
    Ok(rows.into_iter().map(Row::entry).collect())
}

impl Row {
    fn of(entry: &LedgerEntry) -> Self {
        let LedgerEntry {
            interface,
            observed_start,
            observed_end,
            interruptions,
            gaps,
            clock_error,
            clock_step_ms,
            on_interface,
            totals,
            in_flows,
            in_overflow,
        } = entry;
        Self {
            interface: interface.clone(),
            observed_ns: (observed_start.ns(), observed_end.ns()),
            interruptions: *interruptions,
            gap_ns: None,
            gaps: gaps
                .iter()
                .map(|Gap { start, end, reason }| (start.ns(), end.ns(), *reason))
                .collect(),
            clock_error_us: u64::try_from(clock_error.as_micros()).unwrap_or(u64::MAX),
            clock_step_ms: *clock_step_ms,
            on_interface: on_interface.map(|counts| counts.map(pair)),
            totals: totals.map(|totals| pairs(&totals)),
            flows: in_flows.map(pair),
            overflow: in_overflow.map(pair),
        }
    }

    fn entry(self) -> LedgerEntry {
        LedgerEntry {
            interface: self.interface,
            observed_start: Utc::from_ns(self.observed_ns.0),
            observed_end: Utc::from_ns(self.observed_ns.1),
            interruptions: self.interruptions,
            gaps: self
                .gap_ns
                .map(|(start, end)| (start, end, GapReason::Down))
                .into_iter()
                .chain(self.gaps)
                .map(|(start, end, reason)| {
                    Gap::between(Utc::from_ns(start), Utc::from_ns(end), reason)
                })
                .collect(),
            clock_error: Duration::from_micros(self.clock_error_us),
            clock_step_ms: self.clock_step_ms,
            on_interface: self.on_interface.map(|counts| counts.map(count)),
            totals: self.totals.map(totals),
            in_flows: self.flows.map(count),
            in_overflow: self.overflow.map(count),
        }
    }
}

fn pairs(totals: &Totals) -> [Pair; 6] {
    let Totals { seen, not_ip, malformed, excluded, remainder, fragments_without_first } = *totals;
    [seen, not_ip, malformed, excluded, remainder, fragments_without_first].map(pair)
}

fn totals(pairs: [Pair; 6]) -> Totals {
    let [seen, not_ip, malformed, excluded, remainder, fragments_without_first] = pairs.map(count);
    Totals { seen, not_ip, malformed, excluded, remainder, fragments_without_first }
}

const fn pair(count: Count) -> Pair {
    (count.packets, count.bytes)
}

const fn count((packets, bytes): Pair) -> Count {
    Count { packets, bytes }
}
