use std::time::Duration;

use bytes::Bytes;

use object_store::ObjectMeta;

use super::*;
use crate::{
    record::{clock::ClockQuality, period::parse_period},
    store::Listing,
    table::{LEDGER, Table},
};

const HOUR: Duration = Duration::from_hours(1);

fn utc(text: &str) -> Utc {
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn object(path: &Path) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
        size: 10,
        e_tag: None,
        version: None,
    }
}

fn file(table: &'static Table, gateway: &str, window: Utc) -> ObjectMeta {
    object(&ObjectName::new(table, gateway, window, Duration::from_mins(5)).path())
}

fn inventory(objects: &[ObjectMeta]) -> Inventory {
    let listing = Listing { objects: objects.to_vec(), oddities: vec![] };
    Inventory { listing, ..Inventory::default() }
}

fn plan_at(objects: &[ObjectMeta], at: &str) -> RetentionPlan {
    plan_of(&inventory(objects), "90d", at, None)
}

fn plan_of(
    inventory: &Inventory,
    keep: &str,
    at: &str,
    gateways: Option<&[Scope]>,
) -> RetentionPlan {
    let at = utc(at);
    let keep = Keep::flows(parse_period(keep).unwrap());
    plan(inventory, &Rule { keep: &keep, at, now: at, gateways })
}

#[test]
fn a_partition_goes_at_its_end_and_the_period_and_not_a_moment_earlier() {
    let objects = [file(&FLOWS, "gw1", utc("2026-01-01T00:55:00Z"))];
    assert_eq!(plan_at(&objects, "2026-04-01T00:59:59.999Z").expired.len(), 0);
    assert_eq!(plan_at(&objects, "2026-04-01T01:00:00Z").expired.len(), 1);
}

#[test]
fn exactly_the_expired_hours_of_a_hundred_days_are_planned() {
    let begin = utc("2026-01-01T00:00:00Z");
    let hours = 100 * 24;
    let objects: Vec<_> = (0..hours)
        .flat_map(|hour| {
            let window = begin.plus(HOUR * hour);
            [&FLOWS, &LEDGER].map(|table| file(table, "gw1", window))
        })
        .collect();
    // Ninety days and twelve hours after the beginning: eleven hours ended ninety days ago.
    let plan = plan_at(&objects, "2026-04-01T11:30:00Z");
    let planned: Vec<_> =
        plan.expired.iter().map(|e| (e.partition.start, e.partition.table)).collect();
    let expected: Vec<_> = (0..11)
        .flat_map(|hour| [&FLOWS, &LEDGER].map(|table| (begin.plus(HOUR * hour), table)))
        .collect();
    assert_eq!(planned, expected);
    assert_eq!(plan.kept_files, objects.len() - 22);
}

#[test]
fn what_has_no_readable_time_is_reported_and_kept() {
    let ours = file(&FLOWS, "gw1", utc("2020-01-01T00:00:00Z"));
    let foreign = Path::from(ours.location.as_ref().replace("-0.parquet", "-0.parquet.bak"));
    let plan = plan_at(&[ours.clone(), object(&foreign)], "2026-01-01T00:00:00Z");
    assert_eq!(plan.foreign, [foreign]);
    assert_eq!(plan.expired[0].files, [ours.location]);
}

#[test]
fn another_gateway_is_left_alone_when_one_is_named() {
    let objects = ["gw1", "gw2"].map(|g| file(&FLOWS, g, utc("2020-01-01T00:00:00Z")));
    let only = ["gw2".parse().unwrap()];
    let plan = plan_of(&inventory(&objects), "1y", "2026-01-01T00:00:00Z", Some(&only));
    assert_eq!(plan.expired.len(), 1);
    assert_eq!(plan.expired[0].partition.gateway, "gw2");
}

#[tokio::test]
async fn a_second_run_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let old = ObjectName::new(&FLOWS, "gw1", utc("2020-01-01T00:00:00Z"), HOUR);
    let young = ObjectName::new(&FLOWS, "gw1", utc("2026-01-01T00:00:00Z"), HOUR);
    for name in [&old, &young] {
        store.replace(&name.path(), &Bytes::from_static(b"rows")).await.unwrap();
    }
    std::fs::write(directory.path().join("notes.txt"), "ours to keep").unwrap();
    for expected in [1, 0] {
        let inventory = Inventory::of(&store).await.unwrap();
        let plan = plan_of(&inventory, "90d", "2026-01-02T00:00:00Z", None);
        assert_eq!(plan.foreign, [Path::from("notes.txt")]);
        let mut deleted = 0;
        let done = run(&store, &plan, |_| deleted += 1).await;
        assert!(done.failed.is_empty());
        assert_eq!((deleted, done.partitions, done.files), (expected, expected, expected));
    }
    let left: Vec<_> = store.list().await.unwrap().into_iter().map(|o| o.location).collect();
    assert_eq!(left, [young.path(), Path::from("notes.txt")]);
}

const NOW: &str = "2026-11-27T12:00:00Z";

/// A file of an hour that was last modified at an instant.
fn modified(hour: &str, modified: &str) -> ObjectMeta {
    let modified = utc(modified);
    let time = std::time::SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(modified.ms()).unwrap());
    ObjectMeta { last_modified: time.into(), ..file(&FLOWS, "gw1", utc(hour)) }
}

#[test]
fn what_was_counted_by_a_clock_in_1970_or_2036_is_dated_by_its_last_modification() {
    for hour in ["1970-01-01T00:00:00Z", "2036-11-27T00:00:00Z"] {
        let minute_ago = modified(hour, "2026-11-27T11:59:00Z");
        let plan = plan_at(std::slice::from_ref(&minute_ago), NOW);
        assert_eq!((plan.expired.len(), plan.kept_files), (0, 1), "{hour}");
        assert_eq!(plan.misdated[0].date, Date::Estimated(utc("2026-11-27T11:59:00Z")));
        // And it goes in its time.
        assert_eq!(plan_at(&[minute_ago], "2027-02-26T00:00:00Z").expired.len(), 1, "{hour}");
    }
}

#[test]
fn what_nothing_is_true_of_goes_a_period_after_it_was_first_seen() {
    let object = modified("1970-01-01T00:00:00Z", "1970-01-01T00:05:00Z");
    let mut inventory = inventory(&[object]);
    let plan = plan_of(&inventory, "90d", NOW, None);
    assert_eq!((plan.expired.len(), plan.misdated[0].date), (0, Date::Unknown));
    let keep = Keep::flows(parse_period("90d").unwrap());
    let rule = Rule { keep: &keep, at: utc(NOW), now: utc(NOW), gateways: None };
    inventory.memory = inventory.remember(&rule, false, None, &plan);
    let expired = |at| plan_of(&inventory, "90d", at, None).expired.len();
    assert_eq!(expired("2027-02-25T11:59:59Z"), 0);
    assert_eq!(expired("2027-02-25T12:00:00Z"), 1);
}

#[test]
fn hours_that_a_clock_named_before_it_was_corrected_go_a_period_after_that() {
    let wrong = modified("2024-01-01T00:00:00Z", "2024-01-01T00:05:00Z");
    let older = modified("2023-12-31T22:00:00Z", "2023-12-31T23:00:00Z");
    let mut inventory = inventory(&[older.clone(), wrong]);
    let gateways = ["gw1".parse().unwrap()];
    let (from, until) = (utc("2024-01-01T00:03:00Z"), utc("2024-01-01T00:06:00Z"));
    inventory.misdate(&gateways, from, until, utc(NOW));
    let plan = plan_of(&inventory, "90d", NOW, None);
    assert_eq!(plan.expired.len(), 1);
    assert_eq!(plan.expired[0].files, [older.location]);
    assert_eq!(plan_of(&inventory, "90d", "2027-02-25T12:00:00Z", None).expired.len(), 2);
}

#[test]
fn what_is_ahead_of_the_clock_is_reported_and_no_reason_to_delete_anything_else() {
    let ahead = modified("2026-11-28T12:00:00Z", "2026-11-27T11:59:00Z");
    let now = modified("2026-11-27T12:00:00Z", "2026-11-27T11:59:00Z");
    let old = modified("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    let inventory = inventory(&[ahead.clone(), now, old.clone()]);
    let plan = plan_of(&inventory, "90d", NOW, None);
    assert_eq!(plan.expired.len(), 1);
    assert_eq!(plan.expired[0].files, [old.location]);
    assert_eq!(plan.misdated.iter().map(|m| &m.path).collect::<Vec<_>>(), [&ahead.location]);
    assert_eq!(inventory.newest(None, utc(NOW)), Some(utc("2026-11-27T12:00:00Z")));
}

#[test]
fn a_clock_that_jumps_and_records_is_refused_again_and_again() {
    let quality = ClockQuality { synchronised: false, max_error: Duration::from_secs(16) };
    let keep = Keep::flows(parse_period("90d").unwrap());
    let record = |hour| modified(hour, hour);
    let mut inventory = inventory(&[record("2026-11-27T11:00:00Z")]);
    for hour in ["2036-11-27T12:00:00Z", "2036-11-27T13:00:00Z", "2036-11-28T00:00:00Z"] {
        let now = utc(hour);
        let newest = inventory.newest(None, now);
        assert_eq!(newest, Some(utc("2026-11-27T11:00:00Z")));
        assert!(guard::clock_guard(now, quality, newest).is_refusal(), "{hour}");
        let rule = Rule { keep: &keep, at: now, now, gateways: None };
        inventory.memory = inventory.remember(&rule, true, newest, &plan(&inventory, &rule));
        inventory.listing.objects.push(record(hour));
    }
    // Set right, it goes on at once.
    let now = utc("2026-11-27T13:00:00Z");
    assert!(!guard::clock_guard(now, quality, inventory.newest(None, now)).is_refusal());
}

#[test]
fn a_name_ahead_of_its_own_last_modification_is_no_record_in_a_directory() {
    let object = modified("2036-11-27T12:00:00Z", "2026-11-27T11:59:00Z");
    let now = utc("2036-11-27T12:30:00Z");
    let mut inventory = inventory(&[object]);
    assert_eq!(inventory.newest(None, now), None);
    inventory.has_own_clock = true;
    assert_eq!(inventory.newest(None, now), Some(utc("2036-11-27T12:00:00Z")));
}

fn odd(path: &str) -> Oddity {
    Oddity { path: path.to_owned(), reason: "a link".to_owned() }
}

#[test]
fn a_link_in_the_place_of_something_that_has_expired_is_not_called_deleted() {
    let mut inventory = inventory(&[]);
    let expired = "flows/gateway=gw1/date=2020-01-01/hour=00";
    let hiding = [
        "flows",
        "ledger/gateway=archive",
        "flows/gateway=gw1/date=2020-01-01",
        expired,
        &format!("{expired}/20200101T000000Z-3600s-0.parquet"),
    ];
    let harmless = [
        "loop",
        "flows/loop",
        "flows/new\\nline",
        "flows/gateway=gw1/date=2026-11-27",
        "flows/gateway=gw1/date=2026-11-27/hour=11/20261127T110000Z-3600s-0.parquet",
        &format!("{expired}/notes"),
        "notes//x",
    ];
    inventory.listing.oddities = hiding.iter().chain(&harmless).map(|path| odd(path)).collect();
    let plan = plan_of(&inventory, "90d", NOW, None);
    let paths = |oddities: &[Oddity]| oddities.iter().map(|o| o.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&plan.undeletable), hiding);
    assert_eq!(paths(&plan.odd), harmless);
}

#[test]
fn what_was_never_finished_goes_with_its_hour() {
    let staged = |path: &str, modified: &str| Staged {
        path: path.to_owned(),
        modified: utc(modified),
        bytes: 10,
        gateway: Some("gw1".parse().unwrap()),
    };
    let old = "flows/gateway=gw1/date=2020-01-01/hour=00/20200101T000000Z-3600s-0.parquet#1";
    let young = "flows/gateway=gw1/date=2026-11-27/hour=11/20261127T110000Z-3600s-0.parquet#1";
    let mut inventory = inventory(&[]);
    inventory.staged = vec![
        staged(old, NOW),
        staged(young, "2020-01-01T00:00:00Z"),
        staged(".flowlog-probe-gw1#1", "2020-01-01T00:00:00Z"),
        staged(".flowlog-probe-gw1#2", NOW),
    ];
    let plan = plan_of(&inventory, "90d", NOW, None);
    let paths: Vec<_> = plan.staged.iter().map(|staged| staged.path.as_str()).collect();
    assert_eq!(paths, [old, ".flowlog-probe-gw1#1"]);
    let others = ["gw2".parse().unwrap()];
    assert!(plan_of(&inventory, "90d", NOW, Some(&others)).staged.is_empty());
}

#[test]
fn under_a_former_name_goes_what_was_recorded_before_it_was_given_up() {
    let record = |hour| file(&FLOWS, "gw-old", utc(hour));
    let own = record("2026-01-01T10:00:00Z");
    let of_another = record("2026-01-01T12:00:00Z");
    let given_up = utc("2026-01-01T11:30:00Z");
    let scopes = ["gw-new".parse().unwrap(), Scope::former("gw-old".parse().unwrap(), given_up)];
    let inventory = inventory(&[own.clone(), of_another]);
    let plan = plan_of(&inventory, "90d", NOW, Some(&scopes));
    assert_eq!(plan.expired.len(), 1);
    assert_eq!(plan.expired[0].files, [own.location]);
}
