//! Whose a spool is, and what became of the epochs that are not in it any more.
//!
//! Every number of a numbering, from its first to its last, is in a run of the spool, or was shown to
//! be in the store, or is known to be lost: then some epoch tells of it as a gap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    name::RunName,
    planted::{Bug, planted},
};
use crate::record::{
    clock::Utc,
    epoch_set::EpochSet,
    ledger::{Gap, GapReason},
    location::{Location, location_in_clear, locations_in_clear},
};

/// The numbering of something whose numbering nobody knows: its time alone can be looked for in the store.
pub const UNKNOWN: &str = "";

/// What a spool knows beside its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Whose numbers its epochs have now.
    pub numbering: String,
    /// The gateway that counts now.
    pub gateway: String,
    /// Names that the gateway had before, and until when, nanoseconds of UTC.
    #[serde(default)]
    pub former: BTreeMap<String, i64>,
    /// The machine that counts now.
    pub machine: String,
    /// The numberings that there were, and have something to be remembered of.
    pub numberings: BTreeMap<String, Numbering>,
    /// What was lost.
    pub lost: Vec<Lost>,
    /// The URLs of stores that files went to, the last ones.
    #[serde(default, serialize_with = "locations_in_clear")]
    pub stores: Vec<Location>,
    /// The last number of numberings of which nothing else is remembered, and when it ended.
    #[serde(default)]
    pub counted: Option<(u64, i64)>,
}

/// What became of the epochs of a numbering.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// Name of the gateway that counted.
    pub gateway: String,
    /// Its first number; `None` before there is one.
    pub first: Option<u64>,
    /// Its last number; `None` while it goes on.
    pub last: Option<u64>,
    /// Those that the store has for good.
    pub stored: EpochSet,
    /// Those that are lost, and told by an epoch that the store has for good.
    #[serde(default)]
    pub missing: EpochSet,
    /// When the last of those that are stored ended.
    pub stored_until_ns: i64,
    /// When the first epoch of the numbering began.
    pub opened_ns: i64,
    /// When the last one ended, where the numbering has.
    pub until_ns: Option<i64>,
}

/// A time whose counts are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Whose numbers these are.
    pub numbering: String,
    /// The numbers; none where nobody counted.
    pub epochs: EpochSet,
    /// Since when, nanoseconds of UTC.
    pub start_ns: i64,
    /// Until when.
    pub end_ns: i64,
    /// Why.
    pub reason: GapReason,
    /// Names of interfaces that were counted.
    pub interfaces: Vec<String>,
    /// Numbering and number of the epoch that tells of it; `None` until one does.
    #[serde(rename = "told_by")]
    pub reported_by: Option<(String, u64)>,
    /// Name of the gateway that counted.
    pub gateway: String,
    /// The store that may have some of it; `None` is the configured one.
    #[serde(serialize_with = "location_in_clear")]
    pub store: Option<Location>,
    /// Whether the store was asked. Before that nothing is told, since it may have all of it.
    pub is_settled: bool,
}

impl Lost {
    /// The time, as the ledger tells it.
    #[must_use]
    pub fn gap(&self) -> Gap {
        Gap::between(Utc::from_ns(self.start_ns), Utc::from_ns(self.end_ns), self.reason)
    }
}

impl Identity {
    /// The gateway has another name from now on.
    pub fn rename(&mut self, gateway: &str, now: Utc) {
        let before = std::mem::replace(&mut self.gateway, gateway.to_owned());
        if !before.is_empty() {
            self.former.insert(before, now.ns());
        }
        self.former.remove(gateway);
    }

    /// What is known of a numbering.
    pub fn of(&mut self, numbering: &str) -> &mut Numbering {
        self.numberings.entry(numbering.to_owned()).or_default()
    }

    /// The lost epochs of a numbering.
    #[must_use]
    pub fn lost_of(&self, numbering: &str) -> EpochSet {
        let of = self.lost.iter().filter(|lost| lost.numbering == numbering);
        let missing = self.numberings.get(numbering).map(|known| known.missing.clone());
        of.fold(missing.unwrap_or_default(), |all, lost| all.union(&lost.epochs))
    }

    /// The epochs of a numbering that some epoch told to be lost.
    #[must_use]
    pub fn reported_of(&self, numbering: &str) -> EpochSet {
        let of = self.lost.iter().filter(|lost| lost.numbering == numbering);
        let reported = of.filter(|lost| lost.reported_by.is_some());
        let missing = self.numberings.get(numbering).map(|known| known.missing.clone());
        reported.fold(missing.unwrap_or_default(), |all, lost| all.union(&lost.epochs))
    }

    /// Forgets a numbering, but for where it ended.
    pub fn forget(&mut self, numbering: &str) {
        let Some(known) = self.numberings.remove(numbering) else { return };
        let last = known.last.max(known.stored.last());
        let until = known.until_ns.unwrap_or(known.stored_until_ns).max(known.stored_until_ns);
        if let Some(last) = last {
            let (number, closed) = self.counted.unwrap_or((last, until));
            self.counted = Some((number.max(last), closed.max(until)));
        }
    }

    /// The numbering of a run of which there is nothing but the name. It is not that of now where this one began
    /// with a higher number: the file that named the run's own was damaged.
    #[must_use]
    pub fn numbering_of_run(&self, name: Option<RunName>) -> &str {
        let number = name.map_or(u64::MAX, |name| name.first);
        let begun = self.numberings.iter().filter_map(|(numbering, known)| {
            let first = known.first.filter(|first| *first <= number)?;
            // Of one that was begun, and not counted, the first number is that of the next one, too.
            Some((first, *numbering == self.numbering, numbering))
        });
        let has_begun = self.numberings.get(&self.numbering).is_some_and(|now| now.first.is_some());
        let has_times = name.is_some_and(|name| name.times.is_some());
        match begun.max() {
            Some((_, _, numbering)) => numbering,
            None if has_begun && has_times => UNKNOWN,
            None => &self.numbering,
        }
    }

    /// These epochs are in the store for good, and with them what they told.
    pub fn stored(&mut self, numbering: &str, epochs: &EpochSet, until: Utc) {
        if planted(Bug::NoStored) {
            return;
        }
        let known = self.of(numbering);
        known.stored = known.stored.union(epochs);
        known.stored_until_ns = known.stored_until_ns.max(until.ns());
        let is_reported = |lost: &Lost| {
            lost.reported_by.as_ref().is_some_and(|(of, number)| {
                of == numbering && epochs.meets(&EpochSet::range(*number, *number))
            })
        };
        for lost in self.lost.extract_if(.., |lost| is_reported(lost)).collect::<Vec<_>>() {
            // A numbering that is forgotten needs no account any more.
            if let Some(known) = self.numberings.get_mut(&lost.numbering) {
                known.missing = known.missing.union(&lost.epochs);
            }
        }
    }

    /// These epochs are lost, and with them what they told.
    pub fn lose(&mut self, lost: Lost) {
        if planted(Bug::NoLost) {
            return;
        }
        let is_lost = |(numbering, number): &(String, u64)| {
            *numbering == lost.numbering && lost.epochs.meets(&EpochSet::range(*number, *number))
        };
        for before in &mut self.lost {
            if before.reported_by.as_ref().is_some_and(is_lost) {
                before.reported_by = None;
            }
        }
        self.lost.push(lost);
    }

    /// The store was asked for something that is lost: it has these epochs, and what was counted in these
    /// times. The rest is a gap, or several.
    pub fn settle(&mut self, lost: &Lost, stored: &EpochSet, counted: &[(i64, i64)]) {
        let Some(place) = self.lost.iter().position(|known| known == lost) else { return };
        let lost = self.lost.remove(place);
        let epochs = lost.epochs.minus(stored);
        if !lost.epochs.is_empty() {
            let found = lost.epochs.minus(&epochs);
            let known = self.of(&lost.numbering);
            if found.last() > known.stored.last() {
                known.stored_until_ns = known.stored_until_ns.max(lost.end_ns);
            }
            known.stored = known.stored.union(&found);
            if epochs.is_empty() {
                return;
            }
        }
        let times = without((lost.start_ns, lost.end_ns), counted);
        let is_counted = |(start, end): &(i64, i64)| start == end && lost.start_ns < lost.end_ns;
        if epochs.is_empty() && times.iter().all(is_counted) {
            // It was counted all along, and no number is missing.
            return;
        }
        for (place, (start_ns, end_ns)) in times.into_iter().enumerate() {
            // The first one stands for the numbers.
            let epochs = if place == 0 { epochs.clone() } else { EpochSet::default() };
            self.lost.push(Lost { epochs, start_ns, end_ns, is_settled: true, ..lost.clone() });
        }
    }

    /// Ends the current numbering and begins another one.
    pub fn begin(&mut self, first: Option<u64>, last_of_before: Option<(u64, Utc)>) {
        let before = self.numbering.clone();
        if let Some(known) = self.numberings.get_mut(&before) {
            known.last = last_of_before.map(|(last, _)| last).or(known.last);
            known.until_ns = last_of_before.map(|(_, until)| until.ns()).or(known.until_ns);
        }
        self.numbering = random();
        let numbering = self.numbering.clone();
        self.of(&numbering).first = first;
    }
}

/// What is left of a time without others; its end, where nothing is.
pub(super) fn without((start, end): (i64, i64), others: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut others = others.to_vec();
    others.sort_unstable();
    let mut left = vec![];
    let mut from = start;
    for (other_start, other_end) in others {
        if other_start > from {
            left.push((from, other_start.min(end)));
        }
        from = from.max(other_end);
        if from >= end {
            break;
        }
    }
    if from < end {
        left.push((from, end));
    }
    left.retain(|(start, end)| start < end);
    if left.is_empty() {
        left.push((end, end));
    }
    left
}

/// 128 random bits, in hexadecimal digits.
#[must_use]
pub fn random() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// What tells this machine from others, without telling which it is.
#[must_use]
pub fn machine() -> String {
    let id = std::fs::read("/etc/machine-id").unwrap_or_default();
    let id = id.trim_ascii();
    if id.is_empty() {
        return String::new();
    }
    crate::table::digest::sha256(&[b"flowlog spool ", id].concat())[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_all_along_is_no_gap() {
        let lost = |epochs: &str, end_ns| Lost {
            numbering: "n".to_owned(),
            epochs: epochs.parse().unwrap(),
            start_ns: 10,
            end_ns,
            reason: GapReason::Down,
            interfaces: vec![],
            reported_by: None,
            gateway: "gw".to_owned(),
            store: None,
            is_settled: false,
        };
        let left = |lost: Lost, counted: &[(i64, i64)]| {
            let mut identity = Identity { lost: vec![lost.clone()], ..Identity::default() };
            identity.settle(&lost, &EpochSet::default(), counted);
            let times = identity.lost.iter().map(|lost| (lost.start_ns, lost.end_ns));
            times.collect::<Vec<_>>()
        };
        assert_eq!(left(lost("", 20), &[(0, 15), (15, 30)]), []);
        assert_eq!(left(lost("", 20), &[(0, 15)]), [(15, 20)]);
        // Numbers that are missing need a place, and so does a gap of which nobody knows how long it was.
        assert_eq!(left(lost("3-3", 20), &[(0, 30)]), [(20, 20)]);
        assert_eq!(left(lost("", 10), &[(0, 30)]), [(10, 10)]);
    }
}
