//! Do the numbers of events go on without a hole, from day to day of a table?
//!
//! A log of events numbers them from 1 on, in segments. A file names the segments and numbers of its events in their
//! order. Numbers that begin anew, or that another segment has too, are of another log: a spool that was lost, or
//! restored from a copy.

use object_store::path::Path;

use super::super::report::{Double, Missing};
use crate::{
    record::clock::Utc,
    table::{Table, metadata::Events},
};

/// What matters of a file whose rows are made of events.
#[derive(Clone, Debug)]
pub(in crate::ask::verify) struct Numbered {
    pub path: Path,
    pub gateway: String,
    pub table: &'static Table,
    /// Beginning of its day.
    pub start: Utc,
    pub events: Vec<Events>,
}

/// Looks at the files of all gateways.
pub(super) fn check(files: &[&Numbered], missing: &mut Vec<Missing>, double: &mut Vec<Double>) {
    let mut files = files.to_vec();
    files.sort_by(|a, b| {
        let key =
            |file: &Numbered| (file.gateway.clone(), file.table, file.start, file.path.clone());
        key(a).cmp(&key(b))
    });
    for of_table in files.chunk_by(|a, b| a.gateway == b.gateway && a.table == b.table) {
        check_table(of_table, missing, double);
    }
}

fn check_table(files: &[&Numbered], missing: &mut Vec<Missing>, double: &mut Vec<Double>) {
    let mut before: Option<(&Numbered, &Events)> = None;
    for file in files {
        for events in &file.events {
            let (segment, first, last) = events;
            let Some((earlier, (of, _, end))) = before else {
                before = Some((*file, events));
                continue;
            };
            if *first > end.saturating_add(1) {
                missing.push(Missing {
                    gateway: file.gateway.clone(),
                    table: Some(file.table.name),
                    epochs: (end + 1, first - 1),
                    between: (earlier.start, file.start),
                });
            } else if first <= end && of == segment {
                double.push(Double {
                    object: file.path.clone(),
                    other: earlier.path.clone(),
                    epochs: (*first, *last.min(end)),
                });
            }
            before = Some((*file, events));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::SESSIONS;

    fn file(day: i64, events: &[(&str, u64, u64)]) -> Numbered {
        Numbered {
            path: Path::from(format!("sessions/{day}")),
            gateway: "gw1".to_owned(),
            table: &SESSIONS,
            start: Utc::from_ms(day * 86_400_000),
            events: events
                .iter()
                .map(|(of, first, last)| ((*of).to_owned(), *first, *last))
                .collect(),
        }
    }

    type Numbers = Vec<(u64, u64)>;

    fn numbers(files: &[Numbered]) -> (Numbers, Numbers) {
        let (mut missing, mut double) = (vec![], vec![]);
        check(&files.iter().collect::<Vec<_>>(), &mut missing, &mut double);
        let missing = missing.iter().map(|missing| missing.epochs).collect();
        (missing, double.iter().map(|double| double.epochs).collect())
    }

    #[test]
    fn numbers_go_on_from_day_to_day_and_from_segment_to_segment() {
        let days = [
            file(3, &[("b", 31, 40)]),
            file(1, &[("a", 5, 10)]),
            file(2, &[("a", 11, 20), ("b", 21, 30)]),
        ];
        assert_eq!(numbers(&days), (vec![], vec![]));
    }

    #[test]
    fn a_day_that_is_gone_and_a_hole_within_one_are_missing() {
        let days = [file(1, &[("a", 1, 10), ("b", 13, 20)]), file(3, &[("b", 31, 40)])];
        assert_eq!(numbers(&days), (vec![(11, 12), (21, 30)], vec![]));
    }

    #[test]
    fn another_spool_begins_anew_and_a_day_without_events_breaks_nothing() {
        let days = [file(1, &[("a", 1, 10)]), file(2, &[]), file(3, &[("a", 11, 12), ("c", 1, 9)])];
        assert_eq!(numbers(&days), (vec![], vec![]));
    }

    #[test]
    fn events_of_one_segment_in_two_files_are_double() {
        let days = [file(1, &[("a", 1, 10)]), file(2, &[("a", 8, 20)])];
        assert_eq!(numbers(&days), (vec![], vec![(8, 10)]));
    }
}
