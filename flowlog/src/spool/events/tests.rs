use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{
        disk::SharedDisk,
        model::disk::{Fault, ModelDisk, ROOT},
        planted::tests::plant,
    },
    *,
};

const TABLE: &str = "sessions";

/// A spool on a disk in memory, and its log.
fn open_on(disk: &ModelDisk, limit: u64) -> Result<EventLog, Error> {
    let shared = SharedDisk(Arc::new(disk.clone()));
    Arc::new(Spool::on(shared, Path::new(ROOT), limit)?).events(TABLE, "gw1")
}

fn open(disk: &ModelDisk) -> EventLog {
    open_on(disk, u64::MAX).unwrap()
}

fn new_event(body: &[u8]) -> NewEvent<'_> {
    NewEvent { time: Utc::from_ns(i64::from(body[0]) * 1_000), kind: 7, body }
}

fn append(log: &mut EventLog, bodies: &[&[u8]]) -> Result<Range<u64>, Error> {
    log.append(&bodies.iter().map(|body| new_event(body)).collect::<Vec<_>>())
}

fn read(log: &mut EventLog) -> BTreeMap<u64, Vec<u8>> {
    let mut found = BTreeMap::new();
    log.read(0, |header, body| {
        assert_eq!((header.kind, header.gateway.as_str()), (7, "gw1"));
        assert_eq!(header.time, new_event(body).time);
        assert!(found.insert(header.number, body.to_vec()).is_none());
        Ok::<_, Error>(())
    })
    .unwrap();
    found
}

/// The segments, in their order.
fn segments(disk: &ModelDisk) -> Vec<PathBuf> {
    let mut files = disk.files();
    let events = Path::new(ROOT).join("events");
    files.retain(|path| {
        path.starts_with(&events) && path.extension().is_some_and(|ends| ends == "events")
    });
    files
}

fn aside(disk: &ModelDisk) -> Vec<String> {
    let aside = disk.files().into_iter().filter(|path| path.starts_with("/spool/aside"));
    aside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Three events in two batches of one segment, with these bodies.
const BODIES: [&[u8]; 3] = [b"1 first", b"2 second", b"3 third"];

fn three() -> ModelDisk {
    let disk = ModelDisk::default();
    let mut log = open(&disk);
    assert_eq!(append(&mut log, &BODIES[..1]).unwrap(), 1..2);
    assert_eq!(append(&mut log, &BODIES[1..]).unwrap(), 2..4);
    disk
}

fn copy(disk: &ModelDisk) -> ModelDisk {
    let copy = ModelDisk::default();
    copy.restore(disk);
    copy
}

/// All three are there, but for those that the log names.
fn assert_read_or_named(log: &mut EventLog) -> EpochSet {
    let found = read(log);
    let missing = log.missing();
    for (number, body) in (1..).zip(BODIES) {
        let is_missing = missing.meets(&EpochSet::range(number, number));
        assert_eq!(found.get(&number).map(Vec::as_slice), (!is_missing).then_some(body));
    }
    assert_eq!((found.len() as u64 + missing.len(), log.last()), (3, 3));
    missing
}

#[test]
fn events_are_read_back_in_order_with_their_numbers_by_the_next_daemon() {
    let disk = three();
    let mut log = open(&disk);
    assert_eq!(append(&mut log, &[b"4 fourth"]).unwrap(), 4..5);
    let found: Vec<_> = read(&mut log).into_values().collect();
    assert_eq!(
        found,
        [b"1 first".to_vec(), b"2 second".into(), b"3 third".into(), b"4 fourth".into()]
    );
    let mut headers = vec![];
    log.headers(2, |header| {
        headers.push((header.number, header.time.ns()));
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(headers, [(3, 51_000), (4, 52_000)]);
    // A daemon appends to no segment of another one.
    assert_eq!(segments(&disk).len(), 2);
    assert!(log.missing().is_empty());
}

/// Whatever operation is the last one, and whether power is lost then, an event of which the daemon knew that it
/// is safe is there, and none is lost.
#[test]
fn an_event_whose_append_returned_survives_a_kill_at_any_operation_and_a_power_loss() {
    for after in 0.. {
        let mut was_killed = false;
        for power in 0..8 {
            let disk = ModelDisk::default();
            let mut log = open(&disk);
            disk.set_fault(after, Fault::Kill);
            let done = BODIES.iter().take_while(|body| append(&mut log, &[body]).is_ok()).count();
            was_killed |= disk.is_dead();
            disk.kill();
            if power > 0 {
                disk.lose_power(&mut fastrand::Rng::with_seed(power));
            }
            disk.revive();
            let mut log = open(&disk);
            let found = read(&mut log);
            assert!((done..=done + 1).contains(&found.len()), "{after} {power}: {found:?}");
            for ((number, found), body) in found.iter().zip(BODIES) {
                assert_eq!((found.as_slice(), *number), (body, u64::from(body[0] - b'0')));
            }
            assert!(log.missing().is_empty(), "{after} {power}: {:?}", log.missing());
            assert_eq!(append(&mut log, &[b"4"]).unwrap().start, found.len() as u64 + 1);
        }
        if !was_killed {
            assert!(after > 20, "{after} operations");
            return;
        }
    }
}

#[test]
fn an_append_that_fails_leaves_nothing_and_its_numbers_go_to_the_next() {
    for code in [libc::ENOSPC, libc::EIO, libc::EROFS, libc::EMFILE] {
        for after in 0.. {
            let disk = three();
            let mut log = open(&disk);
            append(&mut log, &[b"4 fourth"]).unwrap();
            disk.set_fault(after, Fault::Error(code));
            let failed = append(&mut log, &[b"5 failed", b"6 failed"]);
            disk.revive();
            if failed.is_ok() {
                assert!(after > 5, "{after} operations");
                break;
            }
            // Neither here, nor after a kill, nor behind what is appended next.
            for log in [&mut log, &mut open(&copy(&disk))] {
                assert_eq!((read(log).len(), log.last()), (4, 4), "{code} after {after}");
                assert_eq!(append(log, &[b"5 fifth"]).unwrap(), 5..6);
                assert_eq!(read(log)[&5], b"5 fifth");
            }
            let mut log = open(&disk);
            assert_eq!(read(&mut log)[&5], b"5 fifth");
            assert!(log.missing().is_empty());
        }
    }
}

#[test]
fn a_flipped_bit_takes_one_event_at_most_and_its_number_is_named() {
    let whole = three();
    let path = segments(&whole).remove(0);
    let bits = whole.read(&path).unwrap().len() * 8;
    let mut lost = [0; 4];
    for bit in 0..bits {
        let disk = copy(&whole);
        disk.damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let mut log = open(&disk);
        let missing = assert_read_or_named(&mut log);
        assert!(missing.len() <= 1, "bit {bit}: {missing}");
        lost[usize::try_from(missing.first().unwrap_or(0)).unwrap()] += 1;
        // It is remembered, and told once.
        let mut log = open(&disk);
        assert_eq!(log.missing(), missing);
        log.reported(&missing).unwrap();
        let mut log = open(&disk);
        assert_eq!(assert_read_or_named(&mut log), missing);
        assert!(log.lost().is_empty());
    }
    // A damaged header of a segment takes none.
    let of = |body: &[u8]| (record::HEADER + body.len()) * 8;
    assert_eq!(lost[1..], BODIES.map(of));
}

#[test]
fn what_a_segment_lost_at_its_end_is_named_to_the_event() {
    let whole = three();
    let path = segments(&whole).remove(0);
    let length = whole.read(&path).unwrap().len();
    for cut in 0..length {
        let disk = copy(&whole);
        disk.damage(&path, |bytes| bytes.truncate(cut));
        let mut log = open(&disk);
        let from = [length - 41 - 42 - 41, length - 42 - 41, length - 41];
        let lost = BODIES.iter().zip(from).filter(|(body, from)| cut < from + 34 + body.len());
        // Already at the start.
        let missing = log.missing();
        assert_eq!(missing.len(), lost.count() as u64, "{cut} of {length}");
        assert_eq!(assert_read_or_named(&mut log), missing);
        // The next events have other numbers.
        assert_eq!(append(&mut log, &[b"4 fourth"]).unwrap(), 4..5);
    }
}

#[test]
fn a_segment_that_is_deleted_or_something_else_is_named() {
    for change in [ModelDisk::delete as fn(&ModelDisk, &Path), |disk: &ModelDisk, path: &Path| {
        disk.delete(path);
        disk.put(path, None);
    }] {
        let disk = three();
        append(&mut open(&disk), &[b"4 fourth"]).unwrap();
        change(&disk, &segments(&disk)[0]);
        let mut log = open(&disk);
        assert_eq!(log.missing(), EpochSet::range(1, 3));
        let lost = &log.lost()[0];
        assert_eq!((lost.start_ns, lost.end_ns, lost.gateway.as_str()), (49_000, 51_000, "gw1"));
        assert_eq!(read(&mut log).into_keys().collect::<Vec<_>>(), [4]);
    }
}

#[test]
fn what_is_not_of_the_log_is_set_aside_and_the_rest_is_read() {
    let disk = three();
    let directory = Path::new(ROOT).join("events").join(TABLE);
    let bytes = disk.read(&segments(&disk)[0]).unwrap();
    let id = "0123456789abcdef0123456789abcdef";
    disk.put(&directory.join(format!("00000000000000000004-{id}.events")), Some(bytes.clone()));
    disk.put(&directory.join("notes.txt"), Some(bytes.clone()));
    disk.put(&directory.join("1.unfinished"), Some(bytes));
    disk.put(&Path::new(ROOT).join("events/coverage"), None);
    let mut log = open(&disk);
    assert!(assert_read_or_named(&mut log).is_empty());
    assert_eq!(
        aside(&disk),
        [
            format!("events~{TABLE}~00000000000000000004-{id}.events.uncounted"),
            format!("events~{TABLE}~notes.txt.foreign"),
        ]
    );
    // A link, a pipe or a file in the place of another table.
    assert_eq!(append(&mut log, &[b"4 fourth"]).unwrap(), 4..5);
    let shared =
        Arc::new(Spool::on(SharedDisk(Arc::new(disk)), Path::new(ROOT), u64::MAX).unwrap());
    assert_eq!(append(&mut shared.events("coverage", "gw1").unwrap(), &[b"1"]).unwrap(), 1..2);
}

#[test]
fn either_copy_of_the_log_is_enough_and_without_both_the_segments_are() {
    let names: [&[&str]; 3] = [&["log"], &["log.copy"], &["log", "log.copy"]];
    for names in names {
        let disk = three();
        append(&mut open(&disk), &[b"4 fourth"]).unwrap();
        for name in names {
            let path = Path::new(ROOT).join("events").join(TABLE).join(name);
            disk.damage(&path, |bytes| bytes.truncate(10));
        }
        let mut log = open(&disk);
        assert_eq!((read(&mut log).len(), log.last()), (4, 4), "{names:?}");
        assert!(log.missing().is_empty());
        assert_eq!(append(&mut log, &[b"5 fifth"]).unwrap(), 5..6);
    }
}

/// Whether a daemon that was killed at an operation, and then a copy of the log, leave the next two daemons the same.
fn is_read_twice(after: u64, power: u64) -> bool {
    let disk = ModelDisk::default();
    let mut log = open(&disk);
    append(&mut log, &BODIES[..1]).unwrap();
    disk.set_fault(after, Fault::Kill);
    append(&mut log, &BODIES[1..]).unwrap_or_default();
    disk.revive();
    let last = open(&disk).last();
    disk.delete(&Path::new(ROOT).join("events").join(TABLE).join("log"));
    disk.lose_power(&mut fastrand::Rng::with_seed(power));
    open(&disk).last() == last
}

#[test]
fn what_one_daemon_found_the_next_one_finds_whichever_copy_of_the_log_is_lost_then() {
    let is_wrong = |after| !(0..4).all(|power| is_read_twice(after, power));
    assert_eq!((0..40).find(|after| is_wrong(*after)), None);
    plant(Some(Bug::EventsDisagree));
    let is_caught = (0..40).any(is_wrong);
    plant(None);
    assert!(is_caught);
}

#[test]
fn a_segment_goes_when_all_of_its_events_are_released_and_no_sooner() {
    let disk = ModelDisk::default();
    let mut log = open(&disk);
    log.segment_bytes = 1;
    for body in BODIES {
        append(&mut log, &[body, body]).unwrap();
    }
    for (through, left) in [(1, 3), (2, 2), (5, 1), (6, 0)] {
        log.release(through).unwrap();
        assert_eq!(segments(&disk).len(), left);
        let mut again = open(&disk);
        let first = read(&mut again).into_keys().next();
        assert_eq!(first, (through < 6).then_some(through + 1));
        assert!(again.missing().is_empty());
    }
    // Numbers go on although nothing is left.
    let mut log = open(&disk);
    assert_eq!(append(&mut log, &[b"7 seventh"]).unwrap(), 7..8);
}

#[test]
fn a_damaged_segment_is_set_aside_when_it_is_released() {
    let disk = three();
    let path = segments(&disk).remove(0);
    disk.damage(&path, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let mut log = open(&disk);
    assert_eq!(assert_read_or_named(&mut log), EpochSet::range(3, 3));
    log.release(3).unwrap();
    assert!(segments(&disk).is_empty());
    assert_eq!(aside(&disk).len(), 1);
    // Whoever released it may not have told that one was lost.
    assert_eq!(open(&disk).missing(), EpochSet::range(3, 3));
}

#[test]
fn a_spool_and_its_copy_give_one_number_in_two_segments_that_follow_the_same_one() {
    let disk = three();
    let copy = copy(&disk);
    let header = |disk: &ModelDisk, body: &[u8]| {
        append(&mut open(disk), &[body]).unwrap();
        let path = segments(disk).into_iter().find(|path| path.to_string_lossy().contains("04-"));
        let path = path.unwrap();
        let shared = SharedDisk(Arc::new(disk.clone()));
        segment::read_header(&*shared.open(&path).unwrap(), &path).unwrap().unwrap().0
    };
    let (one, other) = (header(&disk, b"4 here"), header(&copy, b"4 there"));
    assert_eq!((one.first, &one.follows), (other.first, &other.follows));
    assert_eq!(one.follows.unwrap().last, 3);
    assert_ne!(one.id, other.id);
}

#[test]
fn a_later_version_is_named_and_not_touched() {
    // A segment with a sound frame, of a version to come.
    let disk = three();
    let directory = Path::new(ROOT).join("events").join(TABLE);
    let mut bytes = b"flowevt2\x02\0\0\0{}".to_vec();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let name = "00000000000000000004-0123456789abcdef0123456789abcdef.events";
    disk.put(&directory.join(name), Some(bytes));
    // And a log of one.
    let other = three();
    for name in ["log", "log.copy"] {
        let mut text = b"{\"format\":99,\"serial\":9,\"value\":{}}\n".to_vec();
        text.extend(format!("crc32 {:08x}\n", crc32fast::hash(&text)).bytes());
        other.damage(&directory.join(name), |bytes| *bytes = text);
    }
    for (disk, newer) in [(disk, 2), (other, 99)] {
        let contents = |disk: &ModelDisk| {
            let files = disk.files().into_iter();
            files.map(|path| (disk.read(&path), path)).collect::<Vec<_>>()
        };
        let before = contents(&disk);
        let refused = open_on(&disk, u64::MAX);
        assert!(matches!(refused, Err(Error::Newer { format, .. }) if format == newer));
        assert_eq!(contents(&disk), before);
    }
}

#[test]
fn a_full_spool_takes_no_event_and_flows_leave_events_some_room() {
    let disk = ModelDisk::default();
    append(&mut open(&disk), &[b"1 first"]).unwrap();
    let shared = || SharedDisk(Arc::new(disk.clone()));
    let spool = Spool::on(shared(), Path::new(ROOT), 640_000).unwrap();
    spool.disk.make_directory(Path::new("/spool/epochs")).unwrap();
    disk.put(Path::new("/spool/epochs/1.run"), Some(vec![0; 620_000]));
    assert!(matches!(spool.ensure_room(11_000), Err(Error::Full { .. })));
    let mut log = Arc::new(spool).events(TABLE, "gw1").unwrap();
    let last = (0..99).find(|_| append(&mut log, &[&[b'2'; 1000]]).is_err()).unwrap();
    assert!((15..20).contains(&last), "{last}");
    // What did not fit is no event, and what fits later is.
    assert_eq!(read(&mut log).len(), last + 1);
    disk.delete(Path::new("/spool/epochs/1.run"));
    assert!(append(&mut log, &[b"3"]).is_ok());
}

#[test]
fn an_event_that_looks_like_another_one_is_read_as_what_it_is() {
    let disk = three();
    let inner = disk.read(&segments(&disk)[0]).unwrap();
    let mut log = open(&disk);
    append(&mut log, &[&inner, b"5 fifth"]).unwrap();
    // Where its header is damaged, the events in its body are none.
    let path = segments(&disk).pop().unwrap();
    let place = disk.read(&path).unwrap().windows(4).position(|bytes| bytes == b"evnt").unwrap();
    disk.damage(&path, |bytes| bytes[place] ^= 1);
    assert_eq!(read(&mut log).into_keys().collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert_eq!(log.missing(), EpochSet::range(4, 4));
}

#[test]
fn a_sector_that_cannot_be_read_costs_the_events_in_it_alone() {
    let disk = ModelDisk::default();
    let mut log = open(&disk);
    let bodies: Vec<Vec<u8>> = (0..40).map(|number| vec![number; 1000]).collect();
    log.append(&bodies.iter().map(|body| new_event(body)).collect::<Vec<_>>()).unwrap();
    disk.set_bad_sector(Some((8 << 10, 12 << 10)));
    let missing = {
        let found = read(&mut log);
        assert!((34..=36).contains(&found.len()), "{}", found.len());
        log.missing()
    };
    assert_eq!(missing.len(), 40 - read(&mut log).len() as u64);
    assert!(missing.is_one_range());
}

#[test]
fn a_table_has_a_name_that_is_no_path() {
    let spool = Arc::new(Spool::temporary().unwrap());
    for name in ["", "..", "a/b", "Sessions", "a.b"] {
        assert!(matches!(spool.events(name, "gw1"), Err(Error::TableName { .. })), "{name}");
    }
    let body = vec![1; LONGEST_BODY + 1];
    let mut log = spool.events(TABLE, "gw1").unwrap();
    assert!(matches!(append(&mut log, &[&body]), Err(Error::LongEvent { .. })));
    assert_eq!(append(&mut log, &[&body[1..]]).unwrap(), 1..2);
    assert_eq!(append(&mut log, &[]).unwrap(), 2..2);
    assert_eq!(read(&mut spool.events(TABLE, "gw1").unwrap()).len(), 1);
}
