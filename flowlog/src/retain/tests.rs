use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{config::parse_period, store::layout::Dataset};

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

fn file(dataset: Dataset, gateway: &str, window: Utc) -> ObjectMeta {
    object(&ObjectName::new(dataset, gateway, window, Duration::from_mins(5)).path())
}

fn plan_at(objects: &[ObjectMeta], at: &str) -> RetentionPlan {
    plan(objects, &parse_period("90d").unwrap(), utc(at), None)
}

#[test]
fn a_partition_goes_at_its_end_and_the_period_and_not_a_moment_earlier() {
    let objects = [file(Dataset::Flows, "gw1", utc("2026-01-01T00:55:00Z"))];
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
            Dataset::ALL.map(|dataset| file(dataset, "gw1", window))
        })
        .collect();
    // Ninety days and twelve hours after the beginning: eleven hours ended ninety days ago.
    let plan = plan_at(&objects, "2026-04-01T11:30:00Z");
    let planned: Vec<_> =
        plan.expired.iter().map(|e| (e.partition.hour, e.partition.dataset)).collect();
    let expected: Vec<_> = (0..11)
        .flat_map(|hour| Dataset::ALL.map(|dataset| (begin.plus(HOUR * hour), dataset)))
        .collect();
    assert_eq!(planned, expected);
    assert_eq!(plan.kept_files, objects.len() - 22);
}

#[test]
fn what_has_no_readable_time_is_reported_and_kept() {
    let ours = file(Dataset::Flows, "gw1", utc("2020-01-01T00:00:00Z"));
    let foreign = Path::from(ours.location.as_ref().replace("-0.parquet", "-0.parquet.bak"));
    let plan = plan_at(&[ours.clone(), object(&foreign)], "2026-01-01T00:00:00Z");
    assert_eq!(plan.foreign, [foreign]);
    assert_eq!(plan.expired[0].files, [ours.location]);
}

#[test]
fn another_gateway_is_left_alone_when_one_is_named() {
    let objects = ["gw1", "gw2"].map(|g| file(Dataset::Flows, g, utc("2020-01-01T00:00:00Z")));
    let plan =
        plan(&objects, &parse_period("1y").unwrap(), utc("2026-01-01T00:00:00Z"), Some("gw2"));
    assert_eq!(plan.expired.len(), 1);
    assert_eq!(plan.expired[0].partition.gateway, "gw2");
}

#[tokio::test]
async fn a_second_run_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let old = ObjectName::new(Dataset::Flows, "gw1", utc("2020-01-01T00:00:00Z"), HOUR);
    let young = ObjectName::new(Dataset::Flows, "gw1", utc("2026-01-01T00:00:00Z"), HOUR);
    for name in [&old, &young] {
        store.replace(&name.path(), &Bytes::from_static(b"rows")).await.unwrap();
    }
    std::fs::write(directory.path().join("notes.txt"), "ours to keep").unwrap();
    let keep = parse_period("90d").unwrap();
    for expected in [1, 0] {
        let plan = plan(&store.list().await.unwrap(), &keep, utc("2026-01-02T00:00:00Z"), None);
        assert_eq!(plan.foreign, [Path::from("notes.txt")]);
        let mut deleted = 0;
        run(&store, &plan, |_| deleted += 1).await.unwrap();
        assert_eq!(deleted, expected);
    }
    let left: Vec<_> = store.list().await.unwrap().into_iter().map(|o| o.location).collect();
    assert_eq!(left, [young.path(), Path::from("notes.txt")]);
}
