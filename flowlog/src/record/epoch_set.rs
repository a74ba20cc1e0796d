//! Sets of epoch numbers: what a file of the store holds, and what is missing of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A set of epoch numbers, as ranges that are in order and do not touch.
///
/// Its text is that of the metadata of files: `1-40,46-60`; nothing where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EpochSet(Vec<(u64, u64)>);

/// A text that is no set of epoch numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of epoch numbers such as 1-40,46-60")]
pub struct NoEpochSet(String);

impl EpochSet {
    /// The numbers from `first` to `last`, both included; none where `last` is less.
    #[must_use]
    pub fn range(first: u64, last: u64) -> Self {
        Self(if first <= last { vec![(first, last)] } else { vec![] })
    }

    /// Whether there is no number in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no number between the least and the greatest is missing.
    #[must_use]
    pub const fn is_one_range(&self) -> bool {
        self.0.len() <= 1
    }

    /// The ranges, both ends included, in their order.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// The least number.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|(first, _)| *first)
    }

    /// The greatest number.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// How many numbers are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        let ranges = self.0.iter().map(|(first, last)| (last - first).saturating_add(1));
        ranges.fold(0, u64::saturating_add)
    }

    /// Whether all of another set is in this one.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.minus(self).is_empty()
    }

    /// Whether a number is in both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let meets = |(first, last): &(u64, u64)| {
            other.0.iter().any(|(also_first, also_last)| first <= also_last && also_first <= last)
        };
        self.0.iter().any(meets)
    }

    /// What is in this set or in the other one.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut ranges = [&self.0[..], &other.0[..]].concat();
        ranges.sort_unstable();
        let mut union: Vec<(u64, u64)> = vec![];
        for (first, last) in ranges {
            match union.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => union.push((first, last)),
            }
        }
        Self(union)
    }

    /// What is in this set and not in the other one.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = vec![];
        for (first, last) in &self.0 {
            let mut next = Some(*first);
            for (taken_first, taken_last) in &other.0 {
                let Some(start) = next.filter(|start| taken_last >= start) else { continue };
                if taken_first > last {
                    break;
                }
                if *taken_first > start {
                    left.push((start, taken_first - 1));
                }
                next = taken_last.checked_add(1);
            }
            left.extend(next.filter(|start| start <= last).map(|start| (start, *last)));
        }
        Self(left)
    }
}

impl fmt::Display for EpochSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
}

impl FromStr for EpochSet {
    type Err = NoEpochSet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoEpochSet(text.to_owned());
        let mut ranges: Vec<(u64, u64)> = vec![];
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').ok_or_else(wrong)?;
            let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            let touches = ranges.last().is_some_and(|(_, end)| first <= end.saturating_add(1));
            if first > last || touches {
                return Err(wrong());
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

impl From<EpochSet> for String {
    fn from(set: EpochSet) -> Self {
        set.to_string()
    }
}

impl TryFrom<String> for EpochSet {
    type Error = NoEpochSet;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(numbers: &BTreeSet<u64>) -> EpochSet {
        numbers
            .iter()
            .fold(EpochSet::default(), |set, number| set.union(&EpochSet::range(*number, *number)))
    }

    proptest! {
        /// The operations are those of sets of numbers, and a set is read as it was written.
        #[test]
        fn a_set_of_ranges_is_a_set_of_numbers(
            one in prop::collection::btree_set(0_u64..40, 0..20),
            other in prop::collection::btree_set(0_u64..40, 0..20),
        ) {
            let (a, b) = (set(&one), set(&other));
            prop_assert_eq!(a.union(&b), set(&(&one | &other)));
            prop_assert_eq!(a.minus(&b), set(&(&one - &other)));
            prop_assert_eq!(a.contains(&b), one.is_superset(&other));
            prop_assert_eq!(a.meets(&b), !one.is_disjoint(&other));
            prop_assert_eq!(a.len(), one.len() as u64);
            prop_assert_eq!(a.first().zip(a.last()), one.first().copied().zip(one.last().copied()));
            prop_assert_eq!(a.to_string().parse::<EpochSet>(), Ok(a));
        }
    }

    #[test]
    fn the_ends_of_the_range_of_numbers_are_numbers_too() {
        let all = EpochSet::range(0, u64::MAX);
        assert!(all.minus(&all).is_empty() && all.union(&all) == all);
        assert_eq!(
            all.minus(&EpochSet::range(0, u64::MAX - 1)),
            EpochSet::range(u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn a_text_that_no_set_has_is_refused() {
        for text in
            ["1", "2-1", "1-2,2-3", "1-2,3-4", "3-4,1-1", "1-", "-", ",", "1-2,", "a-b", "1 - 2"]
        {
            assert!(text.parse::<EpochSet>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(EpochSet::default()));
    }
}
