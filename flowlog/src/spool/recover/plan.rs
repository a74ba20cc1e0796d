//! What is to be done with what is in a spool: a listing in, actions out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{
    super::{
        HourFile,
        aside::{Reason, lost_of},
        files::{FileIdentity, lineage},
        identity::{Identity, Lost, UNKNOWN},
        name::RunName,
        planted::{Bug, planted},
        run::Run,
    },
    look::{Content, Directory, Listing, Seen},
};
use crate::record::{epoch_set::EpochSet, ledger::GapReason};

/// A step that changes the spool; each can be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// What was being written, and what is in another run.
    Delete(PathBuf),
    /// What cannot be used.
    SetAside(PathBuf, Reason),
    /// The directory of a file of which there is nothing.
    RemoveDirectory(PathBuf),
}

/// What there is of a spool, and what is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Epochs of which nothing was made yet.
    pub(super) epochs: Vec<Run>,
    /// Files, and whether what they are is written down.
    pub(super) files: Vec<(HourFile, bool)>,
    pub(super) actions: Vec<Action>,
    pub(super) lost: Vec<Lost>,
}

/// A run that cannot be read.
struct Unreadable {
    name: Option<RunName>,
    /// It, as far as its header tells.
    run: Option<Box<Run>>,
    /// Whose it is.
    of: FileIdentity,
}

/// Epochs of each numbering that some run holds, or the store for good.
type Held = BTreeMap<String, EpochSet>;

/// Decides what becomes of each thing in a spool.
pub(super) fn plan(listing: Listing, identity: &Identity) -> Plan {
    let mut plan = Plan::default();
    plan.actions
        .extend(listing.strangers.into_iter().map(|path| Action::SetAside(path, Reason::Foreign)));
    let mut candidates: Vec<(Option<usize>, Run)> = vec![];
    let mut damaged: Vec<Unreadable> = vec![];
    let mut sort = |plan: &mut Plan, place: Option<usize>, of: &FileIdentity, seen: Seen| {
        let Seen { path, name, content } = seen;
        match content {
            Content::Run(run) => candidates.push((place, *run)),
            Content::Unfinished => plan.actions.push(Action::Delete(path)),
            Content::Untouchable => {}
            Content::Foreign => plan.actions.push(Action::SetAside(path, Reason::Foreign)),
            Content::DamagedBefore => damaged.push(Unreadable { name, run: None, of: of.clone() }),
            Content::Damaged(run) => {
                plan.actions.push(Action::SetAside(path, Reason::Damaged));
                damaged.push(Unreadable { name, run, of: of.clone() });
            }
        }
    };
    let current = FileIdentity {
        gateway: identity.gateway.clone(),
        numbering: identity.numbering.clone(),
        ..FileIdentity::default()
    };
    let mut directories = vec![];
    for (place, mut directory) in listing.directories.into_iter().enumerate() {
        let of = directory.whose(&current);
        let damaged = directory.damaged();
        for seen in std::mem::take(&mut directory.runs) {
            sort(&mut plan, Some(place), &of, seen);
        }
        directories.push((directory, damaged));
    }
    for seen in listing.epochs {
        let numbering = identity.numbering_of_run(seen.name).to_owned();
        let known = identity.numberings.get(&numbering);
        let gateway = known.map_or(&current.gateway, |known| &known.gateway).clone();
        sort(
            &mut plan,
            None,
            &FileIdentity { gateway, numbering, ..FileIdentity::default() },
            seen,
        );
    }
    let mut held: Held = identity
        .numberings
        .iter()
        .map(|(numbering, known)| (numbering.clone(), known.stored.clone()))
        .collect();
    let candidates = plan.without_reported(candidates, identity);
    let kept = plan.without_doubles(candidates, &mut held);
    plan.lost_with(damaged, &held);
    plan.files_of(directories, kept, identity);
    plan
}

impl Plan {
    /// What the ledger states to be missing does not come back: a power loss may have undone that it was set
    /// aside.
    fn without_reported(
        &mut self,
        runs: Vec<(Option<usize>, Run)>,
        identity: &Identity,
    ) -> Vec<(Option<usize>, Run)> {
        let mut left = vec![];
        for (place, run) in runs {
            let reported = identity.reported_of(&run.header.numbering);
            let epochs = run.header.held();
            if reported.meets(&epochs) {
                self.lost.push(lost_of(&run, &epochs.minus(&reported)));
                self.actions.push(Action::SetAside(run.path, Reason::Damaged));
            } else {
                left.push((place, run));
            }
        }
        self.lost.retain(|lost| !lost.epochs.is_empty());
        left
    }

    /// Keeps each epoch once, in the run that has most, and rather in a file than by itself.
    fn without_doubles(
        &mut self,
        mut runs: Vec<(Option<usize>, Run)>,
        held: &mut Held,
    ) -> Vec<(Option<usize>, Run)> {
        runs.sort_by_cached_key(|(place, run)| {
            (u64::MAX - run.header.held().len(), place.is_none(), run.path.clone())
        });
        let mut kept = vec![];
        for (place, run) in runs {
            let held = held.entry(run.header.numbering.clone()).or_default();
            let epochs = run.header.held();
            if planted(Bug::NoContainment) {
                kept.push((place, run));
            } else if held.contains(&epochs) {
                self.actions.push(Action::Delete(run.path));
            } else if held.meets(&epochs) {
                self.lost.push(lost_of(&run, &epochs.minus(held)));
                self.actions.push(Action::SetAside(run.path, Reason::Double));
            } else {
                *held = held.union(&epochs);
                kept.push((place, run));
            }
        }
        kept.sort_by_key(|(_, run)| (run.header.closed_ns, run.header.epochs));
        kept
    }

    /// What cannot be read is lost, unless it is in a run that can.
    fn lost_with(&mut self, damaged: Vec<Unreadable>, held: &Held) {
        for Unreadable { name, run, of } in damaged {
            let lost = match (run, name) {
                (Some(run), _) => lost_of(&run, &run.header.held()),
                (None, Some(RunName { first, last, times })) => Lost {
                    epochs: if of.numbering == UNKNOWN {
                        EpochSet::default()
                    } else {
                        EpochSet::range(first, last)
                    },
                    numbering: of.numbering,
                    start_ns: times.map_or(i64::MIN, |(opened, _)| opened.ns()),
                    end_ns: times.map_or(i64::MIN, |(_, closed)| closed.ns()),
                    reason: GapReason::Damaged,
                    interfaces: vec![],
                    reported_by: None,
                    gateway: of.gateway,
                    store: of.store,
                    is_settled: false,
                },
                (None, None) => continue,
            };
            let held = held.get(&lost.numbering).cloned().unwrap_or_default();
            let epochs = lost.epochs.minus(&held);
            if !epochs.is_empty() || lost.numbering == UNKNOWN {
                self.lost.push(Lost { epochs, ..lost });
            }
        }
    }

    fn files_of(
        &mut self,
        directories: Vec<(Directory, EpochSet)>,
        kept: Vec<(Option<usize>, Run)>,
        identity: &Identity,
    ) {
        let mut of_directory: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
        for (place, run) in kept {
            match place {
                Some(place) => of_directory.entry(place).or_default().push(run),
                None => self.epochs.push(run),
            }
        }
        let mut lineages = BTreeSet::new();
        for (place, (directory, damaged)) in directories.into_iter().enumerate() {
            let runs = of_directory.remove(&place).unwrap_or_default();
            let Some((mut of_file, mut is_written)) = directory.identified(&runs) else {
                // Just being made, or nothing of it is left.
                self.actions.push(match directory.by_name {
                    Some(_) => Action::RemoveDirectory(directory.path),
                    None => Action::SetAside(directory.path, Reason::Foreign),
                });
                continue;
            };
            if !lineages.insert(of_file.lineage.clone()) {
                // A copy: what is only in it is a file of its own.
                of_file = FileIdentity { lineage: lineage(), ..of_file };
                is_written = false;
            }
            let waiting =
                self.epochs.iter().filter(|run| run.header.numbering == of_file.numbering);
            if of_file.store.is_some()
                && waiting.into_iter().any(|run| damaged.meets(&run.header.held()))
            {
                // A run that was made of them went with the file, maybe to a store that no other one goes to.
                of_file.provisional = of_file.provisional.union(&damaged);
                is_written = false;
            }
            let file = HourFile::found(directory.path, of_file, runs, &self.epochs);
            if file.runs.is_empty() && file.pending.is_empty() {
                self.actions.push(Action::RemoveDirectory(file.directory));
            } else {
                self.files.push((file, is_written));
            }
        }
        if let Some((last, _)) = self.files.last_mut() {
            let of_file = &last.identity;
            last.is_complete =
                of_file.gateway != identity.gateway || of_file.numbering != identity.numbering;
        }
    }
}

impl Directory {
    /// Whose its runs are.
    fn whose(&self, current: &FileIdentity) -> FileIdentity {
        let by_run = || {
            self.runs.iter().find_map(|seen| match &seen.content {
                Content::Run(run) => Some(FileIdentity {
                    gateway: run.header.gateway.clone(),
                    numbering: run.header.numbering.clone(),
                    ..FileIdentity::default()
                }),
                _ => None,
            })
        };
        self.identity.clone().or_else(by_run).unwrap_or_else(|| current.clone())
    }

    /// The epochs of its runs that cannot be read.
    fn damaged(&self) -> EpochSet {
        let epochs = self.runs.iter().filter_map(|seen| match (&seen.content, seen.name) {
            (Content::Damaged(Some(run)), _) => Some(run.header.held()),
            (Content::Damaged(None), Some(name)) => Some(EpochSet::range(name.first, name.last)),
            _ => None,
        });
        epochs.fold(EpochSet::default(), |all, epochs| all.union(&epochs))
    }

    /// What it is, and whether that is written down as it should be.
    fn identified(&self, runs: &[Run]) -> Option<(FileIdentity, bool)> {
        if let Some(of_file) = &self.identity {
            // What version 1 wrote is written once more.
            return Some((of_file.clone(), of_file.revision > 0));
        }
        let runs: Vec<&Run> = runs.iter().collect();
        let (hour_ns, lineage) = self.by_name.clone()?;
        Some((FileIdentity::of_runs(lineage, hour_ns, &runs)?, false))
    }
}
