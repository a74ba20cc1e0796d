//! What belongs together, and loses a part: flows without their ledger's epochs, files of the spool without a directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use fastrand::Rng;

use super::history::History;
use crate::{
    record::epoch_set::EpochSet,
    spool::{Spool, disk::SharedDisk, model::disk::ROOT, run::Run},
};

/// Of so many steps one is followed by a loss.
const RARELY: u8 = 12;

/// What loses parts, by numbers of its own, so that those of the rest do not depend on it.
pub(super) struct Halves {
    random: Rng,
    /// Files of flows as they were at some time.
    before: BTreeMap<(&'static str, object_store::path::Path), Bytes>,
}

impl Halves {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed ^ 0x4a1f_ed00), before: BTreeMap::new() }
    }
}

impl History {
    /// Now and then something is lost. Returns what.
    pub(super) fn lose_a_half(&mut self) -> Option<String> {
        let halves = self.halves.as_mut()?;
        let random = &mut halves.random;
        if random.u8(..RARELY) > 0 {
            return None;
        }
        match random.u8(..8) {
            0 | 1 => self.lose_directory(),
            2 | 3 => {
                let stores = &self.world.stores;
                let flows = stores.iter().flat_map(|(url, store)| {
                    store.all().into_iter().map(|(path, file)| ((*url, path), file))
                });
                halves.before = flows.filter(|((_, path), _)| is_flows(path)).collect();
                Some("remember flows".to_owned())
            }
            _ => self.lose_flows(),
        }
    }

    /// Somebody deletes a directory of the spool's files, or all of them, whoever uses them.
    fn lose_directory(&mut self) -> Option<String> {
        // Which store its epochs went to, only the file knew.
        if self.is_store_changed || self.world.disk.real.is_some() {
            return None;
        }
        let random = &mut self.halves.as_mut()?.random;
        let files = Path::new(ROOT).join("files");
        let directories: BTreeSet<PathBuf> = self
            .world
            .disk
            .files()
            .iter()
            .filter_map(|path| Some(path.parent()?.to_owned()))
            .filter(|path| path.parent() == Some(&files))
            .collect();
        let directories: Vec<PathBuf> = directories.into_iter().collect();
        if directories.is_empty() {
            return None;
        }
        let is_all = random.bool();
        let one = random.usize(..directories.len());
        let gone = if is_all { &directories[..] } else { &directories[one..=one] };
        for path in gone {
            self.world.disk.delete(path);
        }
        self.is_store_fixed = true;
        // Nobody knows of the last epoch any more if it was in there: then the gap covers it, though it is stored.
        self.is_exact = false;
        Some(format!("delete {gone:?}"))
    }

    /// A store loses flows and not their ledger, while no daemon runs.
    fn lose_flows(&mut self) -> Option<String> {
        let halves = self.halves.as_mut()?;
        let url = self.world.store;
        let store = self.world.stores[url].clone();
        let flows: Vec<_> = store.all().into_iter().filter(|(path, _)| is_flows(path)).collect();
        if flows.is_empty() {
            return None;
        }
        let (path, file) = flows[halves.random.usize(..flows.len())].clone();
        let choice = halves.random.u8(..3);
        let length = halves.random.usize(..file.len().max(1));
        let older = halves.before.get(&(url, path.clone())).cloned();
        self.world.kill();
        let before = self.found();
        let lost = match (choice, older) {
            (0, _) => {
                store.remove(&path);
                format!("delete {path}")
            }
            (1, Some(older)) => {
                store.put(&path, older);
                format!("set {path} back")
            }
            _ => {
                store.put(&path, file.slice(..length));
                format!("end of {path}")
            }
        };
        let after = self.found();
        // Flows that were damaged, and that the spool had not all of, are in another file since.
        let is_double = |(uid, packets): &(&u32, &i64)| {
            **packets > 1 && before.packets.get(uid).is_some_and(|packets| *packets == 1)
        };
        self.either.extend(after.packets.iter().filter(is_double).map(|(uid, _)| *uid));
        let is_gone = |uid: &&u32| !after.packets.contains_key(uid);
        let gone: Vec<u32> = before.packets.keys().filter(is_gone).copied().collect();
        let held = self.held();
        let is_held = |uid: &u32| {
            self.world.truth.get(uid).is_some_and(|truth| {
                held.iter().any(|(from, to)| *from <= truth.opened && truth.closed <= *to)
            })
        };
        // What the spool still has must come back.
        self.excused.0.extend(gone.into_iter().filter(|uid| !is_held(uid)));
        self.is_exact = false;
        Some(lost)
    }

    /// The times of runs that the spool has, and does not know to be in the store for good.
    fn held(&self) -> Vec<(i64, i64)> {
        self.world.disk.revive();
        let disk = SharedDisk(Arc::new(self.world.disk.clone()));
        let Ok(spool) = Spool::on(disk.clone(), Path::new(ROOT), u64::MAX) else { return vec![] };
        let of_spool = [Path::new(ROOT).join("epochs"), Path::new(ROOT).join("files")];
        let is_of_spool = |path: &&PathBuf| {
            of_spool.iter().any(|part| path.starts_with(part))
                && path.extension().is_some_and(|extension| extension == "run")
        };
        let files = self.world.disk.files();
        let runs = files.iter().filter(is_of_spool).filter_map(|path| Run::open(&disk, path).ok());
        let held = runs.filter(|run| {
            let held = run.header.held();
            let safe: EpochSet = spool.stored_for_good(&run.header.numbering);
            held.is_one_range() && !safe.meets(&held) && run.check().is_ok()
        });
        held.map(|run| (run.header.opened().ns(), run.header.closed_ns)).collect()
    }
}

fn is_flows(path: &object_store::path::Path) -> bool {
    path.as_ref().starts_with("flows/")
}
