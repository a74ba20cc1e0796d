use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use parquet::file::metadata::KeyValue;

use super::{Lease, TRIAL, encode};
use crate::{
    ask::{
        duckdb::duckdb,
        verify::{Depth, ForeignReason, ReadError, Report, verify},
    },
    keep::retain::{self, Inventory, Keep, Rule},
    record::{clock::Utc, period::parse_period},
    store::Store,
    table::{
        FLOWS, ObjectName, Partition, TABLES, folders, metadata::Description, reader::Fault,
        reference,
    },
};

const DAY: Duration = Duration::from_hours(24);
const MORNING: &str = "2026-11-26T09:00:00Z";
const PATH: &str = "trial/gateway=gw1/date=2026-11-26/20261126T000000Z-86400s-0.parquet";

fn utc(text: &str) -> Utc {
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn lease(prefix: &str) -> Lease {
    let held = (utc(MORNING), utc("2026-11-27T00:00:00Z"));
    Lease { prefix: prefix.to_owned(), held, continues: true, outer_port: None }
}

/// The pairs of a file of a gateway, of a day that has this instant.
pub fn pairs(gateway: &str, instant: &str, rows: usize) -> Vec<KeyValue> {
    let description = Description {
        lineage: instant,
        gateway,
        policy: "",
        start: utc(instant),
        window_ms: 86_400_000,
        epochs: "1-4".parse().unwrap(),
        numbering: "n",
    };
    description.pairs(&TRIAL, rows as u64)
}

/// A file of two rows.
fn file() -> Bytes {
    let rows = [lease("10.0.0.7/32"), lease("2001:db8:7::/56")];
    encode(&rows, |rows| pairs("gw1", MORNING, rows)).unwrap()
}

async fn store_with(files: &[(&str, &Bytes)]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    for (path, file) in files {
        store.replace(&Path::from(*path), file).await.unwrap();
    }
    (directory, store)
}

async fn verified(files: &[(&str, &Bytes)]) -> Report {
    let (_directory, store) = store_with(files).await;
    verify(&store, Depth::Pages, |_, _| ()).await.unwrap()
}

#[tokio::test]
async fn it_is_stored_by_days_and_listed() {
    let name = ObjectName::new(&TRIAL, "gw1", utc("2026-11-26T00:00:00Z"), DAY);
    assert_eq!(name.path().as_ref(), PATH);
    assert_eq!(name.partition, Partition::of(&TRIAL, "gw1", utc(MORNING)));
    assert_eq!(name.partition.end(), utc("2026-11-27T00:00:00Z"));
    let (_directory, store) = store_with(&[(PATH, &file())]).await;
    let listed = store.list_folder(&name.partition.folder()).await.unwrap().objects;
    assert_eq!(listed.len(), 1);
    assert_eq!(ObjectName::parse(&listed[0].location), Some(name));
    assert_eq!(store.gateways(&folders()).await.unwrap()[0].as_str(), "gw1");
    for foreign in [
        "trial/gateway=gw1/date=2026-11-26/hour=00/20261126T000000Z-86400s-0.parquet",
        "trial/gateway=gw1/date=2026-11-25/20261126T000000Z-86400s-0.parquet",
        "flows/gateway=gw1/date=2026-11-26/20261126T000000Z-86400s-0.parquet",
    ] {
        assert_eq!(ObjectName::parse(&Path::from(foreign)), None, "{foreign}");
    }
}

#[tokio::test]
async fn it_is_verified() {
    let report = verified(&[(PATH, &file())]).await;
    assert!(report.is_balanced() && report.unreadable.is_empty(), "{report:?}");
    assert_eq!(report.files, 1);
}

#[tokio::test]
async fn damage_and_a_later_version_of_it_are_named() {
    let file = file();
    let mut flipped = file.to_vec();
    flipped[file.len() / 2] ^= 1;
    let rows = [lease("10.0.0.7/32")];
    let later = encode(&rows, |_| {
        let mut pairs = pairs("gw1", MORNING, 1);
        pairs[0].value = Some("3".to_owned());
        pairs
    });
    let short = encode(&rows, |_| pairs("gw1", MORNING, 2));
    let [later, short] = [later.unwrap(), short.unwrap()];
    for (file, is_right) in [
        (&flipped.into(), (|fault| matches!(fault, Fault::Changed)) as fn(&Fault) -> bool),
        (&later, |fault| matches!(fault, Fault::Version(version) if version == "3")),
        (&short, |fault| matches!(fault, Fault::Rows { rows: 1, named: 2 })),
    ] {
        let report = verified(&[(PATH, file)]).await;
        let [(object, ReadError::File(fault))] = &report.unreadable[..] else {
            panic!("{report:?}")
        };
        assert!(object.as_ref() == PATH && is_right(fault), "{fault:?}");
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_another_is_foreign() {
    let file = file();
    for (path, reason) in [
        (PATH.replace("26", "25"), ForeignReason::Day(utc("2026-11-26T00:00:00Z"))),
        (PATH.replace("gw1", "gw2"), ForeignReason::Gateway("gw1".to_owned())),
        (PATH.replace("-0.", "-copy."), ForeignReason::Name),
        (PATH.replace("-0.", "-1."), ForeignReason::Copy(Path::from(PATH))),
    ] {
        let path = path.replace("2025", "2026");
        let report = verified(&[(PATH, &file), (&path, &file)]).await;
        let reasons: Vec<_> = report.foreign.iter().map(|foreign| &foreign.reason).collect();
        assert_eq!(reasons, [&reason], "{path}");
    }
}

#[tokio::test]
async fn duckdb_has_a_view_of_it() {
    let (_directory, store) = store_with(&[(PATH, &file())]).await;
    let sql = duckdb(&store, []).await.unwrap();
    let view = sql.lines().find(|line| line.contains("VIEW trial AS")).unwrap();
    assert!(view.contains("/trial/' || '*/' || '*' || '/*.parquet'"), "{view}");
    assert!(view.contains("hive_types = {'gateway': VARCHAR, 'date': DATE})"), "{view}");
    assert!(view.contains("CAST(NULL AS BOOLEAN) AS continues"), "{view}");
    assert!(sql.contains("MACRO trial_in(folders, gateway := NULL) AS TABLE"), "{sql}");
}

#[test]
fn it_is_documented() {
    let page = reference(TABLES);
    assert!(page.contains("| `trial` | 2 | day | `trial` | yes |"), "{page}");
    let (_, section) = page.split_once("## trial\n").unwrap();
    assert!(section.contains("| `continues` | BOOLEAN | whether it was held on |"), "{section}");
    let since = "| `start_slack_ms` | UINTEGER, may be null, since version 2 |";
    assert!(section.contains(since), "{section}");
}

#[tokio::test]
async fn it_expires_after_its_own_period() {
    let flows = ObjectName::new(&FLOWS, "gw1", utc(MORNING), Duration::from_hours(1)).path();
    let (_directory, store) =
        store_with(&[(PATH, &file()), (flows.as_ref(), &Bytes::from_static(b"rows"))]).await;
    let of_flows = Keep::flows(parse_period("30d").unwrap());
    let both = of_flows.clone().with(&TRIAL, parse_period("12mo").unwrap());
    let inventory = Inventory::of(&store).await.unwrap();
    let plan = |keep, at| {
        let at = utc(at);
        retain::plan(&inventory, &Rule { keep, at, now: at, gateways: None })
    };
    let folders = |keep, at| -> Vec<String> {
        plan(keep, at).expired.iter().map(|expired| expired.partition.folder()).collect()
    };
    let (trial, flows) =
        ("trial/gateway=gw1/date=2026-11-26", "flows/gateway=gw1/date=2026-11-26/hour=09");
    // A period of flows says nothing of another table, however old it is.
    assert_eq!(folders(&of_flows, "2040-01-01T00:00:00Z"), [flows]);
    assert_eq!(folders(&both, "2027-11-26T23:59:59Z"), [flows]);
    assert_eq!(folders(&both, "2027-11-27T00:00:00Z"), [trial, flows]);
    let done = retain::run(&store, &plan(&both, "2027-11-27T00:00:00Z"), |_| ()).await;
    assert_eq!((done.partitions, done.files, done.failed.len()), (2, 2, 0));
    assert!(store.list().await.unwrap().is_empty());
}
