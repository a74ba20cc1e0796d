//! Directories with what flowlog did not put there: it is named, left alone, and hides nothing.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    path::Path as FilePath,
};

use bytes::Bytes;
use flowlog::store::{Error, Kind, Store};
use flowlog_tests::{
    flowlog_binary,
    stores::{Backend, path},
};
use nix::{sys::stat::Mode, unistd::mkfifo};

const FILE: Bytes = Bytes::from_static(b"file");

fn backends() -> [Backend; 2] {
    [Backend::directory(), Backend::isolated_directory()]
}

#[tokio::test]
async fn whatever_is_odd_is_named_and_hides_no_object() {
    for backend in backends() {
        let store = backend.open();
        store.replace(&path("gw-1", 0), &FILE).await.unwrap();
        let root = FilePath::new(&backend.location);
        let flows = root.join("flows");
        for name in [&b"new\nline"[..], b"\xff", b"\x7f"] {
            fs::write(flows.join(OsStr::from_bytes(name)), "").unwrap();
        }
        fs::create_dir(flows.join(OsStr::from_bytes(b"tab\t"))).unwrap();
        fs::create_dir(root.join("lost+found")).unwrap();
        symlink(".", flows.join("loop")).unwrap();
        symlink("nowhere", flows.join("gateway=gone")).unwrap();
        mkfifo(&root.join("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        let mut deep = root.join("deep");
        (0..200).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).unwrap();
        let listing = store.survey().await.unwrap();
        let objects: Vec<_> = listing.objects.iter().map(|o| o.location.clone()).collect();
        assert_eq!(objects, [path("gw-1", 0)]);
        let named: Vec<_> = listing.oddities.iter().map(|oddity| oddity.path.as_str()).collect();
        let is_deep = |path: &&str| path.starts_with("deep/");
        assert_eq!(named.iter().filter(|path| is_deep(path)).count(), 1);
        let others: Vec<_> = named.into_iter().filter(|path| !is_deep(path)).collect();
        let expected = [
            "fifo",
            "flows/\\u{7f}",
            "flows/\\xff",
            "flows/gateway=gone",
            "flows/loop",
            "flows/new\\nline",
            "flows/tab\\t",
            "socket",
        ];
        assert_eq!(others, expected);
    }
}

#[tokio::test]
async fn nothing_behind_a_link_is_read_replaced_or_deleted() {
    for backend in backends() {
        let store = backend.open();
        let [linked_file, linked_folder] = [path("gw-1", 0), path("gw-2", 0)];
        let outside = tempfile::tempdir().unwrap();
        let root = FilePath::new(&backend.location);
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let file = root.join(linked_file.as_ref());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        symlink(&secret, &file).unwrap();
        let moved = outside.path().join("gw-2");
        let within: FilePathBuf = linked_folder.as_ref().split('/').skip(2).collect();
        fs::create_dir_all(moved.join(&within).parent().unwrap()).unwrap();
        fs::write(moved.join(&within), "moved").unwrap();
        symlink(&moved, root.join("flows/gateway=gw-2")).unwrap();
        for object in [&linked_file, &linked_folder] {
            for error in [
                store.read(object).await.unwrap_err(),
                store.replace(object, &FILE).await.unwrap_err(),
                store.delete(object).await.unwrap_err(),
                store.confirm(object, &FILE, true).await.unwrap_err(),
            ] {
                assert!(error.is_odd() && error.kind() == Kind::Setup, "{error:?}");
                assert!(error.remedy().unwrap().contains("move it"), "{error:?}");
            }
        }
        for object in [&linked_file, &linked_folder] {
            let error = store.create_object(object, &FILE).await.unwrap_err();
            assert!(error.is_odd(), "{error:?}");
        }
        assert!(file.symlink_metadata().unwrap().is_symlink());
        assert_eq!(store.sweep("gw-2").await.unwrap(), 0);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(fs::read_to_string(moved.join(&within)).unwrap(), "moved");
    }
}

type FilePathBuf = std::path::PathBuf;

#[tokio::test]
async fn a_lock_that_is_a_link_or_a_fifo_is_refused_and_nothing_waits_for_it() {
    for backend in backends() {
        let store = backend.open();
        let root = FilePath::new(&backend.location);
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path().join("made"), root.join(".flowlog-gw-1.lock")).unwrap();
        mkfifo(&root.join(".flowlog-gw-2.lock"), Mode::S_IRWXU).unwrap();
        for gateway in ["gw-1", "gw-2"] {
            let error = store.lock(gateway).await.unwrap_err();
            assert!(error.is_odd(), "{error:?}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_name_that_leads_out_of_the_store_is_no_gateway() {
    for backend in backends() {
        let store = backend.open();
        for gateway in ["../x", "/tmp/x", "..", "", "a/b"] {
            let refusals = [
                store.lock(gateway).await.map(drop).unwrap_err(),
                store.probe(gateway).await.unwrap_err(),
                store.sweep(gateway).await.map(drop).unwrap_err(),
            ];
            assert!(refusals.iter().all(|error| matches!(error, Error::Gateway { .. })));
        }
        assert_eq!(fs::read_dir(&backend.location).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_was_being_written_is_swept_by_its_own_gateway_only() {
    for backend in backends() {
        let store = backend.open();
        let staged = |gateway: &str| {
            let object = format!("{}/{}#1", backend.location, path(gateway, 0));
            fs::create_dir_all(FilePath::new(&object).parent().unwrap()).unwrap();
            let probe = format!("{}/.flowlog-probe-{gateway}#1", backend.location);
            [object, probe].map(|path| {
                fs::write(&path, "half").unwrap();
                path
            })
        };
        let [ours, theirs] = [staged("gw1"), staged("gw10")];
        assert_eq!(store.staged().await.unwrap().len(), 4);
        assert_eq!(store.list().await.unwrap(), []);
        assert_eq!(store.sweep("gw1").await.unwrap(), 2);
        assert!(ours.iter().all(|path| !FilePath::new(path).exists()));
        assert!(theirs.iter().all(|path| FilePath::new(path).exists()));
    }
}

#[tokio::test]
async fn what_was_being_written_is_removed_unless_its_gateway_is_at_work() {
    for backend in backends() {
        let store = backend.open();
        let object = format!("{}/{}#1", backend.location, path("gw-1", 0));
        fs::create_dir_all(FilePath::new(&object).parent().unwrap()).unwrap();
        fs::write(&object, "half").unwrap();
        let staged = store.staged().await.unwrap();
        assert_eq!(staged[0].gateway.as_ref().unwrap(), &"gw-1");
        assert_eq!(staged[0].bytes, 4);
        let daemon = backend.open();
        let lock = daemon.lock("gw-1").await.unwrap();
        assert!(!store.remove_staged(&staged[0]).await.unwrap());
        assert!(FilePath::new(&object).exists());
        drop(lock);
        assert!(store.remove_staged(&staged[0]).await.unwrap());
        assert_eq!(fs::read_dir(&backend.location).unwrap().count(), 0, "and its folders");
    }
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_reported_and_used() {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    for backend in backends() {
        let store = backend.open();
        assert_eq!(store.inspect().await.unwrap(), []);
        chown(&backend.location, Some(12_345), None).unwrap();
        fs::set_permissions(&backend.location, fs::Permissions::from_mode(0o777)).unwrap();
        let odd = store.inspect().await.unwrap();
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert!(odd[0].reason.contains("12345") && odd[1].reason.contains("chmod"), "{odd:?}");
        store.replace(&path("gw-1", 0), &FILE).await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_is_mounted_again_is_used_with_the_lock() {
    let opened: [fn(&str) -> Store; 2] = [
        |location| Store::open(location).unwrap(),
        |location| Store::open_isolated_by(location, &flowlog_binary()).unwrap(),
    ];
    for open in opened {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("store");
        fs::create_dir(&root).unwrap();
        let location = root.to_str().unwrap();
        let store = open(location);
        let _lock = store.lock("gw-1").await.unwrap();
        fs::rename(&root, scratch.path().join("old")).unwrap();
        fs::create_dir(&root).unwrap();
        store.replace(&path("gw-1", 0), &FILE).await.unwrap();
        assert!(root.join(path("gw-1", 0).as_ref()).exists());
        let other = Store::open(location).unwrap();
        assert_eq!(other.lock("gw-1").await.unwrap_err().kind(), Kind::Locked);
    }
}
