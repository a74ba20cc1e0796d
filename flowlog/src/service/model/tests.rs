use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use super::history::{Range, Setting, play};
use crate::spool::{
    model::disk::BadDisk,
    planted::{Bug, tests::plant},
};

/// How many histories: `FLOWLOG_HISTORIES`, or as many as CI has time for.
fn histories() -> u64 {
    std::env::var("FLOWLOG_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// The first seed: `FLOWLOG_SEED`, to play a history again. One alone shows what it logs, and so does
/// `FLOWLOG_LOG`.
fn first() -> u64 {
    if histories() == 1 || std::env::var_os("FLOWLOG_LOG").is_some() {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
        log.with_ansi(false).without_time().with_test_writer().try_init().unwrap_or_default();
    }
    std::env::var("FLOWLOG_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn assert_right(histories: u64, setting: Setting) {
    let (first, begun) = (first(), Instant::now());
    let wrong = Mutex::new(vec![]);
    let next = AtomicU64::new(first);
    let work = || {
        while wrong.lock().unwrap().len() < MOST_SHOWN {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + histories {
                return;
            }
            if let Err(error) = play(seed, setting) {
                println!("{}", error.lines().next().unwrap_or_default());
                wrong.lock().unwrap().push(error);
            }
            let played = seed - first + 1;
            if played.is_multiple_of(5_000) {
                println!("{played} of {histories} histories: {:.0?}", begun.elapsed());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    println!("{histories} histories from seed {first} on, {setting:?}: {:.0?}", begun.elapsed());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// So many wrong histories are enough to begin with.
const MOST_SHOWN: usize = 8;

#[test]
fn whatever_happens_the_stores_hold_every_epoch_once_or_the_ledger_states_a_gap() {
    assert_right(histories(), Setting::default());
}

#[test]
fn so_they_do_with_a_real_file_system() {
    assert_right(histories().min(200), Setting { is_real: true, ..Setting::default() });
}

/// Histories that were wrong once.
const WRONG_ONCE: [u64; 20] = [
    3346,  // The end of a file was taken for that of the part of it that the store has.
    4391,  // The store lost the ledger of flows that it took, and then the spool lost some of them.
    4517,  // The store that had what was lost was away, and another one was configured.
    6400,  // Of two losses with a stored epoch between them the second one had no time.
    7237,  // A run that a power loss brought back was in the time of what stayed lost.
    7930,  // An epoch that told of a gap was deleted.
    8881,  // A stranger has the name of a run of before all of them.
    12787, // The store lost a ledger, and the spool a run of which the ledger before it has the account.
    15018, // What the store has was not written down, and then the gateway got another name.
    33523, // The last run was deleted, and the maps went on.
    37851, // The same, and the epoch is the only one of its hour.
    46321, // A spool was restored from a copy of before its numbering was used.
    59661, // A file came to have what another one holds, after it had been decided about.
    85845, // A spool was restored, and the store has flows without their ledger.
    92293, // Flows were put without their ledger, and then the spool lost all of them.
    61951, // A kill between the two copies of a small file, whose newer one was then deleted.
    65759, // A copy of the spool was restored after another store was configured.
    65856, // The same, before anything of it had been put.
    72146, // The last ledger of flows was not put, and the spool lost the run that has what it lacks.
    38364, // Two numberings began with the same number, of which one was not used.
];

/// The same, since there are events beside the epochs.
const WRONG_ONCE_WITH_EVENTS: [u64; 3] = [
    16725, // A run was damaged that was made of epochs which a full disk had kept, and another store configured.
    34891, // A run of which only the name is left is of a numbering that nobody knows any more.
    59963, // That a run was lost could not be written down, and then it was published.
];

/// The same, since parts are lost of what belongs together.
const WRONG_ONCE_WITH_HALVES: [u64; 3] = [
    14254, // A directory was deleted, the run behind it damaged, and the gateway got another name.
    60910, // Flows were damaged, put again in part, and came back.
    98290, // Flows were put without their last ledger, and then a part of them was deleted.
];

#[test]
fn histories_that_were_wrong_once_are_right() {
    let before = WRONG_ONCE.map(|seed| (seed, Range::EpochsAlone));
    let with_events = WRONG_ONCE_WITH_EVENTS.map(|seed| (seed, Range::WithoutHalves));
    let with_halves = WRONG_ONCE_WITH_HALVES.map(|seed| (seed, Range::All));
    for (seed, range) in before.into_iter().chain(with_events).chain(with_halves) {
        play(seed, Setting { range, ..Setting::default() })
            .unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// Histories in which a planted bug must show.
const TRIES: u64 = 6_000;

fn is_caught(bug: Option<Bug>, setting: Setting) -> bool {
    let begun = Instant::now();
    let shows = |seed: &u64| {
        plant(bug);
        let played = std::panic::catch_unwind(|| play(*seed, setting));
        plant(None);
        // By the bug, and by nothing else.
        played.is_ok_and(|played| played.is_err()) && play(*seed, Setting::default()).is_ok()
    };
    let caught = (0..TRIES).find(shows);
    println!("{bug:?}, {setting:?}: caught by seed {caught:?} in {:.0?}", begun.elapsed());
    caught.is_some()
}

#[test]
fn every_planted_bug_is_caught() {
    let bugs = [
        Bug::NoFooters,
        Bug::AlwaysReplace,
        Bug::OneNumbering,
        Bug::NoStore,
        Bug::NoGateway,
        Bug::NoReservation,
        Bug::NoLost,
        Bug::NoRest,
        Bug::NoContainment,
        Bug::NoCheck,
        Bug::NoStored,
        Bug::NoConfirm,
        Bug::LedgerAlone,
        Bug::EventsUnsynced,
        Bug::EventsUnnamed,
        Bug::EventsUnchecked,
        Bug::EventsUncounted,
        Bug::EventsBehindFailed,
        Bug::EventsReleasedEarly,
        Bug::EventsReleasedFirst,
        Bug::EventsForgotten,
    ];
    let disks = [BadDisk::UnsyncedFiles, BadDisk::UnsyncedNames, BadDisk::LostNames];
    let mut missed: Vec<String> = vec![];
    // One alone, for whoever plants it.
    let chosen = std::env::var("FLOWLOG_BUG").ok();
    let is_chosen = |bug: &Bug| chosen.as_ref().is_none_or(|name| format!("{bug:?}") == *name);
    for bug in bugs.into_iter().filter(is_chosen) {
        if !is_caught(Some(bug), Setting::default()) {
            missed.push(format!("{bug:?}"));
        }
    }
    if chosen.is_some() {
        assert!(missed.is_empty(), "{missed:?}");
        return;
    }
    for bad_disk in disks {
        if !is_caught(None, Setting { bad_disk: Some(bad_disk), ..Setting::default() }) {
            missed.push(format!("{bad_disk:?}"));
        }
    }
    if !is_caught(None, Setting { clears_early: true, ..Setting::default() }) {
        missed.push("maps cleared before their epoch is safe".to_owned());
    }
    assert!(missed.is_empty(), "{missed:?}");
}
