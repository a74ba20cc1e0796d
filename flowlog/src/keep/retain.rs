//! Destroying what has expired: a pure plan first, then its execution.
//!
//! A partition goes when its last row can have ended a whole retention period ago, by a clock that
//! [can be trusted](guard). Whatever is not a file of ours, so that its time cannot be read, is
//! reported and kept; a link is not followed. What cannot be deleted keeps nothing else.

pub mod aside;
mod dated;
pub mod guard;
mod inventory;
mod memory;
mod odd;
mod rule;
mod scope;

use object_store::path::Path;

use crate::{
    record::{
        clock::{self, Utc},
        gateway::GatewayName,
    },
    store::{self, Kind, Oddity, Staged, Store},
    table::{FLOWS, ObjectName, Partition},
};
pub use dated::Date;
use guard::Verdict;
pub use inventory::Inventory;
pub use memory::Memory;
pub use rule::{Keep, Rule};
pub use scope::Scope;

/// What is deleted at an instant, and what is not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Partitions that have expired, in the order in which they go.
    pub expired: Vec<Expired>,
    /// What was being written to them, and was never finished.
    pub staged: Vec<Staged>,
    /// Objects whose time cannot be read: reported and kept.
    pub foreign: Vec<Path>,
    /// What is no object, and not in the place of one of ours: reported and kept.
    pub odd: Vec<Oddity>,
    /// What is in the place of something of ours that has expired, or may have: a link, or what
    /// cannot be looked at. It is not deleted, and somebody has to look.
    pub undeletable: Vec<Oddity>,
    /// Files whose name is not what they are dated by, or is ahead of the clock.
    pub misdated: Vec<Misdated>,
    /// Number of files that are kept.
    pub kept_files: usize,
}

/// A partition that has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Which one.
    pub partition: Partition,
    /// Its files.
    pub files: Vec<Path>,
    /// Their size in bytes.
    pub bytes: u64,
}

/// A file whose name does not tell its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misdated {
    /// Its path.
    pub path: Path,
    /// By what it is judged instead.
    pub date: Date,
}

/// Decides what has expired.
#[must_use]
pub fn plan(inventory: &Inventory, rule: &Rule<'_>) -> RetentionPlan {
    let mut plan = RetentionPlan::default();
    let mut files = vec![];
    for object in &inventory.listing.objects {
        match ObjectName::parse(&object.location) {
            Some(name) if rule.is_of(&name.partition.gateway, name.partition.start) => {
                files.push((name, object));
            }
            Some(_) => {}
            None => plan.foreign.push(object.location.clone()),
        }
    }
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (name, object) in files {
        let modified = Utc::from_ms(object.last_modified.timestamp_millis());
        let path = &object.location;
        let date = dated::date(&name, path.as_ref(), modified, &inventory.memory, rule.now);
        if !matches!(date, Date::Named(_)) {
            plan.misdated.push(Misdated { path: path.clone(), date });
        }
        if !date.end().is_some_and(|end| rule.is_over(name.partition.table, end)) {
            plan.kept_files += 1;
            continue;
        }
        if plan.expired.last().is_none_or(|last| last.partition != name.partition) {
            plan.expired.push(Expired { partition: name.partition, files: vec![], bytes: 0 });
        }
        if let Some(last) = plan.expired.last_mut() {
            last.files.push(path.clone());
            last.bytes += object.size;
        }
    }
    plan.staged = inventory.staged.iter().filter(|s| is_staged_over(s, rule)).cloned().collect();
    let (undeletable, odd) = inventory
        .listing
        .oddities
        .iter()
        .cloned()
        .partition(|oddity| odd::may_hide_expired(&oddity.path, rule));
    (plan.undeletable, plan.odd) = (undeletable, odd);
    plan
}

/// Whether retention of a store may go by the clock now.
pub async fn judge_clock(store: &Store) -> Result<Verdict, store::Error> {
    let now = clock::now();
    let newest = Inventory::of(store).await?.newest(None, now);
    Ok(guard::clock_guard(now, clock::quality(), newest))
}

/// It goes with its partition; what is to have none, when it was last written to so long ago.
fn is_staged_over(staged: &Staged, rule: &Rule<'_>) -> bool {
    let target = staged.path.rsplit_once('#').map_or("", |(target, _)| target);
    let name = Path::parse(target).ok().as_ref().and_then(ObjectName::parse);
    let gateway = staged.gateway.as_ref().map_or("", GatewayName::as_str);
    let (table, start, end) = name.map_or((&FLOWS, staged.modified, staged.modified), |name| {
        (name.partition.table, name.partition.start, name.partition.end())
    });
    rule.is_of(gateway, start) && rule.is_over(table, end)
}

/// What was deleted, and what was not.
#[derive(Debug, Default)]
pub struct Deletion {
    /// Partitions of which nothing is left.
    pub partitions: usize,
    /// Files that are gone.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that were being written, and are gone.
    pub staged: usize,
    /// What could not be deleted, and why.
    pub failed: Vec<(String, store::Error)>,
    /// Files that were not tried, as the store is away, or as their rows could not be deleted.
    pub untried: usize,
}

/// So many failures of a store that is away end a run.
const PATIENCE: usize = 3;

/// Deletes what a plan names, and calls `deleted` for each partition that is gone.
///
/// It can be stopped at any step and run again: what is gone already counts as deleted. What cannot
/// be deleted keeps nothing else, but what is kept with it and goes later: the ledger of the same hour proves what
/// is left.
pub async fn run(
    store: &Store,
    plan: &RetentionPlan,
    mut deleted: impl FnMut(&Expired),
) -> Deletion {
    let mut done = Deletion::default();
    let mut away = 0;
    let mut left: Option<&Partition> = None;
    for expired in &plan.expired {
        let is_same = |left: &&Partition| {
            let of = |partition: &Partition| (partition.start, partition.table.retention);
            (of(left), &left.gateway) == (of(&expired.partition), &expired.partition.gateway)
        };
        if away >= PATIENCE || left.as_ref().is_some_and(is_same) {
            done.untried += expired.files.len();
            continue;
        }
        let failed = done.failed.len();
        for file in &expired.files {
            match store.delete(file).await {
                Ok(()) => {
                    done.files += 1;
                    away = 0;
                }
                Err(error) => {
                    away += usize::from(error.kind() == Kind::Away);
                    done.failed.push((file.to_string(), error));
                }
            }
        }
        if done.failed.len() > failed {
            left = Some(&expired.partition);
        } else {
            done.partitions += 1;
            done.bytes += expired.bytes;
            deleted(expired);
        }
    }
    for staged in &plan.staged {
        match store.remove_staged(staged).await {
            Ok(true) => done.staged += 1,
            // A daemon writes for its gateway: it may be its own, and goes when that one starts anew.
            Ok(false) => done.untried += 1,
            Err(error) => done.failed.push((staged.path.clone(), error)),
        }
    }
    done
}

#[cfg(test)]
mod tests;
