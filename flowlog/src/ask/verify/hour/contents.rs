//! The files of an hour, held against each other.

use std::collections::{BTreeMap, BTreeSet};

use flowlog_common::total::Count;
use object_store::path::Path;

use super::{Hour, HourName};
use crate::{
    ask::verify::{
        continuity::{self, Counted, Numbered, Stored},
        read::{Content, Flows, Ledger, Sums},
        report::{
            Check, Difference, InterfaceGap, PairDifference, PairFault, SumDifference, Warning,
        },
    },
    record::{clock::Utc, epoch_set::EpochSet, ledger::Account},
    table::{FLOWS, LEDGER, Table, metadata::Facts},
};

/// The files of an hour, as they were read.
#[derive(Default)]
pub(super) struct Contents {
    flows: Vec<(Path, Flows)>,
    ledgers: Vec<(Path, Ledger)>,
    others: Vec<(Path, &'static Table, Facts)>,
}

impl Contents {
    pub(super) fn add(&mut self, path: Path, table: &'static Table, content: Content) {
        match content {
            Content::Other(facts) => self.others.push((path, table, facts)),
            Content::Flows(flows) => self.flows.push((path, flows)),
            Content::Ledger(ledger) => self.ledgers.push((path, ledger)),
        }
    }

    pub(super) fn judge(&self, hour: &HourName, outcome: &mut Hour) {
        self.add_up(hour, outcome);
        self.compare_sums(hour, outcome);
        self.compare_pairs(outcome);
        outcome.has_digests =
            self.ledgers.iter().all(|(_, ledger)| ledger.facts.flows_rows.is_some());
        for (path, table, facts) in &self.others {
            outcome.lineages.extend(lineage(table, path, facts));
            outcome.numbered.extend(facts.events.clone().map(|events| Numbered {
                path: path.clone(),
                gateway: hour.gateway.clone(),
                table,
                start: hour.start,
                events,
            }));
        }
        for (path, ledger) in &self.ledgers {
            outcome.stored.push(ledger.stored(path, hour));
            outcome.lineages.extend(lineage(&LEDGER, path, &ledger.facts));
        }
        for (path, flows) in &self.flows {
            outcome.lineages.extend(lineage(&FLOWS, path, &flows.facts));
            // Where the ledger cannot be read, the flows say which epochs are there.
            if self.ledger_of(&flows.facts).is_none() {
                outcome.stored.push(flows.stored(path, hour));
            }
        }
    }

    fn add_up(&self, hour: &HourName, outcome: &mut Hour) {
        let windows: BTreeSet<Utc> =
            self.ledgers.iter().flat_map(|(_, ledger)| ledger.windows.keys().copied()).collect();
        outcome.windows = windows.len();
        outcome.rows = self.flows.iter().map(|(_, flows)| flows.rows).sum();
        for (_, ledger) in &self.ledgers {
            for account in ledger.sums.values() {
                outcome.packets += account.seen.packets;
                outcome.bytes += account.seen.bytes;
            }
            let gaps = ledger.gaps.iter().map(|gap| InterfaceGap {
                gateway: hour.gateway.clone(),
                interface: gap.interface.clone(),
                gap: gap.gap,
            });
            outcome.gaps.extend(gaps);
        }
    }

    fn compare_sums(&self, hour: &HourName, outcome: &mut Hour) {
        let difference = |at, interface: &str, direction, missing, check| {
            Difference::Sum(SumDifference {
                gateway: hour.gateway.clone(),
                at,
                interface: interface.to_owned(),
                direction,
                missing,
                check,
            })
        };
        for (at, interface, direction, missing) in
            self.ledgers.iter().flat_map(|(_, ledger)| &ledger.uneven)
        {
            let uneven = difference(*at, interface, *direction, *missing, Check::Ledger);
            outcome.differences.push(uneven);
        }
        let mut sums: Sums<(Account, Count)> = BTreeMap::new();
        for (key, account) in self.ledgers.iter().flat_map(|(_, ledger)| &ledger.sums) {
            sums.entry(key.clone()).or_default().0.add(account);
        }
        for (key, count) in self.flows.iter().flat_map(|(_, flows)| &flows.sums) {
            sums.entry(key.clone()).or_default().1.add(count.packets, count.bytes);
        }
        for ((interface, direction), (account, rows)) in &sums {
            let missing = missing_rows(account, rows);
            if missing != (0, 0) {
                let of_hour = difference(hour.start, interface, *direction, missing, Check::Rows);
                outcome.differences.push(of_hour);
            }
        }
    }

    fn compare_pairs(&self, outcome: &mut Hour) {
        let mut fault = |object: &Path, fault| {
            let object = object.clone();
            outcome.differences.push(Difference::Pair(PairDifference { object, fault }));
        };
        for (path, flows) in &self.flows {
            match self.ledger_of(&flows.facts) {
                None => fault(path, PairFault::NoLedger),
                Some((_, ledger)) => {
                    if let Some(other) = pair_fault(flows, &ledger.facts) {
                        fault(path, other);
                    }
                }
            }
        }
        for (path, ledger) in &self.ledgers {
            let has_flows =
                self.flows.iter().any(|(_, flows)| flows.facts.lineage == ledger.facts.lineage);
            if ledger.facts.flows_sha256.is_some() && !has_flows {
                fault(path, PairFault::NoFlows);
            }
        }
        for (path, flows) in &self.flows {
            let Some((_, ledger)) = self.ledger_of(&flows.facts) else { continue };
            if let Some(outside) = ledger.rows_outside(path, flows) {
                outcome.warnings.push(outside);
            }
        }
    }

    fn ledger_of(&self, flows: &Facts) -> Option<&(Path, Ledger)> {
        self.ledgers.iter().find(|(_, ledger)| ledger.facts.lineage == flows.lineage)
    }
}

pub(super) fn lineage(
    table: &'static Table,
    path: &Path,
    facts: &Facts,
) -> Option<(&'static Table, String, Path)> {
    Some((table, facts.lineage.clone()?, path.clone()))
}

pub(super) fn missing_rows(account: &Account, rows: &Count) -> (i128, i128) {
    let Account { flows, overflow, .. } = account;
    let missing = |of: fn(&Count) -> u64| {
        i128::from(of(flows)) + i128::from(of(overflow)) - i128::from(of(rows))
    };
    (missing(|count| count.packets), missing(|count| count.bytes))
}

/// Why a file of flows is not the one that a ledger proves.
pub(super) fn pair_fault(flows: &Flows, ledger: &Facts) -> Option<PairFault> {
    // Version 1 knows nothing of its flows.
    ledger.flows_rows?;
    if ledger.flows_sha256.as_ref() == Some(&flows.sha256) {
        return None;
    }
    let nothing = EpochSet::default();
    let [held, proven] =
        [&flows.facts.epochs, &ledger.epochs].map(|epochs| epochs.as_ref().unwrap_or(&nothing));
    Some(if !proven.contains(held) {
        PairFault::LedgerIsOlder
    } else if !held.contains(proven) {
        PairFault::FlowsAreOlder
    } else {
        PairFault::OtherFlows
    })
}

/// What a row may be dated outside of the time that the ledger names: both are rounded.
const SLACK_MS: i64 = 1_000;

impl Ledger {
    fn rows_outside(&self, path: &Path, flows: &Flows) -> Option<Warning> {
        let rows = flows.times.filter(|_| !self.has_clock_step)?;
        let start = self.windows.values().map(|window| window.observed.0).min()?;
        let end = self.windows.values().map(|window| window.observed.1).max()?;
        let is_outside = rows.0.ms() < start.ms() - SLACK_MS || rows.1.ms() > end.ms() + SLACK_MS;
        is_outside.then(|| Warning::RowsOutside {
            object: path.clone(),
            rows,
            observed: (start, end),
        })
    }

    fn stored(&self, path: &Path, hour: &HourName) -> Stored {
        let windows = self
            .windows
            .iter()
            .filter_map(|(start, window)| Some((window.epochs?, (*start, window.end))))
            .collect();
        let ends = self.windows.values().map(|window| window.end).max();
        let whole =
            (self.windows.keys().next().copied().unwrap_or(hour.start), ends.unwrap_or(hour.start));
        let epochs = self.facts.epochs.clone().unwrap_or_default();
        Stored {
            path: path.clone(),
            gateway: hour.gateway.clone(),
            numbering: self.facts.numbering.clone(),
            ranges: continuity::dated(&epochs, &windows, whole),
            gaps: self.gaps.clone(),
            counted: self.counted(),
            has_clock_step: self.has_clock_step,
        }
    }

    /// When each interface was counted. A window with a gap says only when it was first and last.
    fn counted(&self) -> Counted {
        let with_gap: BTreeSet<_> =
            self.gaps.iter().map(|gap| (gap.interface.as_str(), gap.epochs)).collect();
        let mut counted = Counted::new();
        for (interface, window, time) in &self.observed {
            let epochs = self.windows.get(window).and_then(|window| window.epochs);
            if !with_gap.contains(&(interface.as_str(), epochs)) {
                continuity::add_time(counted.entry(interface.clone()).or_default(), *time);
            }
        }
        counted
    }
}

impl Flows {
    fn stored(&self, path: &Path, hour: &HourName) -> Stored {
        let whole = self.times.unwrap_or((hour.start, hour.start));
        let epochs = self.facts.epochs.clone().unwrap_or_default();
        Stored {
            path: path.clone(),
            gateway: hour.gateway.clone(),
            numbering: self.facts.numbering.clone(),
            ranges: continuity::dated(&epochs, &BTreeMap::new(), whole),
            gaps: vec![],
            counted: Counted::new(),
            has_clock_step: true,
        }
    }
}
