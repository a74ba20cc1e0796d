//! What a spool has in it when a daemon starts, and what is to be done with it.
//!
//! `look` reads names, headers and small files; `plan` decides, and touches nothing; then it is
//! done. Nothing that is found here keeps a daemon from counting.

mod look;
mod lost;
mod plan;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Epochs, Error, Files, HourFile, IDENTITY, Spool,
    aside::Reason,
    copies::Small,
    disk::remove_all,
    error::report,
    files::{FileIdentity, held_by},
    identity::machine,
    incidents::Incident,
    run::Run,
};
use crate::{
    record::{
        clock::{self, Utc},
        epoch::EpochNumber,
        epoch_set::EpochSet,
    },
    telemetry::with_causes,
};
use look::{Listing, is_small_file, look};
use lost::remember;
pub use plan::Action;
use plan::{Plan, plan};

/// What the flows of a daemon are recorded under.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Name of the gateway.
    pub gateway: String,
    /// Hash of the capture policy.
    pub policy: String,
    /// Length of a window.
    pub window: Duration,
}

/// What was in a spool.
#[derive(Debug)]
pub struct Recovered {
    /// Writes the epochs to come.
    pub epochs: Epochs,
    /// The files that are not in the store for good.
    pub files: Files,
    /// Epochs of which nothing was made yet.
    pub found: Vec<Run>,
    /// The number of the last epoch that this machine counted; zero where there is none.
    pub last: EpochNumber,
}

/// Looks at all that is in a spool, and makes the best of it.
pub fn recover(spool: &Arc<Spool>, recording: Recording) -> Result<Recovered, Error> {
    report(spool.make_way());
    report(spool.prepare_directories());
    report(spool.empty_scratch());
    let mut listing = look(spool);
    let is_foreign = take_over(spool, &mut listing, &recording);
    let identity = spool.kept().value.clone();
    let seen = listing.runs().map(|run| run.header.numbering.clone()).collect();
    let of_files: Vec<FileIdentity> =
        listing.directories.iter().filter_map(|directory| directory.identity.clone()).collect();
    tracing::debug!(?identity, "what the spool knows");
    let Plan { epochs: found, files: planned, actions, lost } = plan(listing, &identity);
    let mut files = vec![];
    for (file, is_written) in planned {
        let mut file = file;
        if !is_written {
            let of_file = file.identity.clone();
            report(file.write(spool, of_file));
        }
        files.push(file);
    }
    remember(spool, &found, &files, lost, &seen, &of_files);
    // What is lost is written down before anything is moved; else the next start does both.
    match spool.know(|_| ()) {
        Ok(()) => {
            for action in actions {
                report(carry_out(spool, action));
            }
            report(spool.sync_epochs());
        }
        Err(error) => report(Err(error)),
    }
    let files = Files::new(Arc::clone(spool), files);
    let runs: Vec<&Run> = files.runs().chain(&found).collect();
    let mut epochs = Epochs::new(Arc::clone(spool), recording.policy, recording.window, runs);
    if is_foreign {
        epochs.forget_last();
    }
    let reserved = files.growing();
    let reserved = reserved.iter().map(|file| &file.identity.provisional);
    epochs.reserved(reserved.fold(EpochSet::default(), |all, these| all.union(these)));
    let last = epochs.last();
    if !found.is_empty() || !files.growing().is_empty() {
        tracing::info!(epochs = found.len(), files = files.growing().len(), "found in the spool");
    }
    Ok(Recovered { epochs, files, found, last })
}

/// Whose the spool is from now on. Returns whether another machine filled it, whose numbers have nothing to do
/// with those in this kernel.
fn take_over(spool: &Spool, listing: &mut Listing, recording: &Recording) -> bool {
    let mut kept = spool.kept();
    let was_damaged = std::mem::replace(&mut kept.found, Small::Sound(())) == Small::Damaged;
    let identity = &mut kept.value;
    let machine = machine();
    let is_new = identity.numbering.is_empty();
    if is_new {
        identity.begin(None, None);
        identity.gateway.clone_from(&recording.gateway);
        identity.machine.clone_from(&machine);
    }
    // A copy of the spool may have gone on with a numbering that was not used here.
    let current = identity.numbering.clone();
    let is_unused = identity.of(&current).first.is_none();
    if is_unused && listing.runs().all(|run| run.header.numbering != current) && !is_new {
        identity.numberings.remove(&current);
        identity.begin(None, None);
    }
    let numbering = identity.numbering.clone();
    let gateway = identity.gateway.clone();
    identity.of(&numbering).gateway.clone_from(&gateway);
    listing.fill_in(&gateway, &numbering);
    if is_new {
        let of_numbering = listing.runs().filter(|run| run.header.numbering == numbering);
        let first = of_numbering.min_by_key(|run| run.header.epochs.0);
        if let Some((number, opened)) = first.map(|run| (run.header.epochs.0, run.header.opened()))
        {
            identity.of(&numbering).first = Some(number);
            identity.of(&numbering).opened_ns = opened.ns();
        }
    }
    let is_foreign = identity.machine != machine;
    if is_foreign || identity.gateway != recording.gateway {
        let of_numbering = listing.runs().filter(|run| run.header.numbering == numbering);
        let last = of_numbering.map(|run| (run.header.epochs.1, run.header.closed())).max();
        let known = identity.of(&numbering);
        let stored = known.stored.last().map(|last| (last, Utc::from_ns(known.stored_until_ns)));
        Incident::Stranger { is_machine: is_foreign }.emit();
        let of_files =
            listing.directories.iter().filter_map(|directory| directory.identity.as_ref());
        let put = of_files
            .filter(|of_file| of_file.numbering == numbering)
            .filter_map(|of_file| of_file.put);
        let put = put.map(|(last, until)| (last, Utc::from_ns(until))).max();
        identity.begin(None, last.max(stored).max(put));
        if is_foreign {
            // The names of another machine are not this one's to give up.
            identity.former.clear();
            identity.gateway.clone_from(&recording.gateway);
        } else {
            identity.rename(&recording.gateway, clock::now());
        }
        identity.machine = machine;
        let (numbering, gateway) = (identity.numbering.clone(), identity.gateway.clone());
        identity.of(&numbering).gateway = gateway;
    }
    drop(kept);
    if was_damaged {
        for name in [IDENTITY.to_owned(), format!("{IDENTITY}.copy")] {
            let path = spool.directory.join(name);
            if let Err(error) = spool.set_aside(&path, Reason::Damaged) {
                tracing::debug!("{}", with_causes(&error));
            }
        }
    }
    is_foreign
}

fn carry_out(spool: &Spool, action: Action) -> Result<(), Error> {
    match action {
        Action::Delete(path) => {
            tracing::debug!("{} is of no use any more: deleted", path.display());
            spool.disk.remove(&path).map_err(Error::io("delete", &path))
        }
        Action::SetAside(path, reason) => spool.set_aside(&path, reason),
        Action::RemoveDirectory(path) => remove_empty(spool, &path),
    }
}

/// Removes the directory of a file of which there is no run; else leaves it.
fn remove_empty(spool: &Spool, directory: &Path) -> Result<(), Error> {
    let disk = &spool.disk;
    let entries = disk.list(directory).map_err(Error::io("list", directory))?;
    if entries.iter().all(|entry| is_small_file(&entry.name)) {
        remove_all(&**disk, directory).map_err(Error::io("delete", directory))?;
    }
    Ok(())
}

impl FileIdentity {
    /// What a directory is, of which only the name and the runs can be read.
    fn of_runs(lineage: String, hour_ns: i64, runs: &[&Run]) -> Option<Self> {
        let first = runs.first()?;
        let header = &first.header;
        Some(Self {
            lineage,
            hour_ns,
            policy: header.policy.clone(),
            window_ms: header.windows.first()?.length_ms,
            gateway: header.gateway.clone(),
            numbering: header.numbering.clone(),
            ..Self::default()
        })
    }
}

impl HourFile {
    fn found(
        directory: std::path::PathBuf,
        of_file: FileIdentity,
        runs: Vec<Run>,
        epochs: &[Run],
    ) -> Self {
        let waiting: Vec<Run> = epochs
            .iter()
            .filter(|run| run.header.numbering == of_file.numbering)
            .cloned()
            .collect();
        let waiting = held_by(&waiting);
        let pending = waiting.minus(&waiting.minus(&of_file.provisional));
        Self { directory, identity: of_file, runs, is_complete: true, pending }
    }
}
