use std::time::Duration;

use bytes::Bytes;
use flowlog_common::flow::Direction;

use super::*;
use crate::clock::Utc;
use crate::{
    encode,
    spool::{
        Files,
        files::merge,
        merge::Same,
        tests::{epoch, key, spool},
    },
};

const HOUR: Duration = Duration::from_hours(1);

/// A store with a window in which one flow sent two packets of 100 bytes, and `seen` were seen.
async fn store_with(seen: u64, datasets: &[Dataset]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let (spool, mut epochs) = spool();
    let mut drained = epoch(0, 10, &[(key(7), 1, Direction::Up)]);
    drained.flows_v4.values[0].packets_up = 2;
    drained.flows_v4.values[0].bytes_up = 200;
    let up = &mut drained.totals[0].1[0].seen;
    (up.packets, up.bytes) = (seen, seen * 100);
    let run = epochs.append(&drained, Duration::ZERO).unwrap();
    let mut files = Files::open(spool, &mut vec![]).unwrap();
    let path = files.place(&run.header.windows[0], &run.header).unwrap();
    files.add(merge(&[run], path, Same::Combine).unwrap());
    let encoded = encode::encode_file(&files.growing()[0], "gw1").unwrap();
    for dataset in datasets {
        let file = match dataset {
            Dataset::Flows => encoded.flows.clone().unwrap(),
            Dataset::Ledger => encoded.ledger.clone(),
        };
        put(&store, *dataset, &file).await;
    }
    (directory, store)
}

async fn put(store: &Store, dataset: Dataset, file: &Bytes) {
    let name = ObjectName::new(dataset, "gw1", Utc::from_ms(0), HOUR);
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
    let (_directory, store) = store_with(2, &Dataset::ALL).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.windows, report.files, report.rows, report.packets), (1, 2, 1, 2));
}

#[tokio::test]
async fn a_packet_that_was_seen_but_is_nowhere_is_named() {
    let (_directory, store) = store_with(3, &Dataset::ALL).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    let difference = &sums(&report)[0];
    assert_eq!((difference.check, difference.missing), (Check::Ledger, (1, 100)));
    let said = difference.to_string();
    assert!(said.contains("wg0") && said.contains("1970-01-01T00:00:00Z") && said.contains("up"));
}

#[tokio::test]
async fn a_lost_flow_file_and_one_without_a_ledger_are_named() {
    let (_directory, store) = store_with(2, &[Dataset::Ledger]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(sums(&report)[0].missing, (2, 200));
    let (_directory, store) = store_with(2, &[Dataset::Flows]).await;
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(sums(&report)[0].missing, (-2, -200));
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (directory, store) = store_with(2, &Dataset::ALL).await;
    let name = ObjectName::new(Dataset::Flows, "gw1", Utc::from_ms(0), HOUR);
    std::fs::write(directory.path().join(name.path().as_ref()), b"PAR1 but not really").unwrap();
    let report = verify_patiently(&store, Depth::Sums, &[1], |_, _| ()).await.unwrap();
    assert_eq!(report.unreadable[0].0, name.path());
}
