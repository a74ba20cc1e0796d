//! What `flowlog flows` answers, and how it ends, for somebody who has nothing but the store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flowlog::record::clock::Utc;
use flowlog_tests::{Ended, files_under, flowlog, flowlog_with, stores::Backend, synthetic};
use serde_json::{Value, json};

/// 2025-01-01T00:00:00Z.
const FIRST_MS: i64 = 1_735_689_600_000;
const FOUND: i32 = 0;
const NONE: i32 = 1;
const USAGE: i32 = 2;
const FAILED: i32 = 3;

/// A store of five hours of two gateways, each hour with three rows of each family.
fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for gateway in ["gw-1", "gw-2"] {
        synthetic::write_hours(directory.path(), gateway, Utc::from_ms(FIRST_MS), 5, 3);
    }
    directory
}

fn ask(store: &Path, options: &[&str]) -> Ended {
    flowlog(&[&["flows", "--store", store.to_str().unwrap()], options].concat())
}

fn json(store: &Path, options: &[&str]) -> (i32, Value) {
    let ended = ask(store, &[&["--format", "json"], options].concat());
    let answer = serde_json::from_str(&ended.stdout);
    (ended.code, answer.unwrap_or_else(|error| panic!("{error}: {ended:?}")))
}

fn file_of(store: &Path, table: &str, hour: u8) -> PathBuf {
    let folder = format!("{table}/gateway=gw-1/date=2025-01-01/hour={hour:02}");
    files_under(&store.join(folder)).remove(0)
}

const MORNING: [&str; 4] = ["--from", "2025-01-01T01:00:00Z", "--to", "2025-01-01T03:00:00Z"];

#[test]
fn a_question_is_answered_in_each_format_with_the_same_rows() {
    let store = store();
    let question = [&["--member", "::ffff:10.0.0.2", "--gateway", "gw-1"], &MORNING[..]].concat();
    let (code, answer) = json(store.path(), &question);
    assert_eq!((code, &answer["schema"]), (FOUND, &json!("flowlog.flows/1")));
    assert_eq!(answer["question"]["member"], "10.0.0.2");
    assert_eq!((&answer["count"], &answer["is_cut"]), (&json!(2), &json!(false)));
    assert_eq!((&answer["gaps"], &answer["unreadable"]), (&json!([]), &json!([])));
    assert!(answer["read"]["objects"].as_u64() >= Some(2), "{answer}");
    let [first, second] = &answer["rows"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!(
        *first,
        json!({
            "flow_start": "2025-01-01T01:00:00.002Z",
            "flow_end": "2025-01-01T01:59:59.997Z",
            "gateway": "gw-1",
            "interface": "wg0",
            "member_ip": "10.0.0.2",
            "member_port": 40_002,
            "remote_ip": "192.0.2.2",
            "remote_port": 443,
            "protocol": 6,
            "icmp_type": null,
            "icmp_code": null,
            "packets_up": 3,
            "bytes_up": 300,
            "packets_down": 2,
            "bytes_down": 2_000,
            "tcp_flags_up": 2,
            "tcp_flags_down": 0,
            "initiator": "member",
            "partial": null,
        })
    );
    assert_eq!(second["flow_start"], "2025-01-01T02:00:00.002Z");

    let csv = ask(store.path(), &[&["--format", "csv"], &question[..]].concat());
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!((csv.code, lines.len(), csv.stderr.as_str()), (FOUND, 3, ""));
    assert!(lines[0].starts_with("flow_start,flow_end,gateway,interface,member_ip,"), "{lines:?}");
    assert_eq!(
        lines[1],
        "2025-01-01T01:00:00.002Z,2025-01-01T01:59:59.997Z,gw-1,wg0,10.0.0.2,40002,192.0.2.2,443,6,,,3,300,2,2000,2,0,\
         member,"
    );
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());

    let text = ask(store.path(), &question);
    assert_eq!((text.code, text.stderr.as_str()), (FOUND, ""));
    assert!(text.stdout.contains("2 flows, "), "{}", text.stdout);
    assert!(text.stdout.contains("10.0.0.2"), "{}", text.stdout);
}

#[test]
fn every_option_narrows_the_answer() {
    let store = store();
    let count = |options: &[&str]| json(store.path(), options).1["count"].as_u64().unwrap();
    assert_eq!(count(&[]), 60);
    for (options, expected) in [
        (&["--gateway", "gw-2"][..], 30),
        (&["--protocol", "UDP"], 30),
        (&["--protocol", "6"], 30),
        (&["--protocol", "icmp"], 0),
        (&["--port", "53"], 30),
        (&["--port", "443", "--protocol", "udp"], 0),
        (&["--member", "10.0.0.0/8"], 30),
        (&["--member", "fd00::/16", "--remote", "2001::1"], 20),
        (&["--remote", "192.0.2.0/31"], 20),
        (&["--remote", "192.0.2.1"], 10),
        (&MORNING, 24),
        (&["--at", "2025-01-01T01:30:00Z"], 12),
        (&["--at", "2025-01-01T02:30:00+01:00", "--gateway", "gw-1"], 6),
        (&["--limit", "7"], 7),
    ] {
        assert_eq!(count(options), expected, "{options:?}");
    }
    assert_eq!(json(store.path(), &["--limit", "7"]).1["is_cut"], true);
}

/// The end is no part of the time.
#[test]
fn a_time_is_half_open() {
    let store = store();
    let count = |from: &str, to: &str| {
        json(store.path(), &["--gateway", "gw-1", "--from", from, "--to", to]).1["count"].clone()
    };
    assert_eq!(count("2025-01-01T00:59:59.999Z", "2025-01-01T01:00:00Z"), 2);
    assert_eq!(count("2025-01-01T00:59:59.999Z", "2025-01-01T01:00:00.001Z"), 4);
    assert_eq!(count("2025-01-01T01:00:00Z", "2025-01-01T01:00:00.003Z"), 6);
}

#[test]
fn a_ranking_has_the_sums_of_both_directions() {
    let store = store();
    let (code, answer) =
        json(store.path(), &["--top", "members", "--by", "packets", "--limit", "2"]);
    assert_eq!((code, &answer["question"]["top"]), (FOUND, &json!("members")));
    let first = &answer["top"][0];
    // Two rows an hour: 2 to 6 packets up in the five hours, and one down for the second row.
    assert_eq!((&first["gateway"], &first["member_ip"]), (&json!("gw-1"), &json!("fd00::1")));
    assert_eq!((&first["packets"], &first["flows"]), (&json!(45), &json!(10)));
    assert_eq!(answer["top"].as_array().unwrap().len(), 2);
    let ports = ask(store.path(), &["--top", "ports", "--by", "flows", "--format", "csv"]);
    let lines: Vec<&str> = ports.stdout.lines().collect();
    assert_eq!(lines[0], "protocol,remote_port,bytes,packets,flows");
    assert!(lines[1].starts_with("6,443,") && lines[2].starts_with("17,53,"), "{lines:?}");
    let remotes = ask(store.path(), &["--top", "remotes", "--member", "10.0.0.1"]);
    assert!(remotes.stdout.contains("192.0.2.1"), "{}", remotes.stdout);
    assert_eq!(ask(store.path(), &["--by", "flows"]).code, USAGE);
}

#[test]
fn an_instant_without_an_offset_is_refused_with_a_remedy() {
    let store = store();
    for option in ["--at", "--from", "--to"] {
        let ended = ask(store.path(), &[option, "2026-10-25T02:30:00"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{ended:?}");
        assert!(ended.stderr.contains("2026-10-25T02:30:00+02:00"), "{}", ended.stderr);
        assert!(ended.stderr.contains("2026-10-25T02:30:00Z"), "{}", ended.stderr);
    }
    for wrong in [
        &["--from", "2026-10-25T02:30:00Z"][..],
        &["--from", "2026-10-25T02:30:00Z", "--to", "2026-10-25T02:30:00Z"],
        &["--member", "10.0.0"],
        &["--port", "65536"],
        &["--protocol", "tpc"],
        &["--format", "xml"],
    ] {
        let ended = ask(store.path(), wrong);
        assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{wrong:?} {ended:?}");
    }
    let other = flowlog(&["verify", "--format", "csv", "--store", store.path().to_str().unwrap()]);
    assert_eq!(other.code, USAGE, "{other:?}");
}

#[test]
fn no_rows_is_told_from_not_counted() {
    let store = store();
    let nobody = [&["--member", "10.9.9.9"], &MORNING[..]].concat();
    let ended = ask(store.path(), &nobody);
    assert_eq!(ended.code, NONE, "{ended:?}");
    assert!(ended.stdout.contains("no flow found"), "{}", ended.stdout);
    assert!(ended.stdout.contains("The ledger covers all of that time"), "{}", ended.stdout);
    assert_eq!(json(store.path(), &nobody).1["gaps"], json!([]));

    // A time after the last window, and one whose ledger is gone.
    fs::remove_file(file_of(store.path(), "ledger", 2)).unwrap();
    for (from, to, starts, ends) in [
        ("2025-01-01T04:30:00Z", "2025-01-01T06:00:00Z", "05:00:00Z", "05:59:59.999Z"),
        ("2025-01-01T01:00:00Z", "2025-01-01T03:30:00Z", "02:00:00Z", "03:00:00Z"),
    ] {
        let question = ["--gateway", "gw-1", "--member", "10.9.9.9", "--from", from, "--to", to];
        let (code, answer) = json(store.path(), &question);
        let (starts, ends) = (format!("2025-01-01T{starts}"), format!("2025-01-01T{ends}"));
        let gap = json!({
            "gateway": "gw-1",
            "interface": null,
            "gap_start": starts,
            "gap_end": ends,
            "gap_reason": "no_ledger",
        });
        assert_eq!((code, &answer["gaps"]), (NONE, &json!([gap])), "{answer}");
        let text = ask(store.path(), &question);
        assert!(text.stdout.contains(&starts) && !text.stdout.contains("covers"), "{text:?}");
        let csv = ask(store.path(), &[&question[..], &["--format", "csv"]].concat());
        assert!(csv.stderr.contains("the store has no ledger from"), "{}", csv.stderr);
    }

    // Another directory, in which nobody has recorded anything.
    let empty = tempfile::tempdir().unwrap();
    let (code, answer) = json(empty.path(), &MORNING);
    let gap = &answer["gaps"][0];
    assert_eq!(
        (code, &gap["gateway"], &gap["gap_reason"]),
        (NONE, &Value::Null, &json!("no_ledger"))
    );
    let text = ask(empty.path(), &MORNING).stdout;
    assert!(text.contains("the right store") && !text.contains("covers"), "{text}");
}

#[test]
fn an_unreadable_file_is_no_shorter_answer() {
    let store = store();
    let path = file_of(store.path(), "flows", 1);
    let whole = fs::read(&path).unwrap();
    for bytes in [&whole[..whole.len() / 2], &[], &[0xff; 4_096]] {
        fs::write(&path, bytes).unwrap();
        let (code, answer) = json(store.path(), &MORNING);
        assert_eq!((code, &answer["count"]), (FAILED, &json!(18)));
        let [unreadable] = &answer["unreadable"].as_array().unwrap()[..] else {
            panic!("{answer}")
        };
        let object = unreadable["object"].as_str().unwrap();
        assert!(object.ends_with("hour=01/20250101T010000Z-3600s-0.parquet"), "{object}");
        for format in ["text", "csv"] {
            let ended = ask(store.path(), &[&["--format", format], &MORNING[..]].concat());
            assert_eq!(ended.code, FAILED, "{ended:?}");
            assert!(ended.stderr.contains("the answer may lack flows"), "{}", ended.stderr);
            assert!(ended.stderr.contains("hour=01"), "{}", ended.stderr);
        }
    }
    // Without the ledger of an hour, its gaps are not known.
    fs::write(&path, whole).unwrap();
    fs::write(file_of(store.path(), "ledger", 1), "").unwrap();
    assert_eq!(ask(store.path(), &MORNING).code, FAILED);
}

#[test]
fn what_is_not_of_flowlog_is_named_and_not_read() {
    let store = store();
    let path = file_of(store.path(), "flows", 1);
    fs::copy(&path, path.with_file_name("copy.parquet")).unwrap();
    std::os::unix::fs::symlink(&path, path.with_file_name("link.parquet")).unwrap();
    let ended = ask(store.path(), &[&["--format", "json"], &MORNING[..]].concat());
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &answer["count"]), (FOUND, &json!(24)));
    assert!(answer["foreign"][0].as_str().unwrap().ends_with("copy.parquet"), "{answer}");
    assert!(ended.stderr.contains("copy.parquet") && ended.stderr.contains("link.parquet"));
}

#[test]
fn a_store_that_is_away_and_a_gateway_that_is_none_are_no_empty_answers() {
    let store = store();
    let missing = store.path().join("nothing");
    let ended = ask(&missing, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{ended:?}");
    let ended = ask(store.path(), &["--gateway", "gw-3"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (USAGE, ""), "{ended:?}");
    assert!(ended.stderr.contains("gw-1, gw-2"), "{}", ended.stderr);
    let nobody = [
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let nobody = nobody.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let ended = flowlog_with(&nobody, &["flows", "--store", "s3://bucket/store"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (FAILED, ""), "{ended:?}");
    assert!(ended.stderr.contains("check that the store answers"), "{}", ended.stderr);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(ask(empty.path(), &[]).code, NONE);
}

#[tokio::test]
async fn a_bucket_gives_the_answers_of_a_directory() {
    let directory = store();
    let backend = Backend::moto();
    let bucket = backend.open();
    for file in files_under(directory.path()) {
        let name = file.strip_prefix(directory.path()).unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap().into();
        let name = object_store::path::Path::from(name);
        let created = bucket.create_object(&name, &bytes).await.unwrap();
        assert!(matches!(created, flowlog::store::Created::New), "{name}");
    }
    for question in [
        &["--at", "2025-01-01T01:30:00Z", "--remote", "192.0.2.1", "--port", "443"][..],
        &["--member", "10.0.0.0/8"],
        &["--top", "members"],
    ] {
        let options = [&["flows", "--format", "json", "--store"], &[backend.location.as_str()][..]];
        let ended = flowlog_with(&backend.variables, &[&options.concat(), question].concat());
        assert_eq!(ended.code, FOUND, "{ended:?}");
        let mut of_bucket: Value = serde_json::from_str(&ended.stdout).unwrap();
        let mut of_directory = json(directory.path(), question).1;
        for answer in [&mut of_bucket, &mut of_directory] {
            answer["read"] = Value::Null;
        }
        assert_eq!(of_bucket, of_directory);
    }
}
