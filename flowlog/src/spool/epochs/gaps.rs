//! Gaps in what was counted: found where a number is left out, and stated by the ledger of the next epoch.

use std::time::Duration;

use super::{
    super::{identity::Lost, incidents::Incident},
    Epochs,
};
use crate::record::{
    epoch::Epoch,
    epoch_set::EpochSet,
    ledger::{Gap, GapReason, LedgerEntry},
    times::Times,
};

impl Epochs {
    /// A number that is missing says that nobody counted in between. It is written down with the numbering that
    /// begins, since whoever tells of it may not live to do so.
    pub(super) fn gap_before(&self, epoch: &Epoch) -> Option<Lost> {
        let number = epoch.number.get();
        let (last, closed) = self.last.filter(|(last, _)| number > last.saturating_add(1))?;
        if self.renumbered.is_some_and(|(from, to)| (from..=to).contains(&number)) {
            return None;
        }
        // Counted time is no gap: maps that went on were filled before anybody looked.
        let times = Times::of(epoch);
        let observed = epoch.totals.iter().map(|(observed, _)| times.utc(observed.from)).min();
        let end = self.counting_since.unwrap_or(epoch.closed);
        let end = observed.map_or(end, |observed| observed.min(end));
        Some(Lost {
            numbering: String::new(),
            epochs: EpochSet::default(),
            // Where the clock was set back, nothing is known but that there was something.
            start_ns: closed.min(end).ns(),
            end_ns: end.ns(),
            reason: GapReason::Down,
            interfaces: self.counted.iter().cloned().collect(),
            reported_by: None,
            gateway: String::new(),
            store: None,
            // New maps leave out one number. Where there are more, somebody else may have counted on, whose
            // epochs the store has.
            is_settled: !self.may_have_lost
                && number <= last.saturating_add(2)
                && !self.reserved.meets(&EpochSet::range(last.saturating_add(1), number - 1)),
        })
    }

    /// What is lost, and told by no epoch.
    pub(super) fn unreported(&self) -> Vec<Lost> {
        let identity = self.spool.kept().value.clone();
        identity
            .lost
            .into_iter()
            .filter(|lost| lost.is_settled && lost.reported_by.is_none())
            .collect()
    }

    /// Any interface may have been in use meanwhile, also one that has gone since. Returns whether there is
    /// something to tell, and a row that tells it.
    pub(super) fn add_gaps(
        &self,
        lost: &[Lost],
        epoch: &Epoch,
        ledger: &mut Vec<LedgerEntry>,
        clock_error: Duration,
    ) -> bool {
        if lost.is_empty() {
            return false;
        }
        let of_lost = lost.iter().flat_map(|lost| &lost.interfaces);
        for name in self.counted.iter().chain(of_lost) {
            if !ledger.iter().any(|row| row.interface == *name) {
                let mut row = LedgerEntry::new(name.clone(), epoch.closed, epoch.closed);
                row.clock_error = clock_error;
                ledger.push(row);
            }
        }
        for row in &mut *ledger {
            for gap in lost.iter().map(Lost::gap) {
                row.add_gap(gap);
            }
        }
        !ledger.is_empty()
    }

    /// An epoch has told what is missing.
    pub(super) fn reported(&self, lost: &[Lost], by: &(String, u64)) {
        for Gap { start, end, reason } in lost.iter().map(Lost::gap) {
            Incident::Gap { start, end, reason }.emit();
        }
        let known = self.spool.know(|identity| {
            for reported in identity.lost.iter_mut().filter(|known| lost.contains(known)) {
                reported.reported_by = Some(by.clone());
            }
        });
        // Then it is told twice, which is no harm.
        if let Err(error) = known {
            Incident::Failed { error: &error }.emit();
        }
    }
}
