//! What a run says of itself: which epochs and windows it has, and their ledger.

use flowlog_common::total::{Count, Totals};
use serde::{Deserialize, Serialize};

use super::{EpochSet, run::Run};
use crate::{
    aggregate::ledger::{Gap, GapReason, LedgerEntry},
    clock::{self, Dating, Offset, Utc},
};

/// The description of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// First and last number of the epochs that it was made of.
    pub epochs: (u64, u64),
    /// The numbers themselves, where some between those two are missing.
    #[serde(default)]
    pub numbers: Option<EpochSet>,
    /// When the last of them ended, nanoseconds of UTC: no later one has anything from before.
    pub closed_ns: i64,
    /// When the first of them began; not in runs of version 1.
    #[serde(default)]
    pub opened_ns: Option<i64>,
    /// Name of the gateway that counted; empty in runs of version 1.
    #[serde(default)]
    pub gateway: String,
    /// Whose the numbers are; empty in runs of version 1.
    #[serde(default)]
    pub numbering: String,
    /// What the flows were recorded under.
    pub policy: String,
    /// Interface names, to which the keys' slots point.
    pub interfaces: Vec<String>,
    /// The windows that it has something of, in their order.
    pub windows: Vec<WindowLedger>,
    /// IPv4 entries, then IPv6 entries.
    pub entries: (u64, u64),
    /// By which reading of the clock its epochs are dated; `None` where that was set in between, and
    /// in runs of version 1.
    #[serde(default)]
    pub dated: Option<Dated>,
}

/// As long as a file of the store: its runs are no further apart.
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);

/// The reading of the clock by which an epoch is dated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// The start of the machine whose monotonic clock it is.
    pub boot: String,
    /// From that clock to UTC.
    pub offset_ns: i64,
    /// Whether something kept the wall clock then.
    pub synchronised: bool,
}

impl Dated {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        let Dating { offset, synchronised } = Dating::now();
        Self { boot: clock::boot(), offset_ns: offset.ns(), synchronised }
    }

    /// Whether another reading is of a clock that was slewed since, and not set.
    fn is_alike(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| {
            self.boot == other.boot && self.dating().step(other.dating(), HOUR).is_none()
        })
    }

    /// The reading itself.
    #[must_use]
    pub const fn dating(&self) -> Dating {
        Dating { offset: Offset::from_ns(self.offset_ns), synchronised: self.synchronised }
    }
}

/// The ledger of a window, or of the part of it that a run has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowLedger {
    /// Beginning of the window, nanoseconds of UTC.
    pub start_ns: i64,
    /// Its length in milliseconds.
    pub length_ms: u64,
    /// First and last number of its epochs; not in runs of version 1.
    #[serde(default)]
    pub epochs: Option<(u64, u64)>,
    /// A row for each interface.
    #[serde(with = "rows")]
    pub rows: Vec<LedgerEntry>,
}

impl Header {
    /// The union of what runs have; `None` where there are none.
    #[must_use]
    pub fn of(runs: &[Run]) -> Option<Self> {
        let (first, rest) = runs.split_first()?;
        let mut union = first.header.clone();
        for run in rest {
            union.absorb(&run.header);
        }
        Some(union)
    }

    /// The numbers of its epochs.
    #[must_use]
    pub fn held(&self) -> EpochSet {
        let (first, last) = self.epochs;
        self.numbers.clone().unwrap_or_else(|| EpochSet::range(first, last))
    }

    /// When the last of its epochs ended.
    #[must_use]
    pub const fn closed(&self) -> Utc {
        Utc::from_ns(self.closed_ns)
    }

    /// When the first of its epochs began, as far as that is known.
    #[must_use]
    pub fn opened(&self) -> Utc {
        let rows = self.windows.iter().flat_map(|window| &window.rows);
        let observed = rows.filter(|row| row.is_observed()).map(|row| row.observed_start).min();
        self.opened_ns.map(Utc::from_ns).or(observed).unwrap_or(self.closed()).min(self.closed())
    }

    /// Number of all entries.
    #[must_use]
    pub const fn entry_count(&self) -> u64 {
        self.entries.0 + self.entries.1
    }

    /// Adds the description of another run to this one: the union of what they have.
    pub fn absorb(&mut self, other: &Self) {
        let held = self.held().union(&other.held());
        self.numbers = (!held.is_one_range()).then_some(held);
        self.epochs = (self.epochs.0.min(other.epochs.0), self.epochs.1.max(other.epochs.1));
        self.entries.0 += other.entries.0;
        self.entries.1 += other.entries.1;
        self.closed_ns = self.closed_ns.max(other.closed_ns);
        self.opened_ns = self.opened_ns.zip(other.opened_ns).map(|(one, other)| one.min(other));
        self.dated = self.dated.take().filter(|dated| dated.is_alike(other.dated.as_ref()));
        if other.interfaces.len() > self.interfaces.len() {
            self.interfaces.clone_from(&other.interfaces);
        }
        for window in &other.windows {
            match self.windows.iter_mut().find(|known| known.start_ns == window.start_ns) {
                Some(known) => known.absorb(window),
                None => self.windows.push(window.clone()),
            }
        }
        self.windows.sort_by_key(|window| window.start_ns);
    }
}

impl WindowLedger {
    /// Beginning of the window.
    #[must_use]
    pub const fn start(&self) -> Utc {
        Utc::from_ns(self.start_ns)
    }

    /// End of the window.
    #[must_use]
    pub fn end(&self) -> Utc {
        self.start().plus(std::time::Duration::from_millis(self.length_ms))
    }

    fn absorb(&mut self, other: &Self) {
        self.epochs =
            self.epochs.zip(other.epochs).map(|((first, last), (also_first, also_last))| {
                (first.min(also_first), last.max(also_last))
            });
        for row in &other.rows {
            match self.rows.iter_mut().find(|known| known.interface == row.interface) {
                Some(known) => known.absorb(row),
                None => self.rows.push(row.clone()),
            }
        }
    }
}

/// Ledger rows as numbers in a fixed order.
mod rows {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use super::{Count, Deserialize, Gap, GapReason, LedgerEntry, Serialize, Totals, Utc};

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

    pub fn serialize<S: Serializer>(rows: &[LedgerEntry], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(rows.iter().map(Row::of))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LedgerEntry>, D::Error> {
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
        let Totals { seen, not_ip, malformed, excluded, remainder, fragments_without_first } =
            *totals;
        [seen, not_ip, malformed, excluded, remainder, fragments_without_first].map(pair)
    }

    fn totals(pairs: [Pair; 6]) -> Totals {
        let [seen, not_ip, malformed, excluded, remainder, fragments_without_first] =
            pairs.map(count);
        Totals { seen, not_ip, malformed, excluded, remainder, fragments_without_first }
    }

    const fn pair(count: Count) -> Pair {
        (count.packets, count.bytes)
    }

    const fn count((packets, bytes): Pair) -> Count {
        Count { packets, bytes }
    }
}
