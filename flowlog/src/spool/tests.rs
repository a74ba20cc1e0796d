use std::{sync::Arc, time::Duration};

use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4, detail, marks},
    total::{Count, Totals},
};

use super::{
    aside,
    files::merge,
    header::Header,
    merge::{Duplicates, Rows},
    recover::{Recording, Recovered, recover},
    run::Run,
    *,
};
use crate::record::{
    clock::{MonotonicNs, Offset, Utc},
    epoch::{Counters, Entries, Epoch, EpochNumber, Observed, Slot},
    ledger::{Gap, GapReason, LedgerEntry},
};

const SECOND: u64 = 1_000_000_000;

pub(crate) fn key(last_octet: u8) -> FlowKeyV4 {
    FlowKeyV4 {
        member: [10, 0, 0, last_octet],
        remote: [192, 0, 2, 1],
        member_port: [0x9c, 0x40],
        remote_port: [1, 0xbb],
        interface: 0,
        protocol: 6,
        detail: detail::FULL,
    }
}

/// An epoch between two instants in seconds, in which these flows sent one packet of 100 bytes.
pub(crate) fn epoch(opened: u64, closed: u64, flows: &[(FlowKeyV4, u64, Direction)]) -> Epoch {
    let utc = |seconds: u64| Utc::from_ns(i64::try_from(seconds * SECOND).unwrap());
    let mut totals = [Totals::default(); 2];
    let mut entries = Entries { keys: vec![], values: vec![] };
    for (key, at, direction) in flows {
        totals[*direction as usize].seen.add(1, 100);
        let sent = u64::from(*direction == Direction::Up);
        entries.keys.push(*key);
        entries.values.push(FlowCounters {
            packets_up: sent,
            bytes_up: sent * 100,
            packets_down: 1 - sent,
            bytes_down: (1 - sent) * 100,
            first_ns: at * SECOND,
            last_ns: at * SECOND,
            marks: marks::of_initiator(*direction) | marks::of_packet(*direction, 2, 0),
        });
    }
    let observed = Observed {
        slot: Slot::new(0),
        name: "wg0".to_owned(),
        from: MonotonicNs::from_ns(opened * SECOND),
        to: MonotonicNs::from_ns(closed * SECOND),
        interruptions: 0,
        was_counted: true,
        gaps: vec![],
        overtaken: vec![],
        on_interface: None,
        counters: Counters::default(),
    };
    Epoch {
        number: EpochNumber::new(closed),
        opened: utc(opened),
        closed: utc(closed),
        offset: Offset::from_ns(0),
        is_synchronised: false,
        clock_step_ms: 0,
        flows_v4: entries,
        flows_v6: Entries::default(),
        overflow_v4: Entries::default(),
        overflow_v6: Entries::default(),
        totals: vec![(observed, totals)],
    }
}

const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn spool() -> (Arc<Spool>, Epochs) {
    let spool = Arc::new(Spool::temporary().unwrap());
    let epochs = recovered(&spool).epochs;
    (spool, epochs)
}

/// Whether a file is no small file, or one whose copies have the same.
#[cfg(feature = "capture")]
pub(crate) fn copies_agree(disk: &dyn disk::Disk, path: &Path) -> bool {
    !path.ends_with(IDENTITY) || copies::agree(disk, path)
}

/// Whether the directory of a file states to which store it goes.
#[cfg(feature = "capture")]
pub(crate) fn is_known_to_go_to_a_store(disk: &dyn disk::Disk, directory: &Path) -> bool {
    let read = copies::read::<files::FileIdentity>(disk, &directory.join(IDENTITY));
    matches!(read, Ok((copies::Small::Sound(file), _)) if file.store.is_some())
}

/// What the next daemon finds in a spool.
pub(crate) fn recovered(spool: &Arc<Spool>) -> Recovered {
    let (gateway, policy) = ("gw1".to_owned(), "policy".to_owned());
    recover(spool, Recording { gateway, policy, window: MINUTE }).unwrap()
}

/// Member, remote, start and packets of the rows of runs.
pub(super) fn rows(runs: &[Run], duplicates: Duplicates) -> Vec<(String, i64, u64)> {
    let mut found = vec![];
    let mut rows = Rows::new(runs, duplicates).unwrap();
    while rows
        .next_row(|row| {
            let packets = row.activity.packets_up + row.activity.packets_down;
            found.push((row.member.in_clear().to_string(), row.activity.start_ms, packets));
            Ok::<_, Error>(())
        })
        .unwrap()
    {}
    found
}

#[test]
fn epochs_of_a_window_give_one_row_per_flow_and_one_ledger() {
    let (_spool, mut epochs) = spool();
    let first = epoch(60, 70, &[(key(2), 61, Direction::Down), (key(10), 65, Direction::Up)]);
    let last = epoch(70, 120, &[(key(2), 71, Direction::Up)]);
    let runs = [
        epochs.append(&first, Duration::from_millis(1)).unwrap(),
        epochs.append(&last, Duration::from_millis(3)).unwrap(),
    ];
    // In the order of the texts.
    let expected = [("10.0.0.10".to_owned(), 65_000, 1), ("10.0.0.2".to_owned(), 61_000, 2)];
    assert_eq!(rows(&runs, Duplicates::Merge), expected);
    assert_eq!(rows(&runs, Duplicates::KeepBoth).len(), 3);
    let header = Header::of(&runs).unwrap();
    assert_eq!((header.epochs, header.windows.len()), ((70, 120), 1));
    let ledger = &header.windows[0].rows[0];
    assert_eq!((ledger.interface.as_str(), ledger.observed_end), ("wg0", Utc::from_ms(120_000)));
    assert_eq!(ledger.clock_error, Duration::from_millis(3));
    assert_eq!(ledger.account(Direction::Up).seen, Count { packets: 2, bytes: 200 });
    for direction in Direction::ALL {
        assert_eq!(ledger.account(direction).missing(), (0, 0));
    }
}

#[test]
fn an_epoch_that_passed_the_end_of_a_window_is_of_the_later_one_and_says_when_it_was() {
    let (_spool, mut epochs) = spool();
    let late = epoch(70, 130, &[(key(1), 75, Direction::Up)]);
    let run = epochs.append(&late, Duration::ZERO).unwrap();
    assert_eq!(run.header.windows[0].start(), Utc::from_ms(120_000));
    assert_eq!(rows(&[run], Duplicates::Merge)[0].1, 75_000);
}

#[test]
fn a_slewed_clock_does_not_put_a_packet_before_its_epoch() {
    let (_spool, mut epochs) = spool();
    let mut late_clock = epoch(60, 70, &[(key(1), 60, Direction::Up)]);
    late_clock.offset = Offset::from_ns(-2_000_000);
    let run = epochs.append(&late_clock, Duration::ZERO).unwrap();
    assert_eq!(rows(&[run], Duplicates::Merge)[0].1, 60_000);
}

#[test]
fn an_interface_keeps_its_name_although_the_next_daemon_numbers_it_otherwise() {
    let (_spool, mut epochs) = spool();
    let mut first = epoch(60, 70, &[(key(1), 61, Direction::Up)]);
    first.totals[0].0.name = "tun0".to_owned();
    let runs = [
        epochs.append(&first, Duration::ZERO).unwrap(),
        epochs.append(&epoch(70, 80, &[(key(1), 71, Direction::Up)]), Duration::ZERO).unwrap(),
    ];
    let mut names = vec![];
    let mut rows = Rows::new(&runs, Duplicates::Merge).unwrap();
    while rows
        .next_row(|row| {
            names.push(row.interface.to_owned());
            Ok::<_, Error>(())
        })
        .unwrap()
    {}
    assert_eq!(names, ["tun0", "wg0"]);
}

#[test]
fn what_is_damaged_is_set_aside_and_what_was_not_finished_is_deleted() {
    let (spool, mut epochs) = spool();
    let flows = [(key(1), 61, Direction::Up)];
    let [good, bad, torn] =
        [70, 80, 90].map(|end| epochs.append(&epoch(60, end, &flows), Duration::ZERO).unwrap());
    let mut bytes = std::fs::read(&bad.path).unwrap();
    let in_header = bytes.len() - 100;
    bytes[in_header] ^= 1;
    std::fs::write(&bad.path, bytes).unwrap();
    let bytes = std::fs::read(&torn.path).unwrap();
    std::fs::write(&torn.path, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(spool.epochs_directory().join("5.unfinished"), "half").unwrap();
    assert_eq!(recovered(&spool).found, std::slice::from_ref(&good));
    let names = |directory: &Path| -> Vec<PathBuf> {
        spool.disk.list(directory).unwrap().iter().map(|e| directory.join(&e.name)).collect()
    };
    assert_eq!(names(&spool.epochs_directory()), std::slice::from_ref(&good.path));
    let damaged = names(&spool.directory.join(aside::ASIDE));
    assert_eq!(damaged.len(), 2);
}

#[test]
fn a_run_whose_entries_are_damaged_is_not_read_to_its_end() {
    let (_spool, mut epochs) = spool();
    let flows = [(key(1), 61, Direction::Up), (key(2), 61, Direction::Up)];
    let run = epochs.append(&epoch(60, 70, &flows), Duration::ZERO).unwrap();
    let sound = std::fs::read(&run.path).unwrap();
    for place in 8..8 + 2 * entry::Entry::<4>::SIZE {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        std::fs::write(&run.path, bytes).unwrap();
        let opened = Run::open(run.disk(), &run.path).unwrap();
        assert_eq!(opened.header, run.header);
        assert!(matches!(opened.check(), Err(Error::Damaged { .. })), "{place}");
        let merged = merge(&[opened], run.path.with_file_name("9.run"), Duplicates::KeepBoth);
        assert!(matches!(merged, Err(Error::Damaged { .. })), "{place}");
    }
    // Every other byte is of the header, or of what tells where it is.
    for place in (0..8).chain(8 + 2 * entry::Entry::<4>::SIZE..sound.len()) {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        std::fs::write(&run.path, bytes).unwrap();
        assert!(Run::open(run.disk(), &run.path).is_err(), "{place}");
    }
}

#[test]
fn a_spool_that_is_full_takes_nothing_and_one_with_room_again_does() {
    let directory = tempfile::tempdir().unwrap();
    let flows: Vec<_> = (0..100).map(|n| (key(n), 61, Direction::Up)).collect();
    let spool = Arc::new(Spool::open(directory.path(), 10_000).unwrap());
    let mut epochs = Epochs::new(spool, "policy".to_owned(), MINUTE, vec![]);
    let first = epochs.append(&epoch(60, 70, &flows), Duration::ZERO).unwrap();
    let error = epochs.append(&epoch(70, 80, &flows), Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Full { limit: 10_000, .. }), "{error}");
    first.remove().unwrap();
    let second = epochs.append(&epoch(70, 80, &flows), Duration::ZERO).unwrap();
    // What is more than all of it is taken alone.
    let many: Vec<_> =
        flows.iter().chain(&flows).map(|(key, ..)| (*key, 81, Direction::Up)).collect();
    epochs.append(&epoch(80, 90, &many), Duration::ZERO).unwrap_err();
    second.remove().unwrap();
    epochs.append(&epoch(80, 90, &many), Duration::ZERO).unwrap();
}

#[test]
fn two_daemons_cannot_share_a_spool() {
    let directory = tempfile::tempdir().unwrap();
    let first = Spool::open(directory.path(), u64::MAX).unwrap();
    assert!(matches!(Spool::open(directory.path(), u64::MAX), Err(Error::InUse { .. })));
    drop(first);
    Spool::open(directory.path(), u64::MAX).unwrap();
}

#[test]
fn files_are_found_again_as_they_were_whatever_was_left_over() {
    let (spool, mut epochs) = spool();
    let mut files = Files::new(Arc::clone(&spool), vec![]);
    let mut put = |files: &mut Files, opened, closed| {
        let flows = [(key(1), opened, Direction::Up)];
        let epoch =
            Epoch { number: EpochNumber::new(closed / 60), ..epoch(opened, closed, &flows) };
        let run = epochs.append(&epoch, Duration::ZERO).unwrap();
        let path = files.place(&run.header.windows[0], &run.header).unwrap();
        files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        run
    };
    let minutes: Vec<u64> = (0..70).map(|minute| minute * 60).collect();
    let runs: Vec<Run> = minutes.iter().map(|at| put(&mut files, *at, at + 60)).collect();
    // Two hours, of which the first is complete.
    let [first, second] = &files.growing()[..] else { panic!("{:?}", files.growing()) };
    assert_eq!((first.runs.len(), second.runs.len()), (60, 10));
    assert_eq!((first.is_complete, second.is_complete), (true, false));
    // As if it had been killed before the epochs were deleted: they are in a run, and go.
    assert!(runs.iter().all(|run| run.path.exists()));
    let again = recovered(&spool);
    assert_eq!((again.found.len(), again.files.growing()), (0, files.growing()));
    assert!(!runs.iter().any(|run| run.path.exists()));
    files.remove(&files.growing()[0]).unwrap();
    assert_eq!(files.growing().len(), 1);
    assert_eq!(recovered(&spool).files.growing(), files.growing());
}

#[test]
fn an_epoch_is_not_deleted_for_a_run_that_cannot_be_read() {
    let (spool, mut epochs) = spool();
    let mut files = Files::new(Arc::clone(&spool), vec![]);
    let flows = [(key(1), 61, Direction::Up)];
    let epoch = epochs.append(&epoch(60, 120, &flows), Duration::ZERO).unwrap();
    let path = files.place(&epoch.header.windows[0], &epoch.header).unwrap();
    let window = merge(std::slice::from_ref(&epoch), path, Duplicates::Merge).unwrap();
    // Killed here; and a bit of an entry flips.
    let mut bytes = std::fs::read(&window.path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&window.path, bytes).unwrap();
    let again = recovered(&spool);
    assert_eq!(again.found, std::slice::from_ref(&epoch));
    assert!(!window.path.exists() && spool.unsettled().is_empty());
}

#[test]
fn many_runs_of_a_file_become_one_with_the_same_rows() {
    let (spool, _) = spool();
    let mut files = Files::new(Arc::clone(&spool), vec![]);
    let second = Duration::from_secs(1);
    let mut epochs = Epochs::new(Arc::clone(&spool), "policy".to_owned(), second, vec![]);
    for at in 0..100 {
        let run = epochs
            .append(&epoch(at, at + 1, &[(key(1), at, Direction::Up)]), Duration::ZERO)
            .unwrap();
        let path = files.place(&run.header.windows[0], &run.header).unwrap();
        files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        run.remove().unwrap();
    }
    let before = files.growing().remove(0);
    let merged = before.merge_many(&|| false).unwrap().unwrap();
    files.replace(&merged);
    let after = files.growing().remove(0);
    assert_eq!(after.runs, [merged]);
    assert_eq!(after.runs[0].header.windows.len(), 100);
    assert_eq!(rows(&after.runs, Duplicates::KeepBoth).len(), 100);
    assert_eq!(recovered(&spool).files.growing(), files.growing());
}

/// The ledger of wg0 in the only window of runs, and the names that it has rows of.
fn ledger(runs: &[Run]) -> (LedgerEntry, Vec<String>) {
    let header = Header::of(runs).unwrap();
    let [window] = &header.windows[..] else { panic!("{:?}", header.windows) };
    let names = window.rows.iter().map(|row| row.interface.clone()).collect();
    (window.rows.iter().find(|row| row.interface == "wg0").unwrap().clone(), names)
}

/// An epoch of a number.
fn numbered(number: u64, opened: u64, closed: u64) -> Epoch {
    Epoch { number: EpochNumber::new(number), ..epoch(opened, closed, &[]) }
}

#[test]
fn a_number_that_is_missing_is_a_gap_of_every_interface_that_was_counted_before() {
    let (spool, mut before) = spool();
    let mut first = numbered(7, 60, 70);
    let mut tun = first.totals[0].clone();
    tun.0.name = "tun0".to_owned();
    first.totals.push(tun);
    let first = before.append(&first, Duration::ZERO).unwrap();
    let mut epochs = Epochs::new(spool, "policy".to_owned(), MINUTE, vec![&first]);
    epochs.counting_since(Utc::from_ms(81_000));

    let second = epochs.append(&numbered(9, 80, 90), Duration::ZERO).unwrap();
    let third = epochs.append(&numbered(10, 90, 100), Duration::ZERO).unwrap();

    let gap =
        Gap { start: Utc::from_ms(70_000), end: Utc::from_ms(81_000), reason: GapReason::Down };
    let (row, names) = ledger(std::slice::from_ref(&second));
    // Counted time is no gap: that interface was counted since the epoch began.
    let of_wg0 = Gap { end: Utc::from_ms(80_000), ..gap };
    assert_eq!((row.gaps, names), (vec![of_wg0], vec!["wg0".to_owned(), "tun0".to_owned()]));
    let of_tun0 = second.header.windows[0].rows.iter().find(|row| row.interface == "tun0");
    assert_eq!(of_tun0.unwrap().gaps, [of_wg0]);
    assert_eq!(ledger(std::slice::from_ref(&third)).0.gaps, []);
    // It stays what it is when the window is merged, and is read again.
    let merged = Run::open(second.disk(), &second.path).unwrap();
    let (row, _) = ledger(&[first, merged, third]);
    assert_eq!((row.gaps, row.observed_start), (vec![of_wg0], Utc::from_ms(60_000)));
}

#[test]
fn numbers_that_never_were_are_no_gap() {
    let (spool, mut before) = spool();
    before.append(&numbered(5, 60, 70), Duration::ZERO).unwrap();
    let mut epochs = recovered(&spool).epochs;
    // Maps of other sizes have epochs of the numbers 8 and 9, and the open epoch came after them.
    epochs.renumbered(EpochNumber::new(6), EpochNumber::new(10), Utc::from_ms(70_000));
    for (number, opened) in [(8, 70), (9, 80), (10, 90), (11, 100)] {
        let run = epochs.append(&numbered(number, opened, opened + 10), Duration::ZERO).unwrap();
        assert_eq!(ledger(std::slice::from_ref(&run)).0.gaps, [], "{number}");
    }
    assert_eq!(recovered(&spool).epochs.last().get(), 11);
}

#[test]
fn a_number_that_a_daemon_gave_and_did_not_live_to_use_is_no_gap() {
    for (opened, gap) in [(70, 0), (75, 1)] {
        let (spool, mut before) = spool();
        before.append(&numbered(5, 60, 70), Duration::ZERO).unwrap();
        let mut epochs = recovered(&spool).epochs;
        // The daemon before gave the open epoch the number 9, after those of maps of other sizes.
        epochs.renumbered(EpochNumber::new(9), EpochNumber::new(9), Utc::from_ms(opened * 1_000));
        let mut gaps = 0;
        for (number, opened) in [(7, 72), (8, 78), (9, 79), (10, 80)] {
            let run = epochs.append(&numbered(number, opened, opened + 1), Duration::ZERO).unwrap();
            gaps += ledger(std::slice::from_ref(&run)).0.gaps.len();
        }
        assert_eq!(gaps, gap, "opened at {opened}");
    }
}

#[test]
fn of_two_gaps_in_a_window_the_ledger_claims_each_and_nothing_between() {
    let (spool, mut epochs) = spool();
    let mut runs = vec![epochs.append(&numbered(1, 60, 70), Duration::ZERO).unwrap()];
    for (number, opened) in [(3, 80), (5, 100)] {
        let last = runs.iter().collect();
        let mut epochs = Epochs::new(Arc::clone(&spool), "policy".to_owned(), MINUTE, last);
        epochs.counting_since(Utc::from_ms(i64::try_from(opened * 1_000).unwrap()));
        runs.push(epochs.append(&numbered(number, opened, opened + 10), Duration::ZERO).unwrap());
    }
    let gap = |start, end| Gap {
        start: Utc::from_ms(start),
        end: Utc::from_ms(end),
        reason: GapReason::Down,
    };
    assert_eq!(ledger(&runs).0.gaps, [gap(70_000, 80_000), gap(90_000, 100_000)]);
}

#[test]
fn a_run_of_version_1_has_one_gap_or_none() {
    let (_spool, mut epochs) = spool();
    let header = epochs.append(&numbered(1, 60, 70), Duration::ZERO).unwrap().header;
    let mut json = serde_json::to_value(&header).unwrap();
    let row = json["windows"][0]["rows"][0].as_object_mut().unwrap();
    for new in ["gaps", "clock_step_ms", "on_interface"] {
        assert!(row.remove(new).is_some(), "{new}");
    }
    assert_eq!(serde_json::from_value::<Header>(json.clone()).unwrap(), header);
    json["windows"][0]["rows"][0]["gap_ns"] = serde_json::json!([5, 9]);
    let with_gap = serde_json::from_value::<Header>(json).unwrap();
    let gap = Gap { start: Utc::from_ns(5), end: Utc::from_ns(9), reason: GapReason::Down };
    assert_eq!(with_gap.windows[0].rows[0].gaps, [gap]);
}
