//! What a start makes of runs that somebody deleted.

use std::{sync::Arc, time::Duration};

use flowlog_common::flow::Direction;

use crate::{
    record::{
        clock::Utc,
        epoch::{Epoch, EpochNumber},
        epoch_set::EpochSet,
        location::Location,
    },
    spool::{
        Epochs, Files, Spool,
        files::merge,
        merge::Duplicates,
        recover::Recovered,
        run::Run,
        tests::{epoch, key, recovered, spool},
    },
};

/// A file of runs of one minute each, whose numbers are 1 to 4, and its spool.
fn four_minutes() -> (Arc<Spool>, Files) {
    let (spool, mut epochs) = spool();
    let mut files = Files::new(Arc::clone(&spool), vec![]);
    for number in 1..5 {
        let (opened, closed) = (number * 60, (number + 1) * 60);
        let mut epoch = epoch(opened, closed, &[(key(1), opened, Direction::Up)]);
        epoch.number = EpochNumber::new(number);
        let run = epochs.append(&epoch, Duration::ZERO).unwrap();
        let path = files.place(&run.header.windows[0], &run.header).unwrap();
        files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        run.remove().unwrap();
    }
    (spool, files)
}

/// Numbers and times, in seconds, of what the store is asked for.
fn lost(spool: &Arc<Spool>) -> Vec<(String, i64, i64)> {
    let seconds = |ns| Utc::from_ns(ns).ms() / 1_000;
    let lost = spool.unsettled().into_iter();
    lost.map(|lost| (lost.epochs.to_string(), seconds(lost.start_ns), seconds(lost.end_ns)))
        .collect()
}

#[test]
fn a_run_that_is_gone_is_lost_from_the_end_of_the_one_before_which_the_store_has() {
    let (spool, mut files) = four_minutes();
    let lineage = files.growing()[0].identity.lineage.clone();
    // The store has a part of the file, and the rest goes into another one.
    files.close(&lineage, &"1-2".parse().unwrap()).unwrap();
    let [rest] = &files.growing()[..] else { panic!("{:?}", files.growing()) };
    assert_eq!(rest.held().to_string(), "3-4");
    std::fs::remove_file(&rest.runs[0].path).unwrap();
    recovered(&spool);
    assert_eq!(lost(&spool), [("3-3".to_owned(), 180, 240)]);
}

#[test]
fn a_file_is_closed_although_somebody_deleted_a_run_of_it() {
    let (spool, mut files) = four_minutes();
    let file = files.growing().remove(0);
    std::fs::remove_file(&file.runs[2].path).unwrap();
    files.close(&file.identity.lineage, &"1-2".parse().unwrap()).unwrap();
    let [rest] = &files.growing()[..] else { panic!("{:?}", files.growing()) };
    assert_eq!(rest.held().to_string(), "4-4");
    assert_eq!(lost(&spool), [("3-3".to_owned(), 180, 240)]);
    assert_eq!(recovered(&spool).files.growing().len(), 1);
}

#[test]
fn what_is_lost_is_asked_of_the_store_that_its_file_went_to() {
    let (spool, mut files) = four_minutes();
    let file = files.growing().remove(0);
    files.set_store(&file.identity.lineage, &"memory:///first".into()).unwrap();
    std::fs::remove_file(&file.runs[1].path).unwrap();
    recovered(&spool);
    let [lost] = &spool.unsettled()[..] else { panic!("{:?}", spool.unsettled()) };
    assert_eq!(
        (lost.epochs.to_string(), lost.store.as_ref().map(Location::in_clear)),
        ("2-2".to_owned(), Some("memory:///first"))
    );
}

#[test]
fn of_two_losses_with_something_stored_between_each_has_all_of_its_time() {
    let (spool, mut files) = four_minutes();
    let lineage = files.growing()[0].identity.lineage.clone();
    files.close(&lineage, &"2-2".parse().unwrap()).unwrap();
    let rest = files.growing().remove(0);
    assert_eq!(rest.held().to_string(), "1-1,3-4");
    for run in &rest.runs[..2] {
        std::fs::remove_file(&run.path).unwrap();
    }
    recovered(&spool);
    // Nobody knows when the second epoch began, but when it ended.
    let expected = [("1-1".to_owned(), 60, 180), ("3-3".to_owned(), 180, 240)];
    assert_eq!(lost(&spool), expected);
}

#[test]
fn of_what_is_lost_the_time_is_not_that_is_found_again() {
    let (spool, files) = four_minutes();
    let gone = &files.growing()[0].runs[1..3];
    let bytes = std::fs::read(&gone[1].path).unwrap();
    for run in gone {
        std::fs::remove_file(&run.path).unwrap();
    }
    recovered(&spool);
    assert_eq!(lost(&spool), [("2-3".to_owned(), 120, 240)]);
    // As a power loss undoes what was not durable.
    std::fs::write(&gone[1].path, bytes).unwrap();
    recovered(&spool);
    assert_eq!(lost(&spool), [("2-2".to_owned(), 120, 180)]);
}

#[test]
fn a_gap_is_told_again_where_the_epoch_that_told_it_is_gone() {
    let (spool, files) = four_minutes();
    std::fs::remove_file(&files.growing()[0].runs[1].path).unwrap();
    let mut epochs = recovered(&spool).epochs;
    let missing = spool.unsettled().remove(0);
    spool.settle(&missing, &EpochSet::default(), &[]).unwrap();
    let append = |epochs: &mut Epochs, number| {
        let (opened, closed) = (number * 60, (number + 1) * 60);
        let epoch = Epoch { number: EpochNumber::new(number), ..epoch(opened, closed, &[]) };
        epochs.append(&epoch, Duration::ZERO).unwrap()
    };
    let is_reported = |run: &Run| {
        let gaps = run.header.windows.iter().flat_map(|window| &window.rows);
        gaps.flat_map(|row| &row.gaps).any(|gap| *gap == missing.gap())
    };
    let telling = append(&mut epochs, 5);
    assert!(is_reported(&telling));
    std::fs::remove_file(&telling.path).unwrap();
    assert!(is_reported(&append(&mut recovered(&spool).epochs, 6)));
    assert!(!is_reported(&append(&mut recovered(&spool).epochs, 7)));
}

#[test]
fn the_store_is_asked_for_the_last_run_too_if_it_may_have_it() {
    for is_put in [false, true] {
        let (spool, mut files) = four_minutes();
        let file = files.growing().remove(0);
        if is_put {
            files.set_store(&file.identity.lineage, &"memory:///first".into()).unwrap();
        }
        std::fs::remove_file(&file.runs[3].path).unwrap();
        let mut epochs = recovered(&spool).epochs;
        let next = Epoch { number: EpochNumber::new(5), ..epoch(300, 310, &[]) };
        let next = epochs.append(&next, Duration::ZERO).unwrap();
        // Nobody else can have what was never put: that is told at once.
        let gaps = next.header.windows[0].rows.iter().map(|row| row.gaps.len()).sum::<usize>();
        let asked = if is_put { vec![("4-4".to_owned(), 240, 300)] } else { vec![] };
        assert_eq!((gaps == 0, lost(&spool)), (is_put, asked));
    }
}

#[test]
fn a_name_with_the_greatest_number_is_set_aside_and_ends_no_start() {
    let (spool, mut epochs) = spool();
    let before = epochs.append(&epoch(60, 70, &[]), Duration::ZERO).unwrap();
    let directory = before.path.parent().unwrap().to_owned();
    let greatest = u64::MAX;
    for name in [
        format!("{greatest}-{greatest}-1795814605000-1795814606000.run"),
        format!("{greatest}.run"),
        format!("1-{greatest}.run"),
    ] {
        std::fs::write(directory.join(&name), "").unwrap();
        assert_eq!(spool.last_number_by_names(), EpochNumber::new(70));
        let Recovered { mut epochs, found, last, .. } = recovered(&spool);
        assert_eq!((found.len(), last), (1, EpochNumber::new(70)));
        assert!(!directory.join(&name).exists(), "{name}");
        assert_eq!(lost(&spool), []);
        // Whatever the numbers are that come in, nothing ends.
        epochs.renumbered(last, EpochNumber::new(greatest).next(), Utc::from_ns(0));
    }
    let aside = std::fs::read_dir(directory.parent().unwrap().join("aside")).unwrap();
    let aside: Vec<String> =
        aside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(aside.len() == 3 && aside.iter().all(|name| name.ends_with(".foreign")), "{aside:?}");
}
