use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flowlog_common::flow::Direction;

use super::{
    read::{Flows, Ledger},
    *,
};
use crate::{
    record::{
        clock::Utc,
        ledger::{Gap, GapReason},
    },
    spool::{
        Files, encode,
        files::merge,
        merge::Duplicates,
        tests::{epoch, key, spool},
    },
    table::{self, FLOWS, HOUR, LEDGER, reader::Fault},
};

mod made;

use made::{HOUR_MS, Made, made, put as put_named};

/// A store with a window in which one flow sent two packets of 100 bytes, and `seen` were seen.
async fn store_with(seen: u64, tables: &[&'static Table]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let (spool, mut epochs) = spool();
    let mut drained = epoch(0, 10, &[(key(7), 1, Direction::Up)]);
    drained.flows_v4.values[0].packets_up = 2;
    drained.flows_v4.values[0].bytes_up = 200;
    let up = &mut drained.totals[0].1[0].seen;
    (up.packets, up.bytes) = (seen, seen * 100);
    let run = epochs.append(&drained, Duration::ZERO).unwrap();
    let mut files = Files::new(spool, vec![]);
    let path = files.place(&run.header.windows[0], &run.header).unwrap();
    files.add(merge(&[run], path, Duplicates::Merge).unwrap());
    let encoded = encode::encode(&files.growing()[0]).unwrap();
    for table in tables {
        let is_flows = **table == FLOWS;
        let file = if is_flows { encoded.flows.clone().unwrap() } else { encoded.ledger.clone() };
        put(&store, table, &file).await;
    }
    (directory, store)
}

async fn put(store: &Store, table: &'static Table, file: &Bytes) {
    let name = ObjectName::new(table, "gw1", Utc::from_ms(0), HOUR);
    assert!(store.create_object(&name.path(), file).await.is_ok());
}

fn sums(report: &Report) -> Vec<&SumDifference> {
    report
        .differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Sum(sum) => Some(sum),
            Difference::Pair(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn a_store_that_holds_every_packet_balances() {
    let (_directory, store) = store_with(2, &[&FLOWS, &LEDGER]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.windows, report.files, report.rows, report.packets), (1, 2, 1, 2));
}

#[tokio::test]
async fn a_packet_that_was_seen_but_is_nowhere_is_named() {
    let (_directory, store) = store_with(3, &[&FLOWS, &LEDGER]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    let difference = &sums(&report)[0];
    assert_eq!((difference.check, difference.missing), (Check::Ledger, (1, 100)));
    let said = difference.to_string();
    assert!(said.contains("wg0") && said.contains("1970-01-01T00:00:00Z") && said.contains("up"));
}

#[tokio::test]
async fn a_lost_flow_file_and_one_without_a_ledger_are_named() {
    let (_directory, store) = store_with(2, &[&LEDGER]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(sums(&report)[0].missing, (2, 200));
    let (_directory, store) = store_with(2, &[&FLOWS]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(sums(&report)[0].missing, (-2, -200));
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (directory, store) = store_with(2, &[&FLOWS, &LEDGER]).await;
    let name = ObjectName::new(&FLOWS, "gw1", Utc::from_ms(0), HOUR);
    std::fs::write(directory.path().join(name.path().as_ref()), b"PAR1 but not really").unwrap();
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(report.unreadable[0].0, name.path());
}

async fn quick(store: &Store, depth: Depth) -> Report {
    verify_patiently(store, depth, &[1], |_, _| ()).await.unwrap()
}

fn strings<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn hours_whose_numbers_go_on_are_balanced_at_any_depth() {
    let (_directory, store) = made::store();
    for (hour, epochs) in [(5, (1, 60)), (6, (61, 90)), (7, (91, 93))] {
        made(hour, epochs).put(&store).await;
    }
    for depth in [Depth::Sums, Depth::Pages] {
        let report = quick(&store, depth).await;
        assert!(report.is_balanced() && report.unreadable.is_empty(), "{report:?}");
        assert_eq!((report.files, report.windows, report.packets, report.rows), (6, 3, 93, 93));
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
}

#[tokio::test]
async fn an_hour_that_is_missing_amid_others_is_named_with_its_time() {
    let (_directory, store) = made::store();
    made(5, (1, 60)).put(&store).await;
    made(8, (101, 120)).put(&store).await;
    let report = quick(&store, Depth::Sums).await;
    assert_eq!(
        strings(&report.missing),
        ["gateway gw1: epochs 61 to 100, counted between 1970-01-01T06:00:00Z and \
          1970-01-01T08:00:00Z, are in no file and in no gap of the ledger"]
    );
    assert!(!report.is_balanced() && report.differences.is_empty());
    // Nobody counted then, as the later one says.
    let (start, end) = (Utc::from_ms(6 * HOUR_MS), Utc::from_ms(8 * HOUR_MS));
    let gap = Some(Gap { start, end, reason: GapReason::Down });
    Made { gap, ..made(8, (101, 120)) }.put(&store).await;
    let report = quick(&store, Depth::Sums).await;
    assert!(report.is_balanced() && report.gaps.len() == 1, "{report:?}");
    // The oldest hours expire.
    for table in [&FLOWS, &LEDGER] {
        store.delete(&made(5, (1, 60)).name(table, 0).path()).await.unwrap();
    }
    assert!(quick(&store, Depth::Sums).await.is_balanced());
}

#[tokio::test]
async fn epochs_in_two_files_are_double() {
    let (_directory, store) = made::store();
    made(5, (1, 60)).put(&store).await;
    made(6, (50, 80)).put(&store).await;
    let report = quick(&store, Depth::Sums).await;
    assert_eq!(report.double[0].epochs, (50, 60));
    assert!(report.double[0].to_string().contains("epochs 50 to 60 are in ledger/gateway=gw1/"));
}

#[tokio::test]
async fn a_file_in_the_place_of_another_is_foreign_and_no_epoch_of_it_counts() {
    let (_directory, store) = made::store();
    let whole = made(5, (1, 60));
    whole.put(&store).await;
    let copy_as = |name: ObjectName| {
        let (store, flows, ledger) = (&store, whole.flows(), whole.ledger());
        async move {
            for (table, file) in [(&FLOWS, flows), (&LEDGER, ledger)] {
                let mut name = name.clone();
                name.partition.table = table;
                put_named(store, &name, &file).await;
            }
        }
    };
    copy_as(made(6, (1, 60)).name(&FLOWS, 0)).await;
    copy_as(Made { gateway: "gw2", ..made(5, (1, 60)) }.name(&FLOWS, 0)).await;
    let stray = Path::from("flows/gateway=gw1/date=1970-01-01/hour=05/copy.parquet");
    store.replace(&stray, &whole.flows()).await.unwrap();
    let report = quick(&store, Depth::Sums).await;
    let reasons: Vec<_> = report.foreign.iter().map(|foreign| &foreign.reason).collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let hour = ForeignReason::Hour(Utc::from_ms(5 * HOUR_MS));
    for reason in [ForeignReason::Name, hour, ForeignReason::Gateway("gw1".to_owned())] {
        assert!(reasons.contains(&&reason), "{reason:?} in {reasons:?}");
    }
    assert!(report.double.is_empty() && report.missing.is_empty(), "{report:?}");
    assert_eq!(report.packets, 60);
}

#[tokio::test]
async fn a_copy_beside_the_original_is_named_as_one() {
    let (_directory, store) = made::store();
    let whole = made(5, (1, 60));
    whole.put(&store).await;
    put_named(&store, &whole.name(&FLOWS, 1), &whole.flows()).await;
    put_named(&store, &whole.name(&LEDGER, 1), &whole.ledger()).await;
    let report = quick(&store, Depth::Sums).await;
    let is_copy = |foreign: &Foreign| matches!(foreign.reason, ForeignReason::Copy(_));
    assert_eq!(report.foreign.iter().filter(|foreign| is_copy(foreign)).count(), 2);
    assert!(report.double.is_empty());
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_told_by_which_is_older() {
    let (old, new) = (made(5, (1, 10)), made(5, (1, 20)));
    for (flows, ledger, fault) in [
        (Some(new.flows()), Some(old.ledger()), PairFault::LedgerIsOlder),
        (Some(old.flows()), Some(new.ledger()), PairFault::FlowsAreOlder),
        (Some(old.flows()), Some(old.ledger_of(&new.flows())), PairFault::OtherFlows),
        (Some(old.flows()), None, PairFault::NoLedger),
        (None, Some(old.ledger()), PairFault::NoFlows),
    ] {
        let (_directory, store) = made::store();
        for (table, file) in [(&FLOWS, flows), (&LEDGER, ledger)] {
            if let Some(file) = file {
                put_named(&store, &old.name(table, 0), &file).await;
            }
        }
        let report = quick(&store, Depth::Sums).await;
        let faults: Vec<_> = report
            .differences
            .iter()
            .filter_map(|difference| match difference {
                Difference::Pair(pair) => Some(pair.fault),
                Difference::Sum(_) => None,
            })
            .collect();
        assert_eq!(faults, [fault]);
    }
}

/// Every bit of both files is in a digest; what the decoder makes of it is no matter.
#[test]
fn a_flipped_bit_is_named_and_panics_nobody() {
    let whole = made(5, (1, 3));
    let (flows, ledger) = (whole.flows(), whole.ledger());
    let object = Path::from("damaged");
    for seed in 0..1_500_usize {
        let flip = |file: &Bytes| {
            let mut file = file.to_vec();
            let bit = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            (bit, Bytes::from(file))
        };
        let (bit, damaged) = flip(&ledger);
        assert!(Ledger::read(&object, &damaged).is_err(), "bit {bit} of the ledger");
        let (bit, damaged) = flip(&flows);
        if let Ok(read) = Flows::read(&object, &damaged, Depth::Pages) {
            assert_ne!(read.sha256, table::digest::sha256(&flows), "bit {bit} of the flows");
        }
    }
}

#[test]
fn a_page_whose_checksum_differs_is_not_sound() {
    let whole = made(5, (1, 200));
    let flows = whole.flows();
    // What comes first in a file is the pages of the first column, which is summed, and in the middle
    // those of columns that are not.
    let mut damaged = flows.to_vec();
    damaged[flows.len() / 4] ^= 0x10;
    let damaged = Bytes::from(damaged);
    let object = Path::from("flows");
    assert!(Flows::read(&object, &flows, Depth::Pages).is_ok());
    assert!(Flows::read(&object, &damaged, Depth::Pages).is_err());
}

#[tokio::test]
async fn what_a_later_version_wrote_is_named_and_the_rest_is_read() {
    let (_directory, store) = made::store();
    made(5, (1, 60)).put(&store).await;
    let later = made(6, (61, 70));
    let version =
        parquet::file::metadata::KeyValue::new("flowlog.schema_version".to_owned(), "2".to_owned());
    let flows = table::FlowsWriter::new(vec![]).unwrap().finish(vec![version]).unwrap();
    put_named(&store, &later.name(&FLOWS, 0), &flows.into()).await;
    let report = quick(&store, Depth::Sums).await;
    assert!(
        matches!(&report.unreadable[0].1, ReadError::File(Fault::Version(version)) if version == "2")
    );
    assert_eq!(report.packets, 60);
}

#[test]
fn sums_that_differ_are_told_as_people_do() {
    let of = |missing, check| {
        let sum = SumDifference {
            gateway: "gw1".to_owned(),
            at: Utc::from_ms(0),
            interface: "wg0".to_owned(),
            direction: Direction::Up,
            missing,
            check,
        };
        sum.to_string().split(", up: ").last().unwrap().to_owned()
    };
    assert_eq!(
        of((2, 9), Check::Rows),
        "2 packets and 9 bytes are in the ledger and in no flow row"
    );
    assert_eq!(
        of((-158_216, -9), Check::Rows),
        "158216 packets and 9 bytes are in flow rows and not in the ledger"
    );
    assert_eq!(
        of((1, -9), Check::Ledger),
        "1 packets were seen and not accounted for, 9 bytes are accounted for and were never seen"
    );
    assert_eq!(
        of((0, -9), Check::Rows),
        "0 packets and 9 bytes are in flow rows and not in the ledger"
    );
}

/// A daemon that puts flows and then their ledger, and retention that deletes in the same order, until
/// so many runs of `verify` have looked at so many hours. `FLOWLOG_TEST_VERIFY=HOURS,RUNS` sets both.
#[tokio::test]
async fn beside_a_writer_and_retention_nothing_is_reported_that_is_not_so() {
    let size = std::env::var("FLOWLOG_TEST_VERIFY").unwrap_or_else(|_| "30,20".to_owned());
    let (hours, runs) = size.split_once(',').unwrap();
    let (hours, runs): (i64, usize) = (hours.parse().unwrap(), runs.parse().unwrap());
    let (_directory, store) = made::store();
    for hour in 0..hours {
        ten_epochs(hour).put(&store).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let (store, is_over) = (store.clone(), is_over.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        move || runtime.block_on(write_and_delete(&store, hours, &is_over))
    });
    for run in 0..runs {
        let report = verify(&store, Depth::Sums, |_, _| ()).await.unwrap();
        assert!(report.is_balanced() && report.unreadable.is_empty(), "run {run}: {report:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    let deleted = writing.join().unwrap();
    assert!(deleted > 2, "{deleted} hours were deleted meanwhile");
}

fn ten_epochs(hour: i64) -> Made {
    let first = u64::try_from(hour).unwrap() * 10 + 1;
    made(hour, (first, first + 9))
}

async fn write_and_delete(store: &Store, hours: i64, is_over: &AtomicBool) -> i64 {
    let (mut growing, mut deleted) = (ten_epochs(hours), 0);
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    while !is_over.load(Ordering::Relaxed) {
        // Of the hours, one more begins and the oldest ends whenever a hundred epochs are through.
        if growing.epochs.1 - growing.epochs.0 < 100 {
            growing.epochs.1 += 1;
        } else {
            let first = growing.epochs.1 + 1;
            growing = made(growing.hour + 1, (first, first));
        }
        let (flows, ledger) = (growing.flows(), growing.ledger());
        put_named(store, &growing.name(&FLOWS, 0), &flows).await;
        pause(10).await;
        put_named(store, &growing.name(&LEDGER, 0), &ledger).await;
        pause(20).await;
        if growing.epochs.1 % 4 == 0 && deleted < growing.hour - 2 {
            for table in [&FLOWS, &LEDGER] {
                store.delete(&ten_epochs(deleted).name(table, 0).path()).await.unwrap();
                pause(5).await;
            }
            deleted += 1;
        }
    }
    deleted
}
