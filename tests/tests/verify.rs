//! What `flowlog verify` says of stores in which something is not as it was written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flowlog::record::clock::Utc;
use flowlog_tests::{Ended, files_under, flowlog, flowlog_binary, synthetic};
use serde_json::Value;

/// 2025-01-01T00:00:00Z.
const FIRST_MS: i64 = 1_735_689_600_000;

/// A store of five hours of a gateway.
fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    synthetic::write_hours(directory.path(), "gw-1", Utc::from_ms(FIRST_MS), 5, 3);
    directory
}

fn verify(store: &Path) -> Ended {
    flowlog(&["verify", "--store", store.to_str().unwrap()])
}

fn json(store: &Path) -> (i32, Value) {
    let ended = flowlog(&["verify", "--format", "json", "--store", store.to_str().unwrap()]);
    (ended.code, serde_json::from_str(&ended.stdout).unwrap())
}

fn files_of_hour(store: &Path, hour: u8) -> Vec<PathBuf> {
    let folder = format!("hour={hour:02}");
    files_under(store).into_iter().filter(|file| file.to_str().unwrap().contains(&folder)).collect()
}

#[test]
fn a_whole_store_is_balanced_at_any_depth() {
    let store = store();
    for more in [&[][..], &["--deep"]] {
        let arguments = [&["verify", "--store", store.path().to_str().unwrap()], more].concat();
        let ended = flowlog(&arguments);
        assert_eq!(ended.code, 0, "{}", ended.stdout);
        assert!(ended.stdout.starts_with("balanced: 5 windows"), "{}", ended.stdout);
    }
}

#[test]
fn a_directory_without_files_of_flowlog_is_no_balanced_store() {
    let store = store();
    let empty = tempfile::tempdir().unwrap();
    let flows = store.path().join("flows");
    for directory in [empty.path(), &flows] {
        let ended = verify(directory);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
        assert!(ended.stderr.contains("nothing to verify: no files of flowlog under"), "{ended:?}");
        assert!(!ended.stdout.contains("balanced"), "{}", ended.stdout);
        assert_eq!(json(directory).0, 1);
    }
}

#[test]
fn hours_that_are_missing_amid_others_are_named() {
    let store = store();
    for hour in [1, 2] {
        for file in files_of_hour(store.path(), hour) {
            fs::remove_file(file).unwrap();
        }
    }
    let (code, report) = json(store.path());
    assert_eq!(code, 1, "{report}");
    let missing = report["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 1, "{report}");
    let missing = missing[0].as_str().unwrap();
    for part in ["gateway gw-1: epochs 2 to 3", "2025-01-01T01:00:00Z", "2025-01-01T03:00:00Z"] {
        assert!(missing.contains(part), "{missing}");
    }
    let said = verify(store.path()).stdout;
    assert!(said.contains("NOT BALANCED: 1 ranges of epochs missing"), "{said}");
}

#[test]
fn a_copy_of_an_hour_is_foreign_wherever_it_is() {
    let store = store();
    let files = files_of_hour(store.path(), 2);
    for file in &files {
        let name = file.to_str().unwrap();
        let beside = name.replace("-0.parquet", "-1.parquet");
        let elsewhere = name.replace("hour=02", "hour=07").replace("T02", "T07");
        let others = name.replace("gateway=gw-1", "gateway=gw-2");
        let stray = file.with_file_name("copy.parquet").to_str().unwrap().to_owned();
        for copy in [beside, elsewhere, others, stray] {
            fs::create_dir_all(Path::new(&copy).parent().unwrap()).unwrap();
            fs::copy(file, copy).unwrap();
        }
    }
    let (code, report) = json(store.path());
    assert_eq!(code, 1, "{report}");
    let foreign: Vec<_> =
        report["foreign"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for reason in [
        "is a copy of",
        "it belongs to the hour",
        "it belongs to gateway gw-1",
        "gives no file this name",
    ] {
        assert_eq!(foreign.iter().filter(|line| line.contains(reason)).count(), 2, "{report}");
    }
    assert_eq!(report["double"].as_array().unwrap().len(), 0, "{report}");
}

#[test]
fn files_that_cannot_be_read_are_all_named_and_the_rest_is_added_up() {
    let store = store();
    let files = [files_of_hour(store.path(), 1), files_of_hour(store.path(), 3)].concat();
    let (_, sound) = json(store.path());
    for file in &files {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..].fill(0xa5);
        fs::write(file, bytes).unwrap();
    }
    let (code, report) = json(store.path());
    assert_eq!(code, 3, "{report}");
    assert_eq!(report["unreadable"].as_array().unwrap().len(), 4, "{report}");
    assert!(report["packets"].as_u64() < sound["packets"].as_u64());
    assert_eq!(report["windows"], 3);
    let said = verify(store.path());
    for file in files {
        let object = file.strip_prefix(store.path()).unwrap().to_str().unwrap();
        assert!(said.stdout.contains(object), "{object} is not in {}", said.stdout);
    }
}

#[test]
fn a_lost_file_of_flows_is_a_difference_whoever_reads_of_it() {
    let store = store();
    let flows = files_of_hour(store.path(), 2)
        .into_iter()
        .find(|f| f.to_str().unwrap().contains("/flows/"));
    fs::remove_file(flows.unwrap()).unwrap();
    let mut child = Command::new(flowlog_binary())
        .args(["verify", "--store", store.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Nobody reads.
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let said = verify(store.path()).stdout;
    assert!(said.contains("the file of flows that belongs to this ledger is missing"), "{said}");
    assert!(said.contains("bytes are in the ledger and in no flow row"), "{said}");
}
