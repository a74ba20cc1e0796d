use std::{fs, path::Path as FilePath, time::Duration};

use super::*;
use crate::{
    record::{
        clock::Utc,
        epoch_set::EpochSet,
        flow::{Activity, FlowRecord},
    },
    table::{FLOWS, FlowsWriter, Layout, ObjectName, metadata::Description, reader::Value},
};
use flowlog_common::flow::Direction;

/// 2026-01-01, 00:00 UTC.
const MIDNIGHT_MS: i64 = 1_767_225_600_000;
const HOUR_MS: i64 = 3_600_000;
const HOUR: Duration = Duration::from_hours(1);

/// A flow of a member, to a remote of its own.
fn flow(start_ms: i64, number: u16) -> FlowRecord<'static> {
    let [high, low] = number.to_be_bytes();
    FlowRecord {
        interface: "wg0",
        member: [10, 0, high, 7].into(),
        remote: Some([198, 51, high, low].into()),
        member_port: 40_000,
        remote_port: 443,
        protocol: 6,
        activity: Activity {
            start_ms,
            end_ms: start_ms + 1_000,
            packets_up: 1,
            bytes_up: number.into(),
            packets_down: 2,
            bytes_down: 3,
            tcp_flags_up: 0,
            tcp_flags_down: 0,
            partial: 0,
            initiator: Direction::Up,
        },
    }
}

/// A file of so many flows, in row groups of a thousand.
fn file(start_ms: i64, flows: u16) -> Vec<u8> {
    let layout = Layout { row_group: 1_000, ..Layout::default() };
    let mut file = FlowsWriter::with_layout(vec![], &layout).unwrap();
    (0..flows).for_each(|number| file.push(&flow(start_ms, number)).unwrap());
    let description = Description {
        lineage: "x",
        gateway: "gw-1",
        policy: "",
        start: Utc::from_ms(start_ms),
        window_ms: 300_000,
        epochs: EpochSet::default(),
        numbering: "x",
    };
    file.finish(description.pairs(&FLOWS, flows.into())).unwrap()
}

/// Writes the file of an hour, counted from midnight.
fn write(store: &FilePath, hour: i64, file: &[u8]) -> std::path::PathBuf {
    let begins = Utc::from_ms(MIDNIGHT_MS + hour * HOUR_MS);
    let path = store.join(ObjectName::new(&FLOWS, "gw-1", begins, HOUR).path().as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, file).unwrap();
    path
}

fn consultation(store: &FilePath) -> Consultation {
    Consultation::begin(&Store::open(store.to_str().unwrap()).unwrap()).unwrap()
}

fn times(from_ms: i64, to_ms: i64) -> Times {
    Times::new(Utc::from_ms(MIDNIGHT_MS + from_ms), Utc::from_ms(MIDNIGHT_MS + to_ms))
}

fn found(consultation: &Consultation, times: Times) -> Vec<ObjectMeta> {
    consultation.objects(&FLOWS, "gw-1", times).unwrap().known
}

#[test]
fn of_a_large_file_only_the_row_groups_are_read_that_can_have_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = file(MIDNIGHT_MS, 50_000);
    write(directory.path(), 0, &bytes);
    let consultation = consultation(directory.path());
    let [object] = &found(&consultation, times(0, 1))[..] else { panic!() };
    for ask in 1..=2_u64 {
        let before = consultation.read().bytes;
        let reader = consultation.open(&FLOWS, object).unwrap();
        let reader = reader.select(&["member_ip", "bytes_up"]).unwrap();
        let reader = reader.having("remote_ip", "198.51.20.5").unwrap();
        assert!(reader.groups().contains(&5) && reader.groups().len() < 5, "{:?}", reader.groups());
        let member = Some(Value::Text("10.0.20.7"));
        let reader = reader.between("member_ip", member, member).unwrap();
        assert_eq!(reader.groups(), [5]);
        let rows: usize =
            reader.prefetched().unwrap().batches().unwrap().map(|rows| rows.unwrap().count()).sum();
        assert_eq!(rows, 1_000);
        let Read { objects, bytes: read } = consultation.read();
        assert_eq!(objects, ask);
        // A footer that is known is not read again.
        let most = if ask == 1 { 140_000 } else { 10_000 };
        assert!(read - before < most, "{} of {} bytes", read - before, bytes.len());
    }
}

#[test]
fn of_a_time_only_its_own_folders_are_looked_into() {
    let directory = tempfile::tempdir().unwrap();
    let small = file(MIDNIGHT_MS, 1);
    for hour in [-25, -1, 0, 1, 2, 23, 24] {
        write(directory.path(), hour, &small);
    }
    let consultation = consultation(directory.path());
    let hours = |from: i64, to: i64| {
        let hour = |object: &ObjectMeta| {
            let start = ObjectName::parse(&object.location).unwrap().partition.start;
            (start.ms() - MIDNIGHT_MS) / HOUR_MS
        };
        found(&consultation, times(from, to)).iter().map(hour).collect::<Vec<_>>()
    };
    assert_eq!(hours(-1, 1), [-1, 0]);
    assert_eq!(hours(0, 1), [0]);
    assert_eq!(hours(HOUR_MS, HOUR_MS + 1), [1]);
    assert_eq!(hours(HOUR_MS, 24 * HOUR_MS), [1, 2, 23]);
    assert_eq!(hours(-25 * HOUR_MS, 25 * HOUR_MS), [-25, -1, 0, 1, 2, 23, 24]);
    assert_eq!(hours(5, 5), [] as [i64; 0]);
    assert_eq!(hours(5, 4), [] as [i64; 0]);
    assert_eq!(consultation.gateways(&[&FLOWS]).unwrap(), ["gw-1"]);
    let all = consultation.all_objects(&FLOWS, "gw-1").unwrap();
    assert_eq!((all.known.len(), all.foreign.len()), (7, 0));
}

#[test]
fn what_flowlog_did_not_write_is_named_and_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), 0, &file(MIDNIGHT_MS, 1));
    fs::write(path.with_file_name("copy.parquet"), "").unwrap();
    fs::write(path.with_file_name("notes.txt"), "").unwrap();
    std::os::unix::fs::symlink("/dev/zero", path.with_file_name("link.parquet")).unwrap();
    let objects = consultation(directory.path()).objects(&FLOWS, "gw-1", times(0, 1)).unwrap();
    assert_eq!(objects.known.len(), 1);
    let [foreign] = &Vec::from_iter(&objects.foreign)[..] else { panic!() };
    assert!(foreign.ends_with("hour=00/copy.parquet"), "{foreign}");
    let [oddity] = &Vec::from_iter(&objects.oddities)[..] else { panic!() };
    assert!(oddity.path.ends_with("link.parquet"), "{oddity}");
}

#[test]
fn a_damaged_file_is_an_error_that_names_it_wherever_it_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let whole = file(MIDNIGHT_MS, 3_000);
    for length in [0, 1, 8, 100, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        write(directory.path(), 0, &whole[..length]);
        let consultation = consultation(directory.path());
        let [object] = &found(&consultation, times(0, 1))[..] else { panic!() };
        let error = consultation.open(&FLOWS, object).err().expect("it is cut");
        assert!(error.to_string().ends_with("-3600s-0.parquet"), "{error}");
        assert!(!error.is_replaced());
    }
    // A footer that promises what is not there.
    let at = whole.len() / 3;
    let cut = [&whole[..at], &whole[at + 1_000..]].concat();
    write(directory.path(), 0, &cut);
    let consultation = consultation(directory.path());
    let [object] = &found(&consultation, times(0, 1))[..] else { panic!() };
    let reader = consultation.open(&FLOWS, object).unwrap();
    assert!(reader.prefetched().unwrap().batches().unwrap().any(|rows| rows.is_err()));
}

#[test]
fn an_open_object_is_read_on_when_another_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), 0, &file(MIDNIGHT_MS, 2_000));
    let consultation = consultation(directory.path());
    let [object] = &found(&consultation, times(0, 1))[..] else { panic!() };
    let before = consultation.open(&FLOWS, object).unwrap();
    let other = path.with_extension("new");
    fs::write(&other, file(MIDNIGHT_MS, 1_000)).unwrap();
    fs::rename(&other, &path).unwrap();
    let after = consultation.open(&FLOWS, object).unwrap();
    let count = |reader: Reader<Part>| -> usize {
        reader.batches().unwrap().map(|rows| rows.unwrap().count()).sum()
    };
    assert_eq!((count(before), count(after)), (2_000, 1_000));
    fs::remove_file(&path).unwrap();
    assert!(consultation.open(&FLOWS, object).err().unwrap().is_replaced());
}
