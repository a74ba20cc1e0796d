use super::{
    super::planted::{Bug, tests::plant},
    disk::BadDisk,
    history::play,
};

/// How many histories: `FLOWLOG_HISTORIES`, or as many as CI has time for.
fn histories() -> u64 {
    std::env::var("FLOWLOG_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// The first seed: `FLOWLOG_SEED`, to play a history again.
fn first() -> u64 {
    std::env::var("FLOWLOG_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn whatever_happens_the_stores_hold_every_epoch_once_or_the_ledger_states_a_gap() {
    if std::env::var_os("FLOWLOG_SEED").is_some() {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_test_writer()
            .init();
    }
    let wrong: Vec<String> = (first()..first() + histories())
        .filter_map(|seed| play(seed, None, false).err())
        .take(3)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Histories in which a planted bug must show.
const TRIES: u64 = 6_000;

fn is_caught(bug: Option<Bug>, disk: Option<BadDisk>, clears_early: bool) -> bool {
    plant(bug);
    let caught = (0..TRIES).any(|seed| {
        std::panic::catch_unwind(|| play(seed, disk, clears_early))
            .is_ok_and(|played| played.is_err())
    });
    plant(None);
    caught
}

#[test]
fn every_planted_bug_is_caught() {
    let bugs = [
        Bug::NoFooters,
        Bug::AlwaysReplace,
        Bug::NoNumbering,
        Bug::OneNumbering,
        Bug::NoStore,
        Bug::NoGateway,
        Bug::NoReservation,
        Bug::NoLost,
        Bug::NoRest,
        Bug::NoContainment,
        Bug::NoBodyCheck,
        Bug::NoCheck,
        Bug::NoStored,
        Bug::NoConfirm,
        Bug::DeleteUnknown,
    ];
    let disks =
        [BadDisk::NoFileSync, BadDisk::NoDirectorySync, BadDisk::LateFileSync, BadDisk::NoRename];
    let mut missed: Vec<String> = bugs
        .into_iter()
        .filter(|bug| !is_caught(Some(*bug), None, false))
        .map(|bug| format!("{bug:?}"))
        .collect();
    missed.extend(
        disks
            .into_iter()
            .filter(|disk| !is_caught(None, Some(*disk), false))
            .map(|disk| format!("{disk:?}")),
    );
    if !is_caught(None, None, true) {
        missed.push("maps cleared before their epoch is safe".to_owned());
    }
    assert!(missed.is_empty(), "{missed:?}");
}
