//! Adding the ledger up again: does every packet that an interface saw lie in the store?
//!
//! An hour's files are read together, and again while they change: a daemon puts the flows first and
//! their ledger then, and retention takes them away in that order. What stays different is a
//! difference. Each file fails by itself.

mod continuity;
mod hour;
pub(super) mod read;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use object_store::{ObjectMeta, path::Path};

use self::{
    continuity::Findings,
    hour::{Hour, HourName, Listed},
};
pub use self::{
    read::Error as ReadError,
    report::{
        Check, Difference, Double, Foreign, ForeignReason, InterfaceGap, Missing, PairDifference,
        PairFault, Report, SumDifference, Warning,
    },
};
use crate::{
    record::clock,
    store::{self, Oddity, Store},
    table::{ObjectName, Table},
};

/// How much of the files is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The columns that are added up; the digest of every file is compared.
    #[default]
    Sums,
    /// Every page of every column.
    Pages,
}

/// Reads every file of a store and adds it up; `progress` is told of each file before it is read.
pub async fn verify(
    store: &Store,
    depth: Depth,
    progress: impl FnMut(usize, usize),
) -> Result<Report, store::Error> {
    verify_patiently(store, depth, PAUSES_MS, progress).await
}

async fn verify_patiently(
    store: &Store,
    depth: Depth,
    pauses: &[u64],
    progress: impl FnMut(usize, usize),
) -> Result<Report, store::Error> {
    let mut verification = Verification::begin(store, depth, pauses, progress).await?;
    verification.settle().await?;
    let findings = verification.settle_continuity().await?;
    Ok(verification.report(findings))
}

/// Pauses between the attempts to read files that do not belong together. All of them are longer than
/// a daemon takes to put the ledger behind a large file of flows.
const PAUSES_MS: &[u64] =
    &[20, 30, 45, 70, 100, 150, 220, 330, 500, 750, 1_100, 1_700, 2_500, 3_800, 5_700, 8_500];
/// So many of them where no ledger is to be expected.
const PAUSES_AT_REST: usize = 8;
/// Flows that were written within this time may be about to get their ledger.
const FRESH: Duration = Duration::from_mins(10);

struct Verification<'a, P> {
    store: &'a Store,
    depth: Depth,
    pauses: &'a [u64],
    progress: P,
    /// Files that were read, and files that there are.
    read: (usize, usize),
    hours: BTreeMap<HourName, Hour>,
    strangers: Vec<Foreign>,
    oddities: Vec<Oddity>,
}

/// What is in a store.
#[derive(Default)]
struct Listing {
    hours: BTreeMap<HourName, Vec<Listed>>,
    strangers: Vec<Foreign>,
    oddities: Vec<Oddity>,
}

impl Listing {
    async fn of(store: &Store) -> Result<Self, store::Error> {
        let store::Listing { objects, oddities } = survey(store).await?;
        let mut listing = Self { oddities, ..Self::default() };
        for object in &objects {
            listing.add(object);
        }
        Ok(listing)
    }

    fn add(&mut self, object: &ObjectMeta) {
        let path = object.location.as_ref();
        let is_in_a_table = path.split('/').next().is_some_and(|name| Table::named(name).is_some());
        match ObjectName::parse(&object.location) {
            Some(name) => {
                self.hours.entry(HourName::of(&name)).or_default().push(Listed::new(name, object));
            }
            // Whoever asks the store by the ending of names reads it too.
            None if is_in_a_table && path.ends_with(".parquet") => {
                let (object, reason) = (object.location.clone(), ForeignReason::Name);
                self.strangers.push(Foreign { object, reason });
            }
            None => (),
        }
    }
}

/// Lists a store, again where its folders go away meanwhile.
async fn survey(store: &Store) -> Result<store::Listing, store::Error> {
    let mut pauses = PAUSES_MS.iter().take(PAUSES_AT_REST);
    loop {
        match (store.survey().await, pauses.next()) {
            (Err(_), Some(pause)) => tokio::time::sleep(Duration::from_millis(*pause)).await,
            (listed, _) => return listed,
        }
    }
}

impl<'a, P: FnMut(usize, usize)> Verification<'a, P> {
    /// Reads everything once.
    async fn begin(
        store: &'a Store,
        depth: Depth,
        pauses: &'a [u64],
        progress: P,
    ) -> Result<Self, store::Error> {
        let Listing { hours, strangers, oddities } = Listing::of(store).await?;
        let mut this = Self {
            store,
            depth,
            pauses,
            progress,
            read: (0, hours.values().map(Vec::len).sum()),
            hours: BTreeMap::new(),
            strangers,
            oddities,
        };
        for (name, listed) in hours {
            this.read_hour(name, listed).await;
        }
        Ok(this)
    }

    async fn read_hour(&mut self, name: HourName, listed: Vec<Listed>) {
        let Self { store, depth, progress, read: (done, all), .. } = self;
        let mut progress = || {
            progress((*done).min(*all), *all);
            *done += 1;
        };
        let hour = hour::read(store, &name, listed, *depth, &mut progress).await;
        if hour.listed.is_empty() {
            self.hours.remove(&name);
        } else {
            self.hours.insert(name, hour);
        }
    }

    /// Reads the hours again whose files were changing while they were read.
    async fn settle(&mut self) -> Result<(), store::Error> {
        let is_unsettled =
            |(name, hour): (&HourName, &Hour)| (!hour.is_settled()).then(|| name.clone());
        let mut unsettled: Vec<HourName> = self.hours.iter().filter_map(is_unsettled).collect();
        for (attempt, pause) in self.pauses.iter().enumerate() {
            if attempt >= PAUSES_AT_REST {
                unsettled.retain(|name| self.hours.get(name).is_some_and(is_being_written));
            }
            if unsettled.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            let mut still = vec![];
            for name in unsettled {
                let listed = self.list_hour(&name).await?;
                let known = self.hours.get(&name);
                if known.is_none_or(|hour| hour.has_vanished || hour.listed != listed) {
                    self.read_hour(name.clone(), listed).await;
                }
                if self.hours.get(&name).is_some_and(|hour| !hour.is_settled()) {
                    still.push(name);
                }
            }
            unsettled = still;
        }
        Ok(())
    }

    async fn list_hour(&self, name: &HourName) -> Result<Vec<Listed>, store::Error> {
        let mut listed = vec![];
        for partition in name.partitions() {
            for object in self.store.list_folder(&partition.folder()).await?.objects {
                listed.extend(
                    ObjectName::parse(&object.location).map(|name| Listed::new(name, &object)),
                );
            }
        }
        Ok(listed)
    }

    /// Compares the hours with each other, and reads anew what has changed since, as long as that
    /// makes a difference: they were not read at the same instant.
    async fn settle_continuity(&mut self) -> Result<Findings, store::Error> {
        let mut findings = self.compare_hours();
        for pause in [100, 500, 2_000, 4_000] {
            if findings.missing.is_empty() && findings.double.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let Listing { hours, strangers, oddities } = Listing::of(self.store).await?;
            (self.strangers, self.oddities) = (strangers, oddities);
            let is_known = |(name, listed): &(&HourName, &Vec<Listed>)| {
                self.hours.get(*name).is_some_and(|hour| hour.listed == **listed)
            };
            let known: BTreeSet<HourName> =
                hours.iter().filter(is_known).map(|(name, _)| name.clone()).collect();
            if known.len() == hours.len() && hours.len() == self.hours.len() {
                break;
            }
            self.hours.retain(|name, _| known.contains(name));
            for (name, listed) in hours.into_iter().filter(|(name, _)| !known.contains(name)) {
                self.read_hour(name, listed).await;
            }
            self.settle().await?;
            findings = self.compare_hours();
        }
        Ok(findings)
    }

    fn compare_hours(&mut self) -> Findings {
        let copies = self.copies();
        let excluded: BTreeSet<&Path> = copies.iter().map(|copy| &copy.object).collect();
        let stored = self.hours.values().flat_map(|hour| &hour.stored);
        let stored: Vec<_> = stored.filter(|file| !excluded.contains(&file.path)).collect();
        let numbered: Vec<_> = self.hours.values().flat_map(|hour| &hour.numbered).collect();
        let findings = continuity::check_all(&stored, &numbered);
        self.strangers.retain(|foreign| !matches!(foreign.reason, ForeignReason::Copy(_)));
        self.strangers.extend(copies);
        findings
    }

    /// Files that are what another one is.
    fn copies(&self) -> Vec<Foreign> {
        let mut first: BTreeMap<(&Table, &str), &Path> = BTreeMap::new();
        let mut copies = vec![];
        for (table, lineage, path) in self.hours.values().flat_map(|hour| &hour.lineages) {
            match first.get(&(*table, lineage.as_str())) {
                Some(original) => copies.push(Foreign {
                    object: path.clone(),
                    reason: ForeignReason::Copy((*original).clone()),
                }),
                None => {
                    first.insert((*table, lineage), path);
                }
            }
        }
        copies
    }

    fn report(self, findings: Findings) -> Report {
        let Findings { missing, double, mut warnings } = findings;
        warnings.extend(self.oddities.into_iter().map(Warning::Odd));
        let foreign = self.strangers;
        let mut report = Report { missing, double, foreign, warnings, ..Report::default() };
        for hour in self.hours.into_values() {
            report.files += hour.files;
            report.windows += hour.windows;
            report.rows += hour.rows;
            report.packets += hour.packets;
            report.bytes += hour.bytes;
            report.gaps.extend(hour.gaps);
            report.differences.extend(hour.differences);
            report.foreign.extend(hour.foreign);
            report.warnings.extend(hour.warnings);
            report.unreadable.extend(hour.unreadable);
        }
        report
    }
}

/// Whether flows were put of late, and their ledger may follow.
fn is_being_written(hour: &Hour) -> bool {
    let now = clock::now();
    let is_fresh =
        |file: &Listed| clock::Utc::from_ms(file.state.modified_ms).distance(now) < FRESH;
    hour.has_vanished || hour.awaits_ledger() && hour.listed.iter().any(is_fresh)
}

#[cfg(test)]
mod tests;
