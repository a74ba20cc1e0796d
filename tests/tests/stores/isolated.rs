//! A store that another process uses: disks that hang, processes that end, and locks that stay.

use std::{
    path::{Path as FilePath, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flowlog::store::{Kind, Store};
use flowlog_tests::{HangingDisk, flowlog_binary, stores::path};
use nix::{sys::signal::Signal, unistd::Pid};

/// Longer than a sound disk takes.
const HANGING: Duration = Duration::from_millis(500);

fn open(directory: &FilePath) -> Store {
    Store::open_isolated_by(directory.to_str().unwrap(), &flowlog_binary()).unwrap()
}

/// The process that uses a store for us.
fn worker(directory: &FilePath) -> Pid {
    let ours = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |number: &i32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{number}/{name}"));
        let Ok(status) = read("status") else { return false };
        let is_child = status.lines().any(|line| line == format!("PPid:\t{ours}"));
        is_child && read("cmdline").is_ok_and(|line| line.contains("store-worker")) && {
            let files = std::fs::read_dir(format!("/proc/{number}/fd"));
            files.into_iter().flatten().flatten().any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|file| file.starts_with(directory))
            })
        }
    };
    Pid::from_raw(numbers.find(is_it).expect("a process that uses the store"))
}

async fn given_up<T>(question: impl Future<Output = T>) {
    assert!(tokio::time::timeout(HANGING, question).await.is_err(), "it was to hang");
}

#[tokio::test]
async fn a_put_that_was_given_up_is_done_before_a_later_one() {
    let disk = HangingDisk::new();
    for store in [open(disk.path()), Store::open(disk.path().to_str().unwrap()).unwrap()] {
        let object = path("gw-1", 0);
        let [first, given, second] = ["first", "given up", "second"].map(Bytes::from);
        store.replace(&object, &first).await.unwrap();
        disk.hang();
        given_up(store.replace(&object, &given)).await;
        // One that was given up before its turn is not done at all.
        given_up(store.replace(&path("gw-1", 1), &given)).await;
        let later = tokio::spawn({
            let (store, object, second) = (store.clone(), object.clone(), second.clone());
            async move { store.replace(&object, &second).await }
        });
        tokio::time::sleep(HANGING).await;
        disk.go_on();
        later.await.unwrap().unwrap();
        for _ in 0..10 {
            assert_eq!(store.read(&object).await.unwrap(), second);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(store.list().await.unwrap().len(), 1);
        store.delete(&object).await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hold_whoever_asks() {
    let disk = HangingDisk::new();
    disk.hang();
    let begin = Instant::now();
    let store = open(&disk.path().join("new"));
    given_up(store.lock("gw-1")).await;
    given_up(store.list()).await;
    drop(store);
    assert!(begin.elapsed() < 4 * HANGING, "{:?}", begin.elapsed());
    disk.go_on();
    // What hung lets go of the lock.
    let next = open(&disk.path().join("new"));
    let patience = Instant::now() + Duration::from_secs(10);
    while let Err(error) = next.lock("gw-1").await {
        assert_eq!(error.kind(), Kind::Locked);
        assert!(Instant::now() < patience, "{error:?}");
    }
}

#[tokio::test]
async fn a_process_that_ended_is_started_again_with_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let _lock = store.lock("gw-1").await.unwrap();
    let file = Bytes::from_static(b"file");
    store.replace(&path("gw-1", 0), &file).await.unwrap();
    nix::sys::signal::kill(worker(directory.path()), Signal::SIGKILL).unwrap();
    let ended = store.read(&path("gw-1", 0)).await.unwrap_err();
    assert!(ended.kind() == Kind::Away && ended.is_passing(), "{ended:?}");
    assert_eq!(store.read(&path("gw-1", 0)).await.unwrap(), file);
    let other = Store::open(directory.path().to_str().unwrap()).unwrap();
    assert_eq!(other.lock("gw-1").await.unwrap_err().kind(), Kind::Locked);
}

#[tokio::test]
async fn what_ends_a_daemon_does_not_end_the_process_and_its_end_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let lock = store.lock("gw-1").await.unwrap();
    let process = worker(directory.path());
    assert_eq!(nix::unistd::getpgid(Some(process)).unwrap(), process, "a group of its own");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        nix::sys::signal::kill(process, signal).unwrap();
    }
    store.replace(&path("gw-1", 0), &Bytes::from_static(b"file")).await.unwrap();
    assert_eq!(worker(directory.path()), process);
    // Standard streams, the socket and the directory; nothing that was open here.
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    assert!(files < 8, "{files} open files");
    drop(lock);
    drop(store);
    let gone = || !FilePath::new(&format!("/proc/{process}")).exists();
    assert!(gone(), "it ends with whoever asks");
    assert!(!directory.path().join(".flowlog-gw-1.lock").exists());
}

#[test]
fn nobody_else_has_a_use_for_the_process() {
    let ended = Command::new(flowlog_binary()).arg("store-worker").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("own use"), "{ended:?}");
    let help = Command::new(flowlog_binary()).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("store-worker"));
}

#[tokio::test]
async fn the_directory_is_made_by_the_process_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let scratch = tempfile::tempdir().unwrap();
    let directory: PathBuf = scratch.path().join("made/by/it");
    let store = open(&directory);
    assert!(!directory.exists());
    store.probe("gw-1").await.unwrap();
    let mode = directory.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
}
