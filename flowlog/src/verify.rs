//! Adding the ledger up again: does every packet that an interface saw lie in the store?

mod read;

use std::collections::{BTreeMap, BTreeSet};

use flowlog_common::{flow::Direction, total::Count};
use object_store::path::Path;

use crate::{
    aggregate::ledger::{Account, Gap},
    clock::Utc,
    encode::metadata::direction_name,
    store::{
        self, Store,
        layout::{Dataset, ObjectName},
    },
};
pub use read::Error as ReadError;

/// What was added up.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of windows, by gateway and beginning.
    pub windows: usize,
    /// Number of files.
    pub files: usize,
    /// Number of flow rows.
    pub rows: u64,
    /// Packets that the interfaces saw.
    pub packets: u64,
    /// Bytes that the interfaces saw.
    pub bytes: u64,
    /// When nothing was counted, as the ledger says.
    pub gaps: BTreeSet<GapOf>,
    /// Where the sums differ.
    pub differences: Vec<Difference>,
    /// Files that cannot be read.
    pub unreadable: Vec<(Path, ReadError)>,
}

/// A time in which an interface may have been in use without being counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapOf {
    /// Name of the gateway.
    pub gateway: String,
    /// Name of the interface.
    pub interface: String,
    /// When.
    pub gap: Gap,
}

impl std::fmt::Display for GapOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gateway, interface, gap: Gap { start, end, reason } } = self;
        let reason = reason.name();
        write!(
            f,
            "gateway {gateway}, interface {interface}: not counted from {start} to {end} ({reason})"
        )
    }
}

/// A window or hour, interface and direction that does not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the gateway.
    pub gateway: String,
    /// Beginning of the window or hour.
    pub at: Utc,
    /// Name of the interface.
    pub interface: String,
    /// Which way.
    pub direction: Direction,
    /// Packets and bytes that are missing; negative where there are too many.
    pub missing: (i128, i128),
    /// What was compared.
    pub what: What,
}

/// Which sum does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The ledger of a window: what was seen against what became of it.
    Ledger,
    /// What the ledger of an hour says is in flow rows against the rows in the store.
    Rows,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gateway, at, interface, direction, missing, what } = self;
        let direction = direction_name(*direction);
        let (packets, bytes) = missing;
        let (span, what) = match what {
            What::Ledger => ("window", "seen but not accounted for"),
            What::Rows => ("hour", "in the ledger but in no flow row"),
        };
        write!(
            f,
            "gateway {gateway}, {span} {at}, interface {interface}, {direction}: \
             {packets} packets and {bytes} bytes are {what}"
        )
    }
}

/// What is added up of each window and of each hour: a row does not say of which window it is.
#[derive(Default)]
struct Sums {
    windows: BTreeMap<Place, Account>,
    hours: BTreeMap<Place, Hour>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    gateway: String,
    at: Utc,
    interface: String,
    direction: Direction,
}

#[derive(Default)]
struct Hour {
    ledger: Account,
    rows: Count,
}

/// Reads every file of a store and adds it up; `progress` is told of each file before it is read.
pub async fn verify(
    store: &Store,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, store::Error> {
    let mut files = vec![];
    for dataset in Dataset::ALL {
        let objects = store.list_dataset(dataset).await?;
        files.extend(objects.iter().filter_map(|object| ObjectName::parse(&object.location)));
    }
    let mut report = Report { files: files.len(), ..Report::default() };
    let mut sums = Sums::default();
    for (index, name) in files.iter().enumerate() {
        progress(index, files.len());
        let path = name.path();
        let file = store.read(&path).await?;
        let of = |at, interface: &str, direction| Place {
            gateway: name.partition.gateway.clone(),
            at,
            interface: interface.to_owned(),
            direction,
        };
        let outcome = match name.partition.dataset {
            Dataset::Flows => read::flows(file, |interface, direction, count, rows| {
                let hour =
                    sums.hours.entry(of(name.window_start, interface, direction)).or_default();
                hour.rows.add(count.packets, count.bytes);
                report.rows += rows;
            }),
            Dataset::Ledger => read::ledger(file, |row| {
                let read::LedgerRow { window, interface, direction, gap, account } = row;
                let hour =
                    sums.hours.entry(of(name.window_start, interface, direction)).or_default();
                hour.ledger.add(account);
                sums.windows.entry(of(window, interface, direction)).or_default().add(account);
                // The same in the rows of both directions.
                report.gaps.extend(gap.map(|gap| GapOf {
                    gateway: name.partition.gateway.clone(),
                    interface: interface.to_owned(),
                    gap,
                }));
            }),
        };
        if let Err(error) = outcome {
            report.unreadable.push((path, error));
        }
    }
    let windows: BTreeSet<_> =
        sums.windows.keys().map(|place| (&place.gateway, place.at)).collect();
    report.windows = windows.len();
    for (place, account) in &sums.windows {
        report.packets += account.seen.packets;
        report.bytes += account.seen.bytes;
        report.compare(place, account.missing(), What::Ledger);
    }
    for (place, hour) in &sums.hours {
        report.compare(place, hour.missing_rows(), What::Rows);
    }
    Ok(report)
}

impl Report {
    fn compare(&mut self, place: &Place, missing: (i128, i128), what: What) {
        if missing != (0, 0) {
            let Place { gateway, at, interface, direction } = place.clone();
            let difference = Difference { gateway, at, interface, direction, missing, what };
            self.differences.push(difference);
        }
    }
}

impl Hour {
    fn missing_rows(&self) -> (i128, i128) {
        let Account { flows, overflow, .. } = self.ledger;
        let missing = |of: fn(&Count) -> u64| {
            i128::from(of(&flows)) + i128::from(of(&overflow)) - i128::from(of(&self.rows))
        };
        (missing(|count| count.packets), missing(|count| count.bytes))
    }
}

#[cfg(test)]
mod tests;
