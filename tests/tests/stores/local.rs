//! A local directory: what is on disk, and when.

use std::{path::Path, process::Command};

use bytes::Bytes;
use flowlog::store::{Created, Kind, Store};
use flowlog_tests::{
    SmallDisk, flowlog_binary,
    stores::{path, pattern},
};

/// What the kernel was asked, in its order: a call, and the path that it was about.
fn trace(arguments: &[&str], scratch: &Path) -> Vec<(String, String)> {
    let log = scratch.join("trace.log");
    let ended = Command::new("strace")
        .args(["--follow-forks", "--decode-fds=path", "--trace=fsync,%file", "--output"])
        .arg(&log)
        .arg(flowlog_binary())
        .args(arguments)
        .output()
        .expect("strace; run `cargo xtask setup`");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("takes files"), "{ended:?}");
    let log = std::fs::read_to_string(&log).unwrap();
    log.lines().filter_map(call).collect()
}

/// `123 fsync(7</store>) = 0`, `123 unlink("/store/x") = 0`
fn call(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once(' ')?;
    let (call, rest) = rest.trim_start().split_once('(')?;
    if !rest.ends_with("= 0") {
        return None;
    }
    let quote = |open: char, close: char| {
        let (_, path) = rest.rsplit_once(open)?;
        Some(path.split_once(close)?.0.to_owned())
    };
    let path = if call == "fsync" {
        quote('<', '>')?
    } else {
        // The last path: where a link or a rename leads. Names are within the folder before them.
        let (before, _) = rest.rsplit_once('"')?;
        let (before, name) = before.rsplit_once('"')?;
        let folder = before.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
        match folder {
            Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
            _ => name.to_owned(),
        }
    };
    Some((call.to_owned(), path))
}

#[test]
fn what_is_put_and_what_is_deleted_is_synced() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("store");
    // A probe puts, creates and deletes. Whatever else this machine lacks does not matter here.
    let store = directory.to_str().unwrap();
    let check = ["check", "--probe", "--profile", "flows", "--interface", "lo", "--store", store];
    let calls = trace(&check, scratch.path());
    let at = |wanted: &dyn Fn(&str, &str) -> bool| -> Vec<usize> {
        (0..calls.len()).filter(|i| wanted(&calls[*i].0, &calls[*i].1)).collect()
    };
    let is_staged = |path: &str| path.contains("/.flowlog-probe") && path.contains('#');
    let file_synced = at(&|call, path| call == "fsync" && is_staged(path));
    let directory_synced = at(&|call, path| call == "fsync" && path == store);
    let put = at(&|call, path| call.starts_with("rename") && path.contains("/.flowlog-probe"));
    let deleted = at(&|call, path| {
        call.starts_with("unlink") && path.contains("/.flowlog-probe") && !is_staged(path)
    });
    let [put, deleted] = [put, deleted].map(|found| {
        assert_eq!(found.len(), 1, "{calls:?}");
        found[0]
    });
    assert!(file_synced.iter().any(|at| *at < put), "bytes before the name: {calls:?}");
    assert!(directory_synced.iter().any(|at| (put..deleted).contains(at)), "{calls:?}");
    assert!(directory_synced.iter().any(|at| *at > deleted), "{calls:?}");
}

#[tokio::test]
async fn a_full_disk_is_named_and_no_temporary_file_stays() {
    let disk = SmallDisk::new("size=1m,mode=700");
    let store = Store::open(disk.path().to_str().unwrap()).unwrap();
    // In one piece and in parts.
    for (part, size) in [(0, 5 << 20), (1, 20 << 20)] {
        let object = path("gw-1", part);
        let full = store.create_object(&object, &pattern(size, 1)).await.unwrap_err();
        assert_eq!(full.kind(), Kind::Full, "{full:?}");
        assert!(!full.is_passing() && full.remedy().is_some());
        let full = store.replace(&object, &pattern(size, 1)).await.unwrap_err();
        assert_eq!(full.kind(), Kind::Full, "{full:?}");
        let small = Bytes::from_static(b"there is room for this");
        assert_eq!(store.create_object(&object, &small).await.unwrap(), Created::New);
        let full = store.replace(&object, &pattern(size, 1)).await.unwrap_err();
        assert_eq!(full.kind(), Kind::Full, "{full:?}");
        store.confirm(&object, &small, true).await.unwrap();
    }
    assert_eq!(store.list().await.unwrap().len(), 2);
    assert_eq!(store.sweep("gw-1").await.unwrap(), 0);
}
