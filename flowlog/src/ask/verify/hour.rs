//! An hour of a gateway: its files of flows and of the ledger, read together. So are the files of other tables that
//! are kept together, of an hour or a day.

mod contents;

use std::collections::BTreeSet;

use object_store::{ObjectMeta, path::Path};

use super::{
    Depth,
    continuity::{Numbered, Stored},
    read::{self, Content},
    report::{
        Difference, Foreign, ForeignReason, InterfaceGap, PairDifference, PairFault, Warning,
    },
};
use crate::{
    record::clock::Utc,
    store::Store,
    table::{ObjectName, Partition, Span, TABLES, Table, isolated, metadata::Facts, reader::Fault},
};
use contents::Contents;

/// Which hour, or day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HourName {
    pub gateway: String,
    pub start: Utc,
    /// The retention of its tables, which are held against each other.
    pub retention: &'static str,
}

impl HourName {
    pub(super) fn of(name: &ObjectName) -> Self {
        let Partition { gateway, start, table } = name.partition.clone();
        Self { gateway, start, retention: table.retention }
    }

    /// The partitions that are read together.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> {
        let of_hour = TABLES.iter().filter(|table| table.retention == self.retention);
        of_hour.map(|table| Partition::of(table, &self.gateway, self.start))
    }
}

/// A file as it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: ObjectName,
    /// What changes when the file does.
    pub state: State,
}

/// What tells a file from the one that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub size: u64,
    pub modified_ms: i64,
    e_tag: Option<String>,
}

impl Listed {
    pub(super) fn new(name: ObjectName, meta: &ObjectMeta) -> Self {
        let state = State {
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            e_tag: meta.e_tag.clone(),
        };
        Self { name, state }
    }
}

/// What was found in an hour.
#[derive(Debug, Default)]
pub(super) struct Hour {
    /// Its files as they were listed before they were read.
    pub listed: Vec<Listed>,
    /// A file was there when the store was listed, and not when it was to be read.
    pub has_vanished: bool,
    /// Every ledger has the digest of its flows, as from version 2 on.
    pub has_digests: bool,
    pub files: usize,
    pub windows: usize,
    pub rows: u64,
    pub packets: u64,
    pub bytes: u64,
    pub gaps: BTreeSet<InterfaceGap>,
    pub differences: Vec<Difference>,
    pub foreign: Vec<Foreign>,
    pub warnings: Vec<Warning>,
    pub unreadable: Vec<(Path, read::Error)>,
    pub stored: Vec<Stored>,
    /// Its files whose rows are made of events.
    pub numbered: Vec<Numbered>,
    /// Its files by table and lineage.
    pub lineages: Vec<(&'static Table, String, Path)>,
}

impl Hour {
    /// Whether its files belong together, or else cannot be those that a daemon or retention leaves
    /// for a moment.
    pub(super) fn is_settled(&self) -> bool {
        let is_pair = |difference: &Difference| matches!(difference, Difference::Pair(_));
        // Without digests, sums that differ are all that shows it.
        let may_be_moving = !self.differences.is_empty() && !self.has_digests;
        !self.has_vanished && !may_be_moving && !self.differences.iter().any(is_pair)
    }

    /// Whether there are flows that no ledger proves yet.
    pub(super) fn awaits_ledger(&self) -> bool {
        !self.has_digests
            || self.differences.iter().any(|difference| {
                matches!(
                    difference,
                    Difference::Pair(PairDifference {
                        fault: PairFault::NoLedger | PairFault::LedgerIsOlder,
                        ..
                    })
                )
            })
    }
}

/// Reads the files of an hour; `progress` is told of each.
pub(super) async fn read(
    store: &Store,
    hour: &HourName,
    listed: Vec<Listed>,
    depth: Depth,
    progress: &mut impl FnMut(),
) -> Hour {
    let mut contents = Contents::default();
    let mut outcome = Hour { listed, ..Hour::default() };
    for file in outcome.listed.clone() {
        progress();
        let path = file.name.path();
        let bytes = match store.read_present(&path).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                outcome.has_vanished = true;
                continue;
            }
            Err(error) => {
                outcome.unreadable.push((path, read::Error::Store(error)));
                continue;
            }
        };
        outcome.files += 1;
        let (table, object) = (file.name.partition.table, path.clone());
        let decoded = isolated::run(move || Content::read(table, &object, &bytes, depth));
        match decoded.await.unwrap_or(Err(read::Error::File(Fault::Panicked))) {
            Ok(content) => match misplaced(content.facts(), &file.name.partition) {
                None => contents.add(path, table, content),
                Some(reason) => outcome.foreign.push(Foreign { object: path, reason }),
            },
            Err(read::Error::File(Fault::Foreign)) => {
                outcome.foreign.push(Foreign { object: path, reason: ForeignReason::Format });
            }
            Err(error) => outcome.unreadable.push((path, error)),
        }
    }
    contents.judge(hour, &mut outcome);
    outcome
}

/// Why a file does not belong where it is.
fn misplaced(facts: &Facts, place: &Partition) -> Option<ForeignReason> {
    if let Some(gateway) = facts.gateway.as_ref().filter(|gateway| **gateway != place.gateway) {
        return Some(ForeignReason::Gateway(gateway.clone()));
    }
    let Partition { start, .. } = Partition::of(place.table, &place.gateway, facts.window_start?);
    let reason = match place.table.span {
        Span::Hour => ForeignReason::Hour(start),
        Span::Day => ForeignReason::Day(start),
    };
    (start != place.start).then_some(reason)
}
