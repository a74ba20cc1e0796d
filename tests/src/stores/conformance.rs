//! What every store has to do, whatever it is.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use flowlog::{
    record::clock::Utc,
    store::{Created, Error, Kind, Mismatch, Store},
    table::{FLOWS, LEDGER, ObjectName},
};
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use object_store::path::Path;

use super::Backend;

const LARGE: usize = 20 << 20;

/// Runs the whole list on a store that is empty.
pub async fn conforms(backend: &Backend) {
    let store = &backend.open();
    store.probe("gw-1").await.unwrap();
    assert_eq!(store.list().await.unwrap(), [], "a probe leaves nothing behind");
    a_name_is_given_once(store).await;
    of_many_creators_one_wins(store).await;
    a_replaced_object_is_seen_whole(store).await;
    what_is_missing_is_named(store).await;
    what_is_not_there_or_is_damaged_is_not_confirmed(store).await;
    deleting_twice_is_deleting(store).await;
    large_files_go_in_parts(store).await;
    many_objects_are_listed_in_order(store, backend.listed).await;
}

async fn a_name_is_given_once(store: &Store) {
    let name = path("once", 0);
    assert_eq!(create(store, &name, "first").await, Created::New);
    assert_eq!(create(store, &name, "first").await, Created::Again);
    assert_eq!(create(store, &name, "other").await, Created::Taken);
    assert_eq!(create(store, &name, "longer than first").await, Created::Taken);
    assert_eq!(store.read(&name).await.unwrap(), "first");
    assert_eq!(names(store, "once").await, [name.to_string()]);
}

async fn of_many_creators_one_wins(store: &Store) {
    let name = path("race", 0);
    let creators = (0..32).map(|creator| {
        let name = name.clone();
        async move { (creator, create(store, &name, &format!("creator {creator}")).await) }
    });
    let outcomes = join_all(creators).await;
    let winners: Vec<_> = outcomes.iter().filter(|(_, created)| *created == Created::New).collect();
    let [(winner, _)] = winners[..] else { panic!("{} of 32 won", winners.len()) };
    let lost = outcomes.iter().filter(|(_, created)| *created == Created::Taken).count();
    assert_eq!(lost, 31, "{outcomes:?}");
    assert_eq!(store.read(&name).await.unwrap(), format!("creator {winner}"));
}

async fn a_replaced_object_is_seen_whole(store: &Store) {
    let name = path("replaced", 0);
    // In one piece and in parts, growing and shrinking.
    let sizes = [1, 300_000, 5, 9 << 20, 70_000, 17 << 20, 9 << 20, 100];
    let replace = async |version: usize, size| {
        let file = vec![u8::try_from(version).unwrap(); size];
        store.replace(&name, &Bytes::from(file)).await.unwrap();
        assert_eq!(store.read(&name).await.unwrap().len(), size, "what was just put");
    };
    replace(0, sizes[0]).await;
    let is_over = std::cell::Cell::new(false);
    let write = async {
        for (version, size) in sizes.into_iter().enumerate().skip(1) {
            replace(version, size).await;
        }
        is_over.set(true);
    };
    let read = async {
        let mut latest = 0;
        while !is_over.get() {
            let seen = store.read(&name).await.unwrap();
            let version = usize::from(seen[0]);
            let is_whole = seen.len() == sizes[version] && seen.iter().all(|b| *b == seen[0]);
            assert!(is_whole, "{} bytes of version {version}", seen.len());
            assert!(version >= latest, "version {version} after {latest}");
            latest = version;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    futures::future::join(write, read).await;
    assert_eq!(names(store, "replaced").await, [name.to_string()]);
}

async fn what_is_missing_is_named(store: &Store) {
    let missing = store.read(&path("missing", 0)).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::Missing, "{missing:?}");
}

async fn what_is_not_there_or_is_damaged_is_not_confirmed(store: &Store) {
    let name = path("confirmed", 0);
    let file = Bytes::from_static(b"twelve bytes");
    let found = async |thorough| match store.confirm(&name, &file, thorough).await {
        Ok(()) => None,
        Err(Error::Unconfirmed { found, .. }) => Some(found),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(found(false).await, Some(Mismatch::Nothing));
    assert_eq!(store.create_object(&name, &file).await.unwrap(), Created::New);
    assert_eq!((found(false).await, found(true).await), (None, None));
    store.replace(&name, &Bytes::from_static(b"short")).await.unwrap();
    assert_eq!(found(false).await, Some(Mismatch::Size { is: 5, should_be: 12 }));
    store.replace(&name, &Bytes::from_static(b"twelve bites")).await.unwrap();
    assert_eq!((found(false).await, found(true).await), (None, Some(Mismatch::Bytes)));
}

async fn deleting_twice_is_deleting(store: &Store) {
    let name = path("deleted", 0);
    assert_eq!(create(store, &name, "gone").await, Created::New);
    for _ in 0..2 {
        store.delete(&name).await.unwrap();
        assert_eq!(names(store, "deleted").await, [""; 0]);
    }
    assert_eq!(create(store, &name, "new").await, Created::New);
}

async fn large_files_go_in_parts(store: &Store) {
    let name = path("large", 0);
    let file = pattern(LARGE, 1);
    assert_eq!(store.create_object(&name, &file).await.unwrap(), Created::New);
    assert_eq!(store.read(&name).await.unwrap(), file);
    store.confirm(&name, &file, true).await.unwrap();
    assert_eq!(store.create_object(&name, &file).await.unwrap(), Created::Again);
    let other = pattern(LARGE, 2);
    assert_eq!(store.create_object(&name, &other).await.unwrap(), Created::Taken);
    assert_eq!(store.read(&name).await.unwrap(), file);
    store.replace(&name, &other).await.unwrap();
    store.confirm(&name, &other, true).await.unwrap();
}

async fn many_objects_are_listed_in_order(store: &Store, count: u32) {
    let created: Vec<String> = stream::iter(0..count)
        .map(|part| async move {
            let name = path("listed", part);
            assert_eq!(create(store, &name, "listed").await, Created::New);
            name.to_string()
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let created: BTreeSet<_> = created.into_iter().collect();
    let listed = names(store, "listed").await;
    assert_eq!(listed.len(), count as usize);
    assert!(listed.iter().eq(created.iter()));
    for object in store.list_folder(FLOWS.name).await.unwrap().objects {
        assert!(ObjectName::parse(&object.location).is_some(), "{}", object.location);
    }
    assert_eq!(store.list_folder(LEDGER.name).await.unwrap().objects, []);
    let deleted: Vec<()> = stream::iter(0..count)
        .map(|part| async move { store.delete(&path("listed", part)).await })
        .buffer_unordered(16)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(deleted.len(), count as usize);
    assert_eq!(names(store, "listed").await, [""; 0]);
}

async fn create(store: &Store, name: &Path, content: &str) -> Created {
    store.create_object(name, &Bytes::from(content.to_owned())).await.unwrap()
}

/// The objects of a gateway.
async fn names(store: &Store, gateway: &str) -> Vec<String> {
    let of_gateway = format!("flows/gateway={gateway}/");
    let listed = store.list().await.unwrap().into_iter().map(|object| object.location.to_string());
    listed.filter(|name| name.starts_with(&of_gateway)).collect()
}

/// The path of a file of a gateway.
pub fn path(gateway: &str, part: u32) -> Path {
    let start = Utc::from_ms(1_795_341_300_000);
    let name = ObjectName::new(&FLOWS, gateway, start, Duration::from_mins(5));
    ObjectName { part, ..name }.path()
}

/// Bytes of which no two parts are equal.
pub fn pattern(size: usize, seed: u64) -> Bytes {
    let words = (seed << 32..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.take(size).collect()
}
