//! What cannot be read is set aside for whoever wants to look at it, until its time is over.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    Error, Spool,
    disk::{Disk, Kind, Listed, list_any},
    identity::Lost,
    incidents::Incident,
    run::Run,
    sync_directory,
};
use crate::record::{epoch_set::EpochSet, ledger::GapReason, location::Location};

/// Where it goes.
pub(super) const ASIDE: &str = "aside";

/// What version 1 set aside stayed where it was, with this extension.
pub(super) const DAMAGED_1: &str = "damaged";

/// Why something is set aside: the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not what was written.
    Damaged,
    /// It holds epochs that are elsewhere too, and others that cannot be told from them.
    Double,
    /// Nothing of flowlog has such a name, or is of such a kind.
    Foreign,
    /// It holds events that were never counted: whoever wrote them was not told that they are safe.
    Uncounted,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Double => "double",
            Self::Foreign => "foreign",
            Self::Uncounted => "uncounted",
        }
    }
}

impl Spool {
    fn aside(&self) -> PathBuf {
        self.directory.join(ASIDE)
    }

    /// Moves something aside, and reports it.
    pub(super) fn set_aside(&self, path: &Path, reason: Reason) -> Result<(), Error> {
        let aside = self.aside();
        self.disk.make_directory(&aside).map_err(Error::io("make", &aside))?;
        let there = self.disk.list(&aside).map_err(Error::io("list", &aside))?;
        let relative = path.strip_prefix(&self.directory).unwrap_or(path);
        let parts: Vec<_> = relative.iter().collect();
        let name = parts.join(std::ffi::OsStr::new("~"));
        let named = |number: u32| {
            let mut name = name.clone();
            name.push(if number == 0 { String::new() } else { format!("~{number}") });
            name.push(format!(".{}", reason.name()));
            name
        };
        let is_free = |name: &OsString| there.iter().all(|listed| listed.name != *name);
        let Some(name) = (0..u32::MAX).map(named).find(is_free) else { return Ok(()) };
        let to = aside.join(name);
        self.disk.rename(path, &to).map_err(Error::io("rename", path))?;
        sync_directory(&self.disk, &to)?;
        sync_directory(&self.disk, path)?;
        Incident::SetAside { path, reason: reason.name(), to: &to }.emit();
        Ok(())
    }

    /// Sets an epoch aside that is not what was written.
    pub fn lose(&self, run: &Run, store: Option<&Location>) -> Result<(), Error> {
        self.lose_run(run, Reason::Damaged, &EpochSet::default(), store)
    }

    /// Sets a run aside whose epochs, but for those that are `safe`, are lost with it: the next epoch tells of
    /// them.
    pub(super) fn lose_run(
        &self,
        run: &Run,
        reason: Reason,
        safe: &EpochSet,
        store: Option<&Location>,
    ) -> Result<(), Error> {
        let lost = lost_of(run, &run.header.held().minus(safe));
        let lost = Lost { store: store.cloned(), ..lost };
        self.know(|identity| {
            if !lost.epochs.is_empty() {
                identity.lose(lost);
            }
        })?;
        // Where that fails, the next start does it.
        if let Err(error) = self.set_aside(&run.path, reason) {
            Incident::Failed { error: &error }.emit();
        }
        Ok(())
    }

    /// The stores that files went to.
    #[must_use]
    pub fn stores(&self) -> Vec<Location> {
        self.kept().value.stores.clone()
    }

    /// What is lost, unless the store has it.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Lost> {
        let lost = self.kept().value.lost.clone();
        lost.into_iter().filter(|lost| !lost.is_settled).collect()
    }

    /// The store was asked: it has these epochs of what is lost, and what was counted in these times.
    pub fn settle(
        &self,
        lost: &Lost,
        stored: &EpochSet,
        counted: &[(i64, i64)],
    ) -> Result<(), Error> {
        self.know(|identity| identity.settle(lost, stored, counted))
    }
}

/// What is lost with a run whose header is known.
pub(super) fn lost_of(run: &Run, epochs: &EpochSet) -> Lost {
    let header = &run.header;
    let rows = header.windows.iter().flat_map(|window| &window.rows);
    let mut interfaces: Vec<String> = rows.map(|row| row.interface.clone()).collect();
    interfaces.sort_unstable();
    interfaces.dedup();
    let (opened, closed) = (header.opened(), header.closed());
    Lost {
        numbering: header.numbering.clone(),
        epochs: epochs.clone(),
        start_ns: opened.ns(),
        end_ns: closed.ns(),
        reason: GapReason::Damaged,
        interfaces,
        reported_by: None,
        gateway: header.gateway.clone(),
        store: None,
        is_settled: false,
    }
}

/// What was set aside in a spool.
pub(super) fn listed(disk: &dyn Disk, directory: &Path) -> Result<Vec<(PathBuf, Listed)>, Error> {
    let mut aside = vec![];
    // Files are in directories of their own; what lies deeper is not ours.
    for (part, depth) in [(ASIDE, 0), ("epochs", 0), ("files", 1)] {
        list_into(disk, &directory.join(part), (part == ASIDE, depth), &mut aside)?;
    }
    Ok(aside)
}

fn list_into(
    disk: &dyn Disk,
    directory: &Path,
    (is_aside, depth): (bool, u32),
    aside: &mut Vec<(PathBuf, Listed)>,
) -> Result<(), Error> {
    // Directories of files that are in the store for good go meanwhile.
    for entry in list_any(disk, directory).map_err(Error::io("list", directory))? {
        let path = directory.join(&entry.name);
        if is_aside || path.extension().is_some_and(|extension| extension == DAMAGED_1) {
            aside.push((path, entry));
        } else if entry.kind == Kind::Directory && depth > 0 {
            list_into(disk, &path, (false, depth - 1), aside)?;
        }
    }
    Ok(())
}
