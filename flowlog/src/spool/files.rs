//! Files of the store that are still growing: which runs each is made of.

mod identity;
mod leave;
mod restore;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Error, IDENTITY, Spool, copies,
    header::Header,
    incidents::Incident,
    name::RunName,
    planted::{Bug, planted},
    run::Run,
    sync_directory,
};
use crate::{
    record::{clock::Utc, epoch_set::EpochSet, location::Location, window::WindowLedger},
    table::HOUR,
};

pub use identity::FileIdentity;

pub use super::merge::runs::{MOST_AT_ONCE, merge, merge_until};

/// Rows beyond which a file of the store does not grow any more: each window writes all of it again.
pub const MOST_ROWS: u64 = 4_000_000;

/// The files of the store that are not there for good yet, in their order.
#[derive(Debug)]
pub struct Files {
    spool: Arc<Spool>,
    growing: Vec<HourFile>,
}

/// A file of the store that is not there for good yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourFile {
    pub(super) directory: PathBuf,
    /// What it is.
    pub identity: FileIdentity,
    /// Its runs, in the order of their windows.
    pub runs: Vec<Run>,
    /// Whether nothing will be added to it.
    pub is_complete: bool,
    /// Epochs that the store may have as a part of it, and that are not in its runs yet.
    pub pending: EpochSet,
}

impl Files {
    /// Those that were found in a spool, in their order.
    #[must_use]
    pub const fn new(spool: Arc<Spool>, growing: Vec<HourFile>) -> Self {
        Self { spool, growing }
    }

    /// The spool that they are in.
    #[must_use]
    pub const fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// The runs of all of them.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.growing.iter().flat_map(|file| &file.runs)
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn growing(&self) -> Vec<HourFile> {
        self.growing.clone()
    }

    /// One of them, as it is now.
    #[must_use]
    pub fn of_lineage(&self, lineage: &str) -> Option<HourFile> {
        self.growing.iter().find(|file| file.identity.lineage == lineage).cloned()
    }

    /// The store that may have an epoch as a part of a file.
    #[must_use]
    pub fn reserved_by(&self, epoch: &Run) -> Option<&Location> {
        let held = epoch.header.held();
        let reserving = self.growing.iter().find(|file| {
            file.identity.numbering == epoch.header.numbering
                && file.identity.provisional.meets(&held)
        });
        reserving?.identity.store.as_ref()
    }

    /// The epochs of a window, as runs are to be made of them: one, unless the store may have some of them as a
    /// part of a file, and others of that part are gone.
    #[must_use]
    pub fn parts_of(&self, epochs: Vec<Run>) -> Vec<Vec<Run>> {
        let held = |epochs: &[Run]| held_by(epochs);
        let all = held(&epochs);
        let numbering = epochs.first().map(|run| run.header.numbering.clone()).unwrap_or_default();
        let reserving = self
            .growing
            .iter()
            .find(|file| file.identity.numbering == numbering && file.pending.meets(&all));
        let Some(FileIdentity { provisional, is_closed, .. }) =
            reserving.map(|file| &file.identity)
        else {
            return vec![epochs];
        };
        if all.contains(provisional) && !is_closed {
            return vec![epochs];
        }
        let (reserved, others): (Vec<_>, Vec<_>) =
            epochs.into_iter().partition(|run| run.header.held().meets(provisional));
        [reserved, others].into_iter().filter(|part| !part.is_empty()).collect()
    }

    /// The file to which a window goes, and what its next run is to be called.
    pub fn place(&mut self, window: &WindowLedger, epochs: &Header) -> Result<PathBuf, Error> {
        let held = epochs.held();
        let name = RunName {
            first: epochs.epochs.0,
            last: epochs.epochs.1,
            times: Some((epochs.opened(), epochs.closed())),
        };
        let reserving = self
            .growing
            .iter()
            .find(|file| file.identity.numbering == epochs.numbering && file.pending.meets(&held));
        if let Some(file) = reserving {
            return Ok(file.directory.join(name.file_name()));
        }
        let of_file = FileIdentity {
            lineage: String::new(),
            hour_ns: window.start().floor(HOUR).ns(),
            policy: epochs.policy.clone(),
            window_ms: window.length_ms,
            gateway: epochs.gateway.clone(),
            numbering: epochs.numbering.clone(),
            ..FileIdentity::default()
        };
        let fits = |file: &HourFile| {
            let rows: u64 = file.runs.iter().map(|run| run.header.entry_count()).sum();
            !file.is_complete
                && !file.identity.is_closed
                && file.identity.is_like(&of_file)
                && (rows == 0 || rows + epochs.entry_count() <= MOST_ROWS)
        };
        if !self.growing.last().is_some_and(fits) {
            let file = self.begin(of_file)?;
            self.complete();
            self.growing.push(file);
        }
        let directory = self.growing.last().map(|file| file.directory.clone()).unwrap_or_default();
        Ok(directory.join(name.file_name()))
    }

    /// The store may come to have these epochs as a part of the file at a place, before they are in a run of
    /// it.
    pub fn reserve(&mut self, path: &Path, window: &Header) -> Result<Option<HourFile>, Error> {
        let held = &window.held();
        let Some(file) = self.growing.iter_mut().find(|f| Some(&*f.directory) == path.parent())
        else {
            return Ok(None);
        };
        if planted(Bug::NoReservation) {
            return Ok(Some(file.clone()));
        }
        let mut of_file = file.identity.clone();
        of_file.provisional = of_file.provisional.union(held);
        of_file.put = of_file.put.max(held.last().map(|last| (last, window.closed_ns)));
        file.write(&self.spool, of_file)?;
        file.pending = file.pending.union(held);
        Ok(Some(file.clone()))
    }

    /// Adds a run at the place that it was given.
    pub fn add(&mut self, run: Run) {
        let directory = run.path.parent();
        if let Some(file) = self.growing.iter_mut().find(|f| Some(&*f.directory) == directory) {
            file.pending = file.pending.minus(&run.header.held());
            file.runs.push(run);
        }
    }

    /// An epoch is lost: no file waits for it.
    pub fn expect_no_more(&mut self, lost: &Run) {
        let Header { numbering, .. } = &lost.header;
        for file in self.growing.iter_mut().filter(|file| file.identity.numbering == *numbering) {
            file.pending = file.pending.minus(&lost.header.held());
        }
    }

    /// Lets no file grow any more.
    pub fn complete(&mut self) {
        for file in &mut self.growing {
            file.is_complete = true;
        }
    }

    /// Puts one run in the place of those that it was merged from.
    pub fn replace(&mut self, merged: &Run) {
        let directory = merged.path.parent();
        let held = merged.header.held();
        for file in self.growing.iter_mut().filter(|f| Some(&*f.directory) == directory) {
            let parts: Vec<Run> =
                file.runs.extract_if(.., |run| held.contains(&run.header.held())).collect();
            file.runs.insert(0, merged.clone());
            parts.iter().filter(|run| run.path != merged.path).for_each(remove_contained);
        }
    }

    /// What comes from now on goes to this store, and not into files that go to others.
    pub fn complete_others(&mut self, store: &Location) {
        for file in &mut self.growing {
            let goes_elsewhere = file.identity.store.as_ref().is_some_and(|other| other != store);
            file.is_complete |= goes_elsewhere;
        }
    }

    /// Remembers to which store a file goes, and how much of it.
    pub fn set_store(&mut self, lineage: &str, store: &Location) -> Result<(), Error> {
        /// Stores that are remembered.
        const MOST_STORES: usize = 4;
        self.spool.know(|identity| {
            if !identity.stores.contains(store) {
                identity.stores.insert(0, store.clone());
                identity.stores.truncate(MOST_STORES);
            }
        })?;
        for file in self.growing.iter_mut().filter(|file| file.identity.lineage == lineage) {
            let last = file.held().last().map(|last| (last, file.until().ns()));
            let put = last.max(file.identity.put);
            if file.identity.store.as_ref() != Some(store) || file.identity.put != put {
                let of_file =
                    FileIdentity { store: Some(store.clone()), put, ..file.identity.clone() };
                file.write(&self.spool, of_file)?;
            }
        }
        Ok(())
    }

    fn begin(&self, of_file: FileIdentity) -> Result<HourFile, Error> {
        let of_file = FileIdentity { lineage: lineage(), ..of_file };
        let hour = Timestamp::from(Utc::from_ns(of_file.hour_ns)).to_zoned(TimeZone::UTC);
        let hour = hour.strftime("%Y%m%dT%H").to_string();
        let of_hour = |file: &&HourFile| file.identity.hour_ns == of_file.hour_ns;
        let number = self.growing.iter().filter(of_hour).count();
        let name = format!("{hour}-{number:03}-{}", of_file.lineage);
        let directory = self.spool.files_directory().join(name);
        let disk = &self.spool.disk;
        disk.make_directory(&directory).map_err(Error::io("make", &directory))?;
        let mut file = HourFile {
            directory,
            identity: FileIdentity::default(),
            runs: vec![],
            is_complete: false,
            pending: EpochSet::default(),
        };
        file.write(&self.spool, of_file)?;
        sync_directory(disk, &file.directory)?;
        Ok(file)
    }
}

impl HourFile {
    /// Beginning of its hour.
    #[must_use]
    pub const fn hour(&self) -> Utc {
        Utc::from_ns(self.identity.hour_ns)
    }

    /// The numbers of the epochs that it has.
    #[must_use]
    pub fn held(&self) -> EpochSet {
        held_by(&self.runs)
    }

    /// When the last of its epochs ended.
    fn until(&self) -> Utc {
        self.runs.iter().map(|run| run.header.closed()).max().unwrap_or(self.hour())
    }

    /// When those of its runs ended that have some of these epochs: the next one may be lost, and the gap begins
    /// there.
    fn until_of(&self, epochs: &EpochSet) -> Utc {
        let of = self.runs.iter().filter(|run| epochs.meets(&run.header.held()));
        of.map(|run| run.header.closed()).max().unwrap_or(Utc::from_ns(0))
    }

    /// Writes what it is.
    pub(super) fn write(&mut self, spool: &Spool, of_file: FileIdentity) -> Result<(), Error> {
        let of_file = FileIdentity { revision: self.identity.revision + 1, ..of_file };
        let path = self.directory.join(IDENTITY);
        copies::write(&*spool.disk, &path, of_file.revision, &of_file)?;
        self.identity = of_file;
        Ok(())
    }

    /// Merges its runs into one, where there are many.
    pub fn merge_many(&self, is_over: &dyn Fn() -> bool) -> Result<Option<Run>, Error> {
        let Some(first) = self.runs.first().filter(|_| self.runs.len() > MOST_AT_ONCE) else {
            return Ok(None);
        };
        let header = Header::of(&self.runs).unwrap_or_else(|| first.header.clone());
        let name = RunName {
            first: header.epochs.0,
            last: header.epochs.1,
            times: Some((header.opened(), header.closed())),
        };
        let path = self.directory.join(name.file_name());
        merge_until(&self.runs, path, super::merge::Duplicates::KeepBoth, is_over).map(Some)
    }
}

/// Deletes a run whose epochs are in another one. Where that fails, the next start does it.
pub fn remove_contained(run: &Run) {
    if let Err(error) = run.remove() {
        Incident::Failed { error: &error }.emit();
    }
}

/// The numbers of the epochs of runs.
pub(super) fn held_by(runs: &[Run]) -> EpochSet {
    runs.iter().fold(EpochSet::default(), |held, run| held.union(&run.header.held()))
}

/// A name that nothing else has.
pub(super) fn lineage() -> String {
    format!("{:016x}", fastrand::u64(..))
}
