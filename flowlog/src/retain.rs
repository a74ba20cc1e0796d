//! Destroying what has expired: a pure plan first, then its execution.
//!
//! A partition goes when its last row can have ended a whole retention period ago. Whatever is not
//! a file of ours, so that its time cannot be read, is reported and kept.

use object_store::{ObjectMeta, path::Path};

use crate::{
    clock::Utc,
    config::Period,
    store::{
        self, Store,
        layout::{ObjectName, Partition},
    },
};

/// What is deleted at an instant, and what is not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Partitions that have expired, in the order in which they go.
    pub expired: Vec<Expired>,
    /// Objects whose time cannot be read: reported and kept.
    pub foreign: Vec<Path>,
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

/// Decides what has expired at an instant; `gateway` restricts it to the files of one.
#[must_use]
pub fn plan(
    objects: &[ObjectMeta],
    keep: &Period,
    at: Utc,
    gateway: Option<&str>,
) -> RetentionPlan {
    let mut plan = RetentionPlan::default();
    let mut files: Vec<(ObjectName, &ObjectMeta)> = vec![];
    for object in objects {
        match ObjectName::parse(&object.location) {
            Some(name) => files.push((name, object)),
            None => plan.foreign.push(object.location.clone()),
        }
    }
    files.retain(|(name, _)| gateway.is_none_or(|gateway| name.partition.gateway == gateway));
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (name, object) in files {
        if !is_over(keep, name.partition.end(), at) {
            plan.kept_files += 1;
            continue;
        }
        if plan.expired.last().is_none_or(|last| last.partition != name.partition) {
            plan.expired.push(Expired { partition: name.partition, files: vec![], bytes: 0 });
        }
        if let Some(last) = plan.expired.last_mut() {
            last.files.push(object.location.clone());
            last.bytes += object.size;
        }
    }
    plan
}

/// Whether what ended then is to be kept no longer at an instant.
#[must_use]
pub fn is_over(keep: &Period, end: Utc, at: Utc) -> bool {
    // A period that ends after the calendar never does.
    keep.after(end).is_some_and(|expiry| expiry <= at)
}

/// Deletes what a plan names, and tells `deleted` of each partition when it is gone.
///
/// It can be stopped at any step and run again: what is gone already counts as deleted.
pub async fn run(
    store: &Store,
    plan: &RetentionPlan,
    mut deleted: impl FnMut(&Expired),
) -> Result<(), store::Error> {
    for expired in &plan.expired {
        for file in &expired.files {
            store.delete(file).await?;
        }
        deleted(expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
