//! Adding the ledger up again: does every packet that an interface saw lie in the store?

mod read;

use std::collections::BTreeMap;

use flowlog_common::{flow::Direction, total::Count};
use object_store::path::Path;

use crate::{
    aggregate::ledger::Account,
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
    /// Where the sums differ.
    pub differences: Vec<Difference>,
    /// Files that cannot be read.
    pub unreadable: Vec<(Path, ReadError)>,
}

/// A window, interface and direction that does not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the gateway.
    pub gateway: String,
    /// Beginning of the window.
    pub window_start: Utc,
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
    /// The ledger itself: what was seen against what became of it.
    Ledger,
    /// What the ledger says is in flow rows against the rows in the store.
    Rows,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gateway, window_start, interface, direction, missing, what } = self;
        let direction = direction_name(*direction);
        let (packets, bytes) = missing;
        let what = match what {
            What::Ledger => "seen but not accounted for",
            What::Rows => "in the ledger but in no flow row",
        };
        write!(
            f,
            "gateway {gateway}, window {window_start}, interface {interface}, {direction}: \
             {packets} packets and {bytes} bytes are {what}"
        )
    }
}

#[derive(Default)]
struct Sums {
    account: Account,
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
    // By gateway and window, then by interface and direction.
    let mut windows: BTreeMap<(String, Utc), BTreeMap<(String, Direction), Sums>> = BTreeMap::new();
    for (index, name) in files.iter().enumerate() {
        progress(index, files.len());
        let path = name.path();
        let file = store.read(&path).await?;
        let sums = windows.entry((name.partition.gateway.clone(), name.window_start)).or_default();
        let outcome = match name.partition.dataset {
            Dataset::Flows => read::flows(file, |interface, direction, count, rows| {
                sums.entry((interface.to_owned(), direction))
                    .or_default()
                    .rows
                    .add(count.packets, count.bytes);
                report.rows += rows;
            }),
            Dataset::Ledger => read::ledger(file, |interface, direction, account| {
                let sums = sums.entry((interface.to_owned(), direction)).or_default();
                sums.account.add(account);
            }),
        };
        if let Err(error) = outcome {
            report.unreadable.push((path, error));
        }
    }
    report.windows = windows.len();
    for ((gateway, window_start), sums) in windows {
        for ((interface, direction), sums) in sums {
            report.packets += sums.account.seen.packets;
            report.bytes += sums.account.seen.bytes;
            for (what, missing) in
                [(What::Ledger, sums.account.missing()), (What::Rows, sums.missing_rows())]
            {
                if missing != (0, 0) {
                    let (gateway, interface) = (gateway.clone(), interface.clone());
                    report.differences.push(Difference {
                        gateway,
                        window_start,
                        interface,
                        direction,
                        missing,
                        what,
                    });
                }
            }
        }
    }
    Ok(report)
}

impl Sums {
    fn missing_rows(&self) -> (i128, i128) {
        let Account { flows, overflow, .. } = self.account;
        let missing = |of: fn(&Count) -> u64| {
            i128::from(of(&flows)) + i128::from(of(&overflow)) - i128::from(of(&self.rows))
        };
        (missing(|count| count.packets), missing(|count| count.bytes))
    }
}

#[cfg(test)]
mod tests;
