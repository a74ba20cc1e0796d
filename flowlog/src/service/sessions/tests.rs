//! Midnight: reports, the spool and the store as the daemon has them, with a clock of the test, and a kill or a power
//! loss at each step.
//!
//! Whatever happens, each time for which a listing vouches is in the store once, nothing beyond it, and each absence
//! of the daemon is one gap.

mod history;
mod judge;

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    recorder::Recorder,
    tracker::{
        ClockState,
        tests::{peer, report, second},
    },
};
use crate::{
    record::session::Content,
    spool::{
        Spool,
        disk::SharedDisk,
        model::disk::{Fault, ModelDisk, ROOT},
        planted::{Bug, tests::plant},
    },
};
use history::{Death, History};

/// Seconds without a daemon: less, and more, than what a source may be silent for.
const ABSENCES: [i64; 2] = [7, 40];

#[test]
fn a_report_has_its_receipt_when_its_events_are_in_the_spool_and_no_sooner() {
    let disk = ModelDisk::default();
    let open = || {
        let spool = Spool::on(SharedDisk(Arc::new(disk.clone())), Path::new(ROOT), u64::MAX);
        Recorder::open(&Arc::new(spool.unwrap()), "gw1").unwrap()
    };
    let mut recorder = open();
    let report = report(0, Content::Listing(vec![peer(1, 0, &["10.0.0.1/32"])]));
    let receipt = report.receipt.clone();
    recorder.owe([receipt.clone()]);
    let events = recorder.tracker.take(report, Duration::from_secs(5), ClockState::default());
    disk.set_read_only(Some(libc::ENOSPC));
    assert!(recorder.record(second(0), events).is_err());
    assert_eq!(receipt.given(), 0);
    disk.set_read_only(None);
    recorder.record(second(1), vec![]).unwrap();
    assert_eq!(receipt.given(), 1);
    // A report that says nothing new needs no event.
    recorder.owe([receipt.clone()]);
    recorder.record(second(2), vec![]).unwrap();
    assert_eq!(receipt.given(), 2);
    disk.kill();
    disk.revive();
    let days = open().days().clone();
    assert_eq!(days.looked_at("gw1"), Some(second(0)));
}

/// Plays a midnight in which the process may die.
fn play(death: Death, absence: i64) -> Result<History, String> {
    let mut history = History::new(death, absence);
    history.play();
    let judged = judge::judge(&history);
    judged.map_err(|wrong| format!("{death:?}, away for {absence} s: {wrong}"))?;
    Ok(history)
}

fn steps() -> (u64, u64) {
    play(Death::Never, 0).unwrap_or_else(|wrong| panic!("{wrong}")).steps
}

/// Plays one midnight for each step. Returns in how many of them the process died.
fn play_each(steps: u64, death: impl Fn(u64) -> Death) -> Result<usize, String> {
    let mut deaths = 0;
    for absence in ABSENCES {
        for step in 0..steps {
            deaths += play(death(step), absence)?.deaths;
        }
    }
    println!("{steps} steps, {deaths} deaths");
    Ok(deaths)
}

fn assert_all_die(steps: u64, death: impl Fn(u64) -> Death) {
    let deaths = play_each(steps, death).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(deaths as u64, steps * ABSENCES.len() as u64);
}

#[test]
fn a_kill_at_each_step_of_the_spool_at_midnight_leaves_every_interval_once() {
    let (steps, _) = steps();
    assert!(steps > 100, "{steps}");
    assert_all_die(steps, |step| Death::OfDisk { step, loses_power: false });
}

#[test]
fn a_power_loss_at_each_step_of_the_spool_at_midnight_leaves_every_interval_once() {
    let (steps, _) = steps();
    assert_all_die(steps, |step| Death::OfDisk { step, loses_power: true });
}

#[test]
fn a_kill_at_each_request_to_the_store_at_midnight_leaves_every_interval_once() {
    let (_, requests) = steps();
    assert!(requests > 10, "{requests}");
    assert_all_die(requests, |step| Death::OfStore { step, is_done: false });
    // One that only reads has nothing to be done.
    let deaths = play_each(requests, |step| Death::OfStore { step, is_done: true });
    assert!(deaths.unwrap_or_else(|wrong| panic!("{wrong}")) > 10);
}

#[test]
fn a_disk_that_fails_at_any_step_at_midnight_leaves_every_interval_once() {
    let mut failures = 0;
    for step in 0..steps().0 {
        let mut history = History::new(Death::Never, 0);
        history.disk.set_fault(step, Fault::Error(libc::ENOSPC));
        history.play();
        judge::judge(&history).unwrap_or_else(|wrong| panic!("step {step}: {wrong}"));
        failures += history.failures;
    }
    assert!(failures > 50, "{failures}");
}

#[test]
fn what_is_planted_at_midnight_shows() {
    let (steps, requests) = steps();
    let bugs = [
        Bug::DaysBegunEmpty,
        Bug::SessionsUnsuspended,
        Bug::EventsUnsynced,
        Bug::EventsReleasedEarly,
    ];
    let missed = bugs.into_iter().filter(|bug| {
        plant(Some(*bug));
        let played = std::panic::catch_unwind(|| {
            play_each(requests, |step| Death::OfStore { step, is_done: false })?;
            play_each(steps, |step| Death::OfDisk { step, loses_power: true })
        });
        plant(None);
        matches!(played, Ok(Ok(_)))
    });
    assert_eq!(missed.collect::<Vec<_>>(), []);
}
