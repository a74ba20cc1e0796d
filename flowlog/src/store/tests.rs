use std::time::Duration;

use super::*;
use crate::clock::Utc;

fn window() -> ObjectName {
    ObjectName::new(Dataset::Flows, "gw1", Utc::from_ms(0), Duration::from_mins(5))
}

#[tokio::test]
async fn a_file_that_is_put_again_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let file = Bytes::from_static(b"rows");
    assert_eq!(store.publish(window(), &file).await.unwrap().part, 0);
    assert_eq!(store.publish(window(), &file).await.unwrap().part, 0);
    let other = Bytes::from_static(b"rows of a second run");
    assert_eq!(store.publish(window(), &other).await.unwrap().part, 1);
    assert_eq!(store.list_dataset(Dataset::Flows).await.unwrap().len(), 2);
    assert_eq!(store.read(&window().path()).await.unwrap(), file);
}

#[tokio::test]
async fn deleting_what_is_gone_is_no_error_and_leaves_no_folders() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    store.publish(window(), &Bytes::from_static(b"rows")).await.unwrap();
    store.delete(&window().path()).await.unwrap();
    store.delete(&window().path()).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_probe_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("new").to_str().unwrap()).unwrap();
    store.probe("gw1").await.unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

#[test]
fn what_is_no_store_is_refused() {
    for location in ["", "nonsense://x", "s3://"] {
        assert!(Store::open(location).is_err(), "{location}");
    }
}
