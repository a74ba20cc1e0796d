//! Stores and spools that are not as they should be: each oddity stands for itself.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use super::*;

#[test]
fn a_name_that_no_object_has_keeps_nothing_else() {
    for name in [&b"new\nline"[..], b"\xff", b"\x01\x7f", b"tab\t"] {
        for folder in ["flows", "flows/gateway=gw1", ""] {
            let store = Store::new();
            let odd = store.directory.path().join(folder).join(OsStr::from_bytes(name));
            fs::write(&odd, "somebody's").unwrap();
            let ended = store.run(&[]);
            assert_eq!(ended.code, DONE, "{name:?}: {ended:?}");
            assert!(!store.has_old() && odd.exists(), "{name:?}");
            assert!(ended.stdout.lines().any(|line| line.starts_with("kept  ")), "{ended:?}");
        }
    }
}

#[test]
fn a_link_is_reported_and_nothing_behind_it_is_deleted() {
    let store = Store::new();
    let outside = Store::new();
    let root = store.directory.path();
    symlink(".", root.join("flows/loop")).unwrap();
    let archive = outside.directory.path().join("flows/gateway=gw1");
    symlink(&archive, root.join("flows/gateway=archive")).unwrap();
    let behind = outside.file("flows", "gw1", "2020-01-01T00");
    let moved = store.file("flows", "gw1", "2020-01-03T00");
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    symlink(&behind, &moved).unwrap();
    let ended = store.run(&[]);
    assert!(outside.has_old() && !store.has_old(), "{ended:?}");
    // What is behind the two links may have expired, and is there: that is not done.
    assert_eq!(ended.code, FAILED, "{ended:?}");
    let not_deleted: Vec<_> =
        ended.stdout.lines().filter(|line| line.starts_with("NOT DELETED")).collect();
    assert_eq!(not_deleted.len(), 2, "{}", ended.stdout);
    assert!(not_deleted[0].contains("flows/gateway=archive"), "{not_deleted:?}");
    assert!(not_deleted[1].contains("date=2020-01-03"), "{not_deleted:?}");
    assert!(ended.stdout.contains("kept     flows/loop"), "{}", ended.stdout);
    assert!(moved.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn what_a_killed_put_left_goes_with_its_hour() {
    let store = Store::new();
    let beside = |path: PathBuf| PathBuf::from(format!("{}#1", path.display()));
    let old = beside(store.file("flows", "gw1", "2020-01-01T00"));
    let young = beside(store.file("flows", "gw1", &this_hour()));
    for path in [&old, &young] {
        fs::write(path, "half of it").unwrap();
    }
    let plan = store.run(&["--dry-run"]);
    assert!(plan.stdout.contains("20200101T000000Z-3600s-0.parquet#1"), "{}", plan.stdout);
    assert!(old.exists());
    assert_eq!(store.run(&[]).code, DONE);
    assert!(!old.exists() && young.exists());
}

#[test]
fn one_file_that_cannot_be_deleted_keeps_nothing_but_its_own_ledger() {
    let store = Store::new();
    let hours = ["2020-01-02T00", "2020-01-03T00"];
    let [held, held_ledger, flows, ledger] = [0, 1]
        .map(|hour| ["flows", "ledger"].map(|table| store.put(table, "gw1", hours[hour])))
        .concat()
        .try_into()
        .unwrap();
    let mount = |arguments: &[&Path]| {
        let mut command = Command::new(if arguments.len() == 2 { "mount" } else { "umount" });
        if arguments.len() == 2 {
            command.arg("--bind");
        }
        assert!(command.args(arguments).status().unwrap().success());
    };
    // A file that something is mounted on cannot be unlinked, not even by root.
    mount(&[&held, &held]);
    let ended = store.run(&[]);
    mount(&[&held]);
    assert_eq!(ended.code, FAILED, "{ended:?}");
    assert!(held.exists() && held_ledger.exists(), "the ledger proves what is left");
    assert!(!flows.exists() && !ledger.exists() && !store.has_old());
    assert!(ended.stdout.contains("NOT DELETED  flows/gateway=gw1/date=2020-01-02"), "{ended:?}");
    assert_eq!(store.run(&[]).code, DONE);
    assert!(!held.exists() && !held_ledger.exists());
}

#[test]
fn a_spool_that_cannot_be_looked_into_is_reported_after_the_work() {
    let store = Store::new();
    let ended = store.run(&["--spool", "/nonexistent/spool"]);
    assert_eq!(ended.code, FAILED, "{ended:?}");
    assert!(ended.stderr.contains("/nonexistent/spool"), "{}", ended.stderr);
    assert!(!store.has_old());
}
