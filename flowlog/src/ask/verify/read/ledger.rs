//! A file of the ledger: what it says of itself, and the accounts of its rows.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, TimestampMillisecondArray, UInt64Array},
    datatypes::{Int64Type, UInt64Type},
};
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use object_store::path::Path;

use super::{Error, Sums};
use crate::{
    record::{
        clock::Utc,
        ledger::{Account, Gap, GapReason},
    },
    table::{
        LEDGER, Reader,
        metadata::{Facts, direction_name},
        reader::Rows,
    },
};

/// A gap, and the epochs beside which the ledger states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumberedGap {
    /// Epochs of the window whose row has it.
    pub epochs: Option<(u64, u64)>,
    pub interface: String,
    pub gap: Gap,
}

/// A file of the ledger.
#[derive(Debug, Default)]
pub struct Ledger {
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
pub struct Window {
    pub end: Utc,
    pub epochs: Option<(u64, u64)>,
    /// From the first to the last time that is in it by its rows.
    pub observed: (Utc, Utc),
}

impl Ledger {
    /// Reads a file of the ledger. It is small, so that all of its pages are always read.
    pub fn read(object: &Path, file: &Bytes) -> Result<Self, Error> {
        let reader = Reader::open_sealed(&LEDGER, object, file.clone())?;
        let mut ledger = Self { facts: reader.facts().clone(), ..Self::default() };
        reader.for_each(|rows| ledger.add(rows))?;
        Ok(ledger)
    }

    fn add(&mut self, rows: &Rows) -> Result<(), Error> {
        let times = |name| rows.times(name);
        let [start, end] = [times("window_start")?, times("window_end")?];
        let observed = [times("observed_start")?, times("observed_end")?];
        let gap_bounds = [times("gap_start")?, times("gap_end")?];
        // Version 1 has neither numbers nor steps, and knew one reason.
        let number = |name| rows.numbers::<UInt64Type>(name);
        let epochs = [number("epoch_first")?, number("epoch_last")?];
        let reasons = rows.texts("gap_reason")?;
        let steps = rows.numbers::<Int64Type>("clock_step_ms")?;
        self.has_clock_step |= steps.null_count() < steps.len();
        let [interface, direction] = [rows.texts("interface")?, rows.texts("direction")?];
        let accounts = Accounts::of(rows)?;
        for row in 0..rows.count() {
            let at = |of: &TimestampMillisecondArray| Utc::from_ms(of.value(row));
            let name = interface.value(row);
            let direction = Direction::ALL
                .into_iter()
                .find(|d| direction_name(*d) == direction.value(row))
                .ok_or(Error::Direction)?;
            let account = accounts.row(row);
            let observed = observed.map(at);
            let number = |of: &UInt64Array| of.is_valid(row).then(|| of.value(row));
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
                let reason = if reasons.is_valid(row) {
                    GapReason::from_name(reasons.value(row)).ok_or(Error::Reason)?
                } else {
                    GapReason::Down
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

/// The columns of accounts: packets and bytes of each term.
struct Accounts<'a>(Vec<[&'a UInt64Array; 2]>);

impl<'a> Accounts<'a> {
    fn of(rows: &'a Rows) -> Result<Self, Error> {
        let number = |unit, term| rows.numbers::<UInt64Type>(&format!("{unit}_{term}"));
        let columns = Account::default()
            .terms()
            .map(|(term, _)| Ok([number("packets", term)?, number("bytes", term)?]));
        Ok(Self(columns.into_iter().collect::<Result<_, Error>>()?))
    }

    fn row(&self, row: usize) -> Account {
        let mut account = Account::default();
        for ((_, count), [packets, bytes]) in account.terms_mut().into_iter().zip(&self.0) {
            *count = Count { packets: packets.value(row), bytes: bytes.value(row) };
        }
        account
    }
}
