//! Do the numbers of the epochs in the store go on without a hole, each in one file?
//!
//! A gateway numbers its epochs, and each file names those that it holds. What is missing between
//! two of them is missing from the store, unless a gap of the later one says so: nobody counted
//! then, or what was counted is lost. What is missing before the first has expired, what is missing
//! after the last is still to come.

mod events;

use std::collections::BTreeMap;

use object_store::path::Path;

use super::read::NumberedGap;
use super::report::{Double, InterfaceGap, Missing, Warning};
use crate::record::{clock::Utc, epoch_set::EpochSet, ledger::GapReason};

pub(super) use events::Numbered;

/// What matters of a file for the continuity of its gateway.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub path: Path,
    pub gateway: String,
    /// Whose the numbers are; `None` in files of version 1, which have none.
    pub numbering: Option<String>,
    /// The numbers, with the times of the windows in which they begin and end.
    pub ranges: Vec<Range>,
    /// The epochs of windows that have a gap, and that gap.
    pub gaps: Vec<NumberedGap>,
    /// When interfaces were counted in windows without a gap.
    pub counted: Counted,
    pub has_clock_step: bool,
}

/// Times in which an interface was counted, by its name, in order.
pub(super) type Counted = BTreeMap<String, Vec<(Utc, Utc)>>;

/// Consecutive numbers of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub epochs: (u64, u64),
    /// Beginning of the window of the first, end of the window of the last.
    pub times: (Utc, Utc),
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub missing: Vec<Missing>,
    pub double: Vec<Double>,
    pub warnings: Vec<Warning>,
}

/// Looks at the files of all gateways, and at those whose rows are made of events.
pub(super) fn check_all(files: &[&Stored], numbered: &[&Numbered]) -> Findings {
    let mut findings = check(files);
    events::check(numbered, &mut findings.missing, &mut findings.double);
    findings
}

fn check(files: &[&Stored]) -> Findings {
    let mut findings = Findings::default();
    let mut gateways: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for file in files {
        gateways.entry(&file.gateway).or_default().push(file);
    }
    for (gateway, all) in gateways {
        let mut numberings: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
        for file in &all {
            if let Some(numbering) = &file.numbering {
                numberings.entry(numbering).or_default().push(file);
            }
        }
        for files in numberings.values() {
            check_numbers(gateway, files, &all, &mut findings);
        }
        check_gaps(gateway, &all, &mut findings);
    }
    findings
}

/// Looks at the files of one numbering, beside `all` of its gateway.
fn check_numbers(gateway: &str, files: &[&Stored], all: &[&Stored], findings: &mut Findings) {
    let mut ranges: Vec<(&Stored, Range)> = files
        .iter()
        .flat_map(|file| file.ranges.iter().map(move |range| (*file, *range)))
        .collect();
    ranges.sort_by_key(|(_, range)| range.epochs);
    let mut held: Option<(&Stored, Range)> = None;
    for (file, range) in ranges {
        let (first, last) = range.epochs;
        let Some((before, last_held)) = held else {
            held = Some((file, range));
            continue;
        };
        let end = last_held.epochs.1;
        if first <= end {
            findings.double.push(Double {
                object: file.path.clone(),
                other: before.path.clone(),
                epochs: (first, last.min(end)),
            });
        } else if first > end.saturating_add(1) && !is_explained(files, all, last_held, range) {
            findings.missing.push(Missing {
                gateway: gateway.to_owned(),
                table: None,
                epochs: (end + 1, first - 1),
                between: (last_held.times.1, range.times.0),
            });
        }
        let is_back = range.times.0 < last_held.times.0;
        if first > end && is_back && !file.has_clock_step && !before.has_clock_step {
            let (object, epochs) = (file.path.clone(), range.epochs);
            findings.warnings.push(Warning::OutOfOrder { object, epochs });
        }
        if last > end {
            held = Some((file, range));
        }
    }
}

/// Whether a gap says why there is nothing between two ranges: one of the epoch behind them, or, since
/// damage is found later than it happened, one of their time in any file of the gateway.
fn is_explained(files: &[&Stored], all: &[&Stored], before: Range, after: Range) -> bool {
    let is_of_later = |gap: &NumberedGap| {
        gap.epochs.is_some_and(|(first, last)| (first..=last).contains(&after.epochs.0))
            && matches!(gap.gap.reason, GapReason::Down | GapReason::Damaged)
    };
    let is_then = |NumberedGap { gap, .. }: &NumberedGap| {
        gap.reason == GapReason::Damaged && gap.start <= after.times.1 && gap.end >= before.times.0
    };
    files.iter().flat_map(|file| &file.gaps).any(is_of_later)
        || all.iter().flat_map(|file| &file.gaps).any(is_then)
}

/// What a gap and counted time may share: a window is dated by milliseconds, and a drain takes some.
const SLACK_MS: i64 = 2_000;

fn check_gaps(gateway: &str, files: &[&Stored], findings: &mut Findings) {
    let mut counted: BTreeMap<&str, Vec<(Utc, Utc)>> = BTreeMap::new();
    for file in files {
        for (interface, times) in &file.counted {
            counted.entry(interface).or_default().extend(times);
        }
    }
    let mut gaps: Vec<&NumberedGap> = files.iter().flat_map(|file| &file.gaps).collect();
    gaps.sort_by_key(|gap| (&gap.interface, gap.gap));
    gaps.dedup_by_key(|gap| (&gap.interface, gap.gap));
    for NumberedGap { interface, gap, .. } in gaps {
        // The program was at its hook, and the packets went past it.
        if gap.reason == GapReason::NotReached {
            continue;
        }
        let times = counted.get(interface.as_str()).into_iter().flatten();
        let shared = times.map(|(start, end)| ((*start).max(gap.start), (*end).min(gap.end)));
        let longest = shared.max_by_key(|(start, end)| end.ms().saturating_sub(start.ms()));
        if let Some(shared) = longest
            && shared.1.ms().saturating_sub(shared.0.ms()) > SLACK_MS
        {
            let gap = InterfaceGap {
                gateway: gateway.to_owned(),
                interface: interface.clone(),
                gap: *gap,
            };
            findings.warnings.push(Warning::GapOverCounted { gap, counted: shared });
        }
    }
}

/// The ranges of a set of numbers, dated by the windows that hold them.
pub(super) fn dated(
    epochs: &EpochSet,
    windows: &BTreeMap<(u64, u64), (Utc, Utc)>,
    whole: (Utc, Utc),
) -> Vec<Range> {
    let range = |(first, last): (u64, u64)| {
        let of = |number: u64| {
            windows.iter().find(|((first, last), _)| (*first..=*last).contains(&number))
        };
        let start = of(first).map_or(whole.0, |(_, times)| times.0);
        let end = of(last).map_or(whole.1, |(_, times)| times.1);
        Range { epochs: (first, last), times: (start, end) }
    };
    epochs.ranges().map(range).collect()
}

/// Adds a time to others; those that touch become one.
pub(super) fn add_time(times: &mut Vec<(Utc, Utc)>, time: (Utc, Utc)) {
    match times.last_mut() {
        Some((start, end)) if *start <= time.0 && time.0 <= *end => *end = (*end).max(time.1),
        _ => times.push(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ledger::Gap;

    fn at(second: i64) -> Utc {
        Utc::from_ms(second * 1_000)
    }

    /// A file of epochs of a second each, dated by their numbers.
    fn file(name: &str, ranges: &[(u64, u64)]) -> Stored {
        let times = |number: u64| at(i64::try_from(number).unwrap());
        Stored {
            path: Path::from(name),
            gateway: "gw1".to_owned(),
            numbering: Some("n".to_owned()),
            ranges: ranges
                .iter()
                .map(|(first, last)| Range {
                    epochs: (*first, *last),
                    times: (times(*first), times(last.saturating_add(1))),
                })
                .collect(),
            gaps: vec![],
            counted: Counted::new(),
            has_clock_step: false,
        }
    }

    fn gap(epochs: (u64, u64), (start, end): (i64, i64), reason: GapReason) -> NumberedGap {
        NumberedGap {
            epochs: Some(epochs),
            interface: "wg0".to_owned(),
            gap: Gap { start: at(start), end: at(end), reason },
        }
    }

    type Numbers = Vec<(u64, u64)>;

    /// What is missing, and what is double.
    fn numbers(files: &[Stored]) -> (Numbers, Numbers) {
        let findings = check(&files.iter().collect::<Vec<_>>());
        let missing = findings.missing.iter().map(|missing| missing.epochs).collect();
        (missing, findings.double.iter().map(|double| double.epochs).collect())
    }

    #[test]
    fn numbers_that_go_on_are_whole_in_whatever_order_the_files_come() {
        let files =
            [file("c", &[(41, 60)]), file("a", &[(5, 10), (21, 40)]), file("b", &[(11, 20)])];
        assert_eq!(numbers(&files), (vec![], vec![]));
    }

    #[test]
    fn a_hole_between_files_and_one_within_a_file_are_missing() {
        let files = [file("a", &[(1, 10), (13, 20)]), file("b", &[(31, 40)])];
        assert_eq!(numbers(&files), (vec![(11, 12), (21, 30)], vec![]));
    }

    #[test]
    fn each_spool_counts_by_itself() {
        let mut other = file("b", &[(1, 3), (7, 9)]);
        other.numbering = Some("m".to_owned());
        assert_eq!(numbers(&[file("a", &[(4, 6)]), other]).0, [(4, 6)]);
        let mut old = file("old", &[(1, 1), (9, 9)]);
        old.numbering = None;
        assert_eq!(numbers(&[old]), (vec![], vec![]));
    }

    #[test]
    fn a_gap_of_the_epoch_behind_a_hole_explains_it_where_nobody_counted() {
        for (reason, is_explained) in [
            (GapReason::Down, true),
            (GapReason::Damaged, true),
            (GapReason::Detached, false),
            (GapReason::NotReached, false),
        ] {
            let mut later = file("b", &[(14, 20)]);
            later.gaps = vec![gap((14, 16), (11, 14), reason)];
            let (missing, _) = numbers(&[file("a", &[(1, 10)]), later]);
            assert_eq!(missing.is_empty(), is_explained, "{reason:?}");
        }
        // Of another epoch, it says nothing of this hole.
        let mut later = file("b", &[(14, 30)]);
        later.gaps = vec![gap((25, 26), (11, 14), GapReason::Down)];
        assert_eq!(numbers(&[file("a", &[(1, 10)]), later]).0, [(11, 13)]);
    }

    #[test]
    fn damage_that_was_found_later_explains_the_hole_of_its_time() {
        let mut later = file("b", &[(14, 30)]);
        later.gaps = vec![gap((29, 30), (11, 14), GapReason::Damaged)];
        assert_eq!(numbers(&[file("a", &[(1, 10)]), later.clone()]).0, []);
        later.gaps = vec![gap((29, 30), (50, 60), GapReason::Damaged)];
        assert_eq!(numbers(&[file("a", &[(1, 10)]), later]).0, [(11, 13)]);
    }

    #[test]
    fn epochs_in_two_files_are_double() {
        let files = [file("a", &[(1, 10)]), file("b", &[(8, 20)]), file("c", &[(3, 4)])];
        assert_eq!(numbers(&files), (vec![], vec![(3, 4), (8, 10)]));
    }

    #[test]
    fn numbers_that_go_on_at_an_earlier_time_are_odd_unless_the_clock_was_set() {
        let mut later = file("b", &[(11, 20)]);
        later.ranges[0].times = (at(0), at(5));
        let files = [file("a", &[(1, 10)]), later.clone()];
        let findings = check(&files.iter().collect::<Vec<_>>());
        assert!(matches!(findings.warnings[..], [Warning::OutOfOrder { epochs: (11, 20), .. }]));
        later.has_clock_step = true;
        let files = [file("a", &[(1, 10)]), later];
        assert!(check(&files.iter().collect::<Vec<_>>()).warnings.is_empty());
    }

    #[test]
    fn a_gap_over_time_that_was_counted_is_odd() {
        let mut counting = file("a", &[(1, 100)]);
        counting.counted = Counted::from([("wg0".to_owned(), vec![(at(0), at(100))])]);
        for (start, end, is_odd) in [(100, 200, false), (98, 200, false), (50, 200, true)] {
            let mut later = file("b", &[(101, 110)]);
            later.gaps = vec![gap((101, 110), (start, end), GapReason::Down)];
            let files = [counting.clone(), later];
            let findings = check(&files.iter().collect::<Vec<_>>());
            assert_eq!(findings.warnings.len(), usize::from(is_odd), "{start}");
        }
    }

    #[test]
    fn times_that_touch_are_one() {
        let mut times = vec![];
        for time in [(0, 5), (5, 8), (9, 10), (3, 4)] {
            add_time(&mut times, (at(time.0), at(time.1)));
        }
        assert_eq!(times, [(at(0), at(8)), (at(9), at(10)), (at(3), at(4))]);
    }
}
