use std::time::Duration;

use flowlog_common::{
    flow::{FlowCounters, FlowKeyV4, detail},
    total::Totals,
};

use super::*;
use crate::{
    aggregate::window::Window,
    capture::presence::Observed,
    clock::Offset,
    drain::{Entries, Epoch},
    encode::{self, Provenance},
};

/// A window in which one flow sent two packets of 100 bytes, and `seen` packets were seen.
fn window(seen: u64) -> Window {
    let mut totals = [Totals::default(); 2];
    totals[0].seen.add(seen, seen * 100);
    let observed = Observed {
        slot: 0,
        name: "wg0".to_owned(),
        from: 0,
        to: 1_000,
        interruptions: 0,
        was_counted: true,
    };
    let key = FlowKeyV4 {
        member: [10, 0, 0, 7],
        remote: [192, 0, 2, 1],
        member_port: [1, 2],
        remote_port: [0, 53],
        interface: 0,
        protocol: 17,
        detail: detail::FULL,
    };
    let counters = FlowCounters { packets_up: 2, bytes_up: 200, ..FlowCounters::default() };
    let mut window = Window::new(Utc::from_ms(0), Duration::from_mins(5));
    let epoch = Epoch {
        opened: Utc::from_ms(0),
        closed: Utc::from_ms(10_000),
        offset: Offset::from_ns(0),
        flows_v4: Entries { keys: vec![key], values: vec![counters] },
        flows_v6: Entries::default(),
        overflow_v4: Entries::default(),
        overflow_v6: Entries::default(),
        totals: vec![(observed, totals)],
    };
    window.merge(&epoch, Duration::ZERO);
    window
}

async fn store_with(window: &Window, datasets: &[Dataset]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let from = Provenance { gateway: "gw1".to_owned(), policy: "00".to_owned() };
    for dataset in datasets {
        let file = match dataset {
            Dataset::Flows => encode::encode_flows(window, &from).unwrap(),
            Dataset::Ledger => encode::encode_ledger(window, &from).unwrap(),
        };
        let name = ObjectName::new(*dataset, "gw1", window.start(), window.length());
        store.publish(name, &file).await.unwrap();
    }
    (directory, store)
}

#[tokio::test]
async fn a_store_that_holds_every_packet_balances() {
    let (_directory, store) = store_with(&window(2), &Dataset::ALL).await;
    let report = verify(&store, |_, _| ()).await.unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.windows, report.files, report.rows, report.packets), (1, 2, 1, 2));
}

#[tokio::test]
async fn a_packet_that_was_seen_but_is_nowhere_is_named() {
    let (_directory, store) = store_with(&window(3), &Dataset::ALL).await;
    let report = verify(&store, |_, _| ()).await.unwrap();
    let difference = &report.differences[0];
    assert_eq!((difference.what, difference.missing), (What::Ledger, (1, 100)));
    let said = difference.to_string();
    assert!(said.contains("wg0") && said.contains("1970-01-01T00:00:00Z") && said.contains("up"));
}

#[tokio::test]
async fn a_lost_flow_file_and_one_without_a_ledger_are_named() {
    let (_directory, store) = store_with(&window(2), &[Dataset::Ledger]).await;
    let report = verify(&store, |_, _| ()).await.unwrap();
    assert_eq!(report.differences[0].missing, (2, 200));
    let (_directory, store) = store_with(&window(2), &[Dataset::Flows]).await;
    let report = verify(&store, |_, _| ()).await.unwrap();
    assert_eq!(report.differences[0].missing, (-2, -200));
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let (directory, store) = store_with(&window(2), &Dataset::ALL).await;
    let name = ObjectName::new(Dataset::Flows, "gw1", Utc::from_ms(0), Duration::from_mins(5));
    std::fs::write(directory.path().join(name.path().as_ref()), b"PAR1 but not really").unwrap();
    let report = verify(&store, |_, _| ()).await.unwrap();
    assert_eq!(report.unreadable[0].0, name.path());
}
