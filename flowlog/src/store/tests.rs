use std::time::Duration;

use super::*;
use crate::{
    record::clock::Utc,
    table::{FLOWS, ObjectName},
};

fn window() -> ObjectName {
    ObjectName::new(&FLOWS, "gw1", Utc::from_ms(0), Duration::from_mins(5))
}

#[tokio::test]
async fn a_file_that_is_put_again_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let file = Bytes::from_static(b"rows");
    let path = window().path();
    assert_eq!(store.create_object(&path, &file).await.unwrap(), Created::New);
    assert_eq!(store.create_object(&path, &file).await.unwrap(), Created::Again);
    let other = Bytes::from_static(b"rows of a second run");
    assert_eq!(store.create_object(&path, &other).await.unwrap(), Created::Taken);
    assert_eq!(store.list_folder("flows").await.unwrap().objects.len(), 1);
    assert_eq!(store.read(&path).await.unwrap(), file);
}

#[tokio::test]
async fn deleting_what_is_gone_is_no_error_and_leaves_no_folders() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    let file = Bytes::from_static(b"rows");
    assert_eq!(store.create_object(&window().path(), &file).await.unwrap(), Created::New);
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
    // What keeps nothing, or what nobody can put to.
    for location in ["memory:///", "memory:///x", "http://host/x", "https://host/x", "ftp://host/x"]
    {
        let refused = Store::open(location).unwrap_err();
        let why = crate::telemetry::with_causes(&refused);
        assert!(why.contains("supported are a directory") && why.contains("s3://"), "{why}");
        assert_eq!(refused.kind(), Kind::Setup);
    }
}

#[tokio::test]
async fn a_gateway_has_one_writer_in_a_directory_and_readers_see_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let location = directory.path().to_str().unwrap();
    let [store, other] = [(); 2].map(|()| Store::open(location).unwrap());
    let lock = store.lock("gw1").await.unwrap();
    let refused = other.lock("gw1").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Locked);
    assert!(refused.to_string().contains("\"gw1\""), "{refused}");
    other.lock("gw2").await.unwrap();
    assert_eq!(store.list().await.unwrap(), []);
    drop(lock);
    other.lock("gw1").await.unwrap();
}

#[tokio::test]
async fn what_a_killed_put_left_behind_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().to_str().unwrap()).unwrap();
    let file = Bytes::from_static(b"rows");
    let ours = window().path();
    assert_eq!(store.create_object(&ours, &file).await.unwrap(), Created::New);
    let folder = directory.path().join(ours.as_ref()).parent().unwrap().to_owned();
    let other = directory.path().join("flows/gateway=gw2/date=1970-01-01/hour=00");
    std::fs::create_dir_all(&other).unwrap();
    let left = [folder.join("x.parquet#1"), folder.join("x.parquet#27")];
    let left = [left, [folder.join("../y#3"), directory.path().join(".flowlog-probe-gw1#1")]];
    let kept = [folder.join("notes#1a"), folder.join("notes#"), folder.join("1")];
    let kept = [kept, [other.join("z.parquet#1"), directory.path().join("q#1"), folder.join("n")]];
    for path in left.as_flattened().iter().chain(kept.as_flattened()) {
        std::fs::write(path, "half").unwrap();
    }
    assert_eq!(store.sweep("gw1").await.unwrap(), 4);
    assert!(left.as_flattened().iter().all(|path| !path.exists()));
    assert!(kept.as_flattened().iter().all(|path| path.exists()));
    assert_eq!(store.read(&ours).await.unwrap(), file);
    assert_eq!(store.sweep("gw1").await.unwrap(), 0);
    assert_eq!(store.sweep("nobody").await.unwrap(), 0);
}

#[test]
fn a_cloud_takes_the_variables_of_its_own_name_only() {
    // What is no duration is refused, unless it is somebody else's.
    let open = |name: &str| Store::open_with("s3://bucket", [(name.to_owned(), "none".to_owned())]);
    assert!(open("AWS_TIMEOUT").is_err());
    assert!(open("TIMEOUT").is_ok());
    assert!(open("AZURE_TIMEOUT").is_ok());
    for location in ["", "ftp://host/x", "s3://"] {
        let refused = Store::open_with(location, []).unwrap_err();
        assert_eq!(refused.kind(), Kind::Setup, "{location}");
    }
}

#[test]
fn an_answer_of_a_store_is_a_kind_of_failure() {
    let kind = |said: &str| {
        let source = object_store::Error::Generic { store: "S3", source: said.into() };
        Error::List { source: source.into() }.kind()
    };
    let status = "Server returned non-2xx status code: ";
    for (said, expected) in [
        ("503 Service Unavailable: <Code>SlowDown</Code>", Kind::Away),
        ("500 Internal Server Error: ", Kind::Away),
        ("429 Too Many Requests: ", Kind::Away),
        ("400 Bad Request: <Code>ExpiredToken</Code>", Kind::Expired),
        ("403 Forbidden: <Code>RequestTimeTooSkewed</Code>", Kind::Clock),
        ("400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>", Kind::Setup),
        ("404 Not Found: <Code>ContainerNotFound</Code>", Kind::NoBucket),
        ("403 Forbidden: <Code>AccessDenied</Code>", Kind::Denied),
        ("403 Forbidden: Signature not valid in the specified time frame", Kind::Expired),
        ("507 Insufficient Storage: ", Kind::Full),
        ("what nobody knows", Kind::Away),
    ] {
        assert_eq!(kind(&format!("{status}{said}")), expected, "{said}");
    }
    let (path, said) = ("rows".to_owned(), format!("{status}412 Precondition Failed: "));
    let changed = object_store::Error::Precondition { path, source: said.into() };
    assert_eq!(
        Error::Put { object: Path::from("rows"), source: changed.into() }.kind(),
        Kind::Away
    );
    let without_keys = "Error performing PUT http://169.254.169.254/latest/api/token in 5s";
    assert_eq!(kind(without_keys), Kind::NoCredentials);
}
