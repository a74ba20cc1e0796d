//! Who had an address at an instant: the command on real stores.

use std::{path::Path, time::Duration};

use flowlog::{
    record::{
        clock::Utc,
        flow::{Activity, FlowRecord},
        session::{CoverageGap, CoverageReason, EndReason, SessionRow, State},
    },
    store::Created,
    table::{FLOWS, FlowsWriter, ObjectName, metadata::Description},
};
use flowlog_common::flow::Direction;
use flowlog_tests::{
    Ended, duckdb, files_under, flowlog, flowlog_with,
    holders::{polls, session, utc, write_days},
    stores::{Backend, SlowBucket},
};
use serde_json::{Value, json};

const ADDRESS: &str = "10.0.0.7";
const PREFIX: &str = "10.0.0.7/32";

fn at(time: &str) -> String {
    format!("2026-11-26T{time}Z")
}

fn member(number: u16, from: &str, to: &str) -> SessionRow {
    session("gw1", number, PREFIX, utc(&at(from)), utc(&at(to)))
}

/// A store of three days: two members have the same address one after the other.
fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let rows = [member(1, "10:00:00", "12:00:00"), member(2, "12:00:02", "14:00:00")];
    write_days(directory.path(), "gw1", &rows, &looks());
    write_days(directory.path(), "gw2", &[], &looks());
    directory
}

fn looks() -> Vec<flowlog::record::session::CoverageRow> {
    polls(utc("2026-11-25T00:00:00Z"), utc("2026-11-28T00:00:00Z"))
}

fn trace(store: &Path, arguments: &[&str]) -> Ended {
    let store = store.to_str().unwrap();
    flowlog(&[&["trace", "--store", store], arguments].concat())
}

fn asked(store: &Path, instant: &str, more: &[&str]) -> Ended {
    trace(store, &[&["--ip", ADDRESS, "--at", instant], more].concat())
}

/// Exit code and answer.
fn answer(store: &Path, instant: &str, more: &[&str]) -> (i32, Value) {
    let ended = asked(store, instant, &[&["--format", "json"], more].concat());
    assert_eq!(ended.stderr, "");
    (ended.code, serde_json::from_str(&ended.stdout).unwrap())
}

fn subscribers(answer: &Value) -> Vec<&str> {
    let candidates = answer["candidates"].as_array().unwrap();
    candidates.iter().map(|of| of["subscriber"].as_str().unwrap_or("?")).collect()
}

#[test]
fn each_outcome_has_its_exit_code_and_its_sentence() {
    let store = store();
    for (instant, code, outcome, sentence) in [
        ("11:00:00", 0, "identified", "Identified: the subscriber m-0001 had 10.0.0.7 at "),
        ("13:00:00", 0, "identified", "Identified: the subscriber m-0002 had 10.0.0.7 at "),
        ("09:00:00", 1, "none", "Nobody: no session had 10.0.0.7 at "),
        ("12:00:02", 4, "ambiguous", "Ambiguous: each of 2 subscribers may have had 10.0.0.7 at "),
        (
            "14:00:00",
            5,
            "undetermined",
            "Undetermined: the subscriber m-0002 may have had 10.0.0.7",
        ),
    ] {
        let (json_code, answer) = answer(store.path(), &at(instant), &[]);
        assert_eq!((json_code, &answer["outcome"]), (code, &json!(outcome)), "{answer}");
        let ended = asked(store.path(), &at(instant), &[]);
        assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
        assert!(ended.stdout.starts_with(sentence), "{}", ended.stdout);
        assert!(!ended.stdout.lines().next().unwrap().trim_end_matches('.').contains(". "));
    }
    let ended = asked(store.path(), &at("14:00:00"), &[]);
    assert!(ended.stdout.contains("smaller --error"), "{}", ended.stdout);
    let answer = answer(store.path(), &at("12:00:02"), &["--max", "1"]).1;
    assert_eq!((&answer["candidates"], &answer["candidate_count"]), (&json!([]), &json!(2)));
}

#[test]
fn an_answer_for_programs_has_the_keys_of_its_schema() {
    let store = store();
    let (_, answer) = answer(store.path(), &at("11:00:00"), &["--error", "250ms"]);
    let peer = answer["candidates"][0]["peer"].clone();
    let session_id = answer["candidates"][0]["session_id"].clone();
    let expected = json!({
        "schema": "flowlog.trace/1",
        "outcome": "identified",
        "reasons": [],
        "question": {
            "ip": ADDRESS, "port": null, "protocol": null, "at": at("11:00:00"), "error_ms": 250,
            "remote": null, "realm": null,
        },
        "candidates": [{
            "subscriber": "m-0001", "peer": peer, "certainty": "certain", "state": "tunnel",
            "basis": "row", "gateway": "gw1", "realm": "default", "source": "wireguard",
            "instance": "wg0", "session_id": session_id, "segment": 0, "inner_prefix": PREFIX,
            "outer_ip": "198.51.0.1", "outer_port": 51_820, "from": at("10:00:00"),
            "to": at("12:00:00"), "from_slack_ms": 0, "to_slack_ms": 5_000, "continues": false,
            "via": [], "evidence": null,
        }],
        "candidate_count": 1,
        "gaps": [],
        "clock": { "gateway_error_ms": 12, "requester_error_ms": 250 },
        "read": answer["read"],
        "policy": [],
        "journal": null,
    });
    assert_eq!(answer, expected);
    assert_eq!(peer.as_str().unwrap().len(), 32);
}

#[test]
fn an_instant_without_an_offset_is_refused_and_each_offset_has_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    // The clocks of Brussels show 02:30 twice on that night.
    let of = |number, from: &str, to: &str| session("gw1", number, PREFIX, utc(from), utc(to));
    let rows = [
        of(1, "2026-10-25T00:10:00Z", "2026-10-25T00:50:00Z"),
        of(2, "2026-10-25T01:10:00Z", "2026-10-25T01:50:00Z"),
    ];
    let looks = polls(utc("2026-10-24T00:00:00Z"), utc("2026-10-27T00:00:00Z"));
    write_days(directory.path(), "gw1", &rows, &looks);
    let refused = asked(directory.path(), "2026-10-25T02:30:00", &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("offset"), "{}", refused.stderr);
    for (offset, member) in [("+02:00", "m-0001"), ("+01:00", "m-0002")] {
        let instant = format!("2026-10-25T02:30:00{offset}");
        let (code, answer) = answer(directory.path(), &instant, &[]);
        assert_eq!((code, subscribers(&answer)), (0, vec![member]));
    }
}

#[test]
fn a_question_that_makes_no_sense_is_refused_without_repeating_an_address() {
    let store = store();
    let now = at("11:00:00");
    for arguments in [
        &["--ip", "10.0.0.7/33", "--at", &now][..],
        &["--ip", ADDRESS],
        &["--at", &now],
        &["--ip", ADDRESS, "--at", &now, "--remote", "10.0.0.7:80"],
        &["--ip", ADDRESS, "--at", &now, "--gateway", "gw9"],
        &["--ip", ADDRESS, "--at", &now, "--subscriber", "m-0001"],
        &["--subscriber", "m-0001", "--at", &now],
        &["--subscriber", "m 0001", "--from", &at("10:00:00"), "--to", &now],
        &["--ip", ADDRESS, "--from", &now, "--to", &at("10:00:00")],
        &["--ip", ADDRESS, "--at", &now, "--error", "-1s"],
    ] {
        let ended = trace(store.path(), arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?} {ended:?}");
        assert!(!ended.stderr.contains("10.0.0.7"), "{arguments:?} {}", ended.stderr);
    }
}

#[test]
fn no_answer_is_shorter_than_the_store() {
    for damage in ["sessions", "coverage"] {
        let store = store();
        let folder = store.path().join(damage);
        let is_of_day = |path: &&std::path::PathBuf| path.to_str().unwrap().contains("2026-11-26");
        let files = files_under(&folder);
        let file = files.iter().find(is_of_day).unwrap();
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        // No session had the address at nine, so that only the coverage can tell nobody from unknown.
        let ended = asked(store.path(), &at("09:00:00"), &["--format", "json"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{damage}");
        assert!(ended.stderr.contains(damage) && !ended.stderr.contains(ADDRESS), "{ended:?}");
        // A link in the place of a file may hide one.
        std::fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink("/dev/null", file).unwrap();
        assert_eq!(asked(store.path(), &at("09:00:00"), &[]).code, 3);
    }
}

#[test]
fn a_bucket_gives_the_same_answers_and_few_objects_are_read() {
    let store = store();
    let moto = Backend::moto();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for file in files_under(store.path()) {
        let object = file.strip_prefix(store.path()).unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&file).unwrap().into();
        let (store, object) = (moto.open(), object.as_str().into());
        let created = runtime.block_on(store.create_object(&object, &bytes)).unwrap();
        assert_eq!(created, Created::New);
    }
    let slow = SlowBucket::start(store.path(), Duration::from_millis(1));
    let bucket = SlowBucket::location();
    for instant in ["11:00:00", "09:00:00", "12:00:02", "14:00:00", "23:59:59", "00:00:00"] {
        let (code, expected) = answer(store.path(), &at(instant), &[]);
        for (location, variables) in
            [(&moto.location, &moto.variables), (&bucket, &slow.variables())]
        {
            let asked = ["trace", "--store", location, "--ip", ADDRESS, "--at", &at(instant)];
            let ended = flowlog_with(variables, &[&asked[..], &["--format", "json"]].concat());
            assert_eq!((ended.code, ended.stderr.as_str()), (code, ""));
            let found: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(found, expected);
        }
        let objects = expected["read"]["objects"].as_u64().unwrap();
        assert!(objects <= 2 * (4 + 4), "{instant}: {objects}");
    }
    assert!(slow.requests() > 0);
}

#[test]
fn a_time_line_has_the_rows_in_order_and_the_gaps_between_them() {
    let store = store();
    let of = |whose: [&str; 2], from: &str, to: &str| {
        let times = ["--from", &at(from), "--to", &at(to), "--format", "json"].map(str::to_owned);
        let times: Vec<&str> = times.iter().map(String::as_str).collect();
        let ended = trace(store.path(), &[&whose[..], &times].concat());
        assert_eq!(ended.stderr, "");
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        let rows = answer["rows"].as_array().unwrap();
        let rows: Vec<_> =
            rows.iter().map(|row| row["subscriber"].as_str().unwrap().to_owned()).collect();
        (ended.code, answer["outcome"].as_str().unwrap().to_owned(), rows)
    };
    let rows = |members: &[&str]| members.iter().map(|of| (*of).to_owned()).collect::<Vec<_>>();
    let address = ["--ip", ADDRESS];
    assert_eq!(
        of(address, "08:00:00", "20:00:00"),
        (0, "rows".to_owned(), rows(&["m-0001", "m-0002"]))
    );
    assert_eq!(of(address, "08:00:00", "11:00:00"), (0, "rows".to_owned(), rows(&["m-0001"])));
    assert_eq!(of(address, "08:00:00", "09:00:00"), (1, "none".to_owned(), vec![]));
    let subscriber = ["--subscriber", "m-0002"];
    assert_eq!(of(subscriber, "08:00:00", "20:00:00"), (0, "rows".to_owned(), rows(&["m-0002"])));
    assert_eq!(of(subscriber, "08:00:00", "11:00:00"), (1, "none".to_owned(), vec![]));
    // A source of the other gateway was silent for a minute.
    let mut looks = looks();
    let (start, end) = (utc(&at("11:30:00")), utc(&at("11:31:00")));
    let gap = CoverageGap { start, end, reason: CoverageReason::SourceSilent };
    looks.iter_mut().find(|row| row.window.0 == start).unwrap().gap = Some(gap);
    write_days(store.path(), "gw2", &[], &looks);
    assert_eq!(of(subscriber, "08:00:00", "20:00:00").0, 5);
    assert_eq!(of(subscriber, "08:00:00", "11:30:00").0, 1);
}

#[test]
fn a_file_of_subscribers_names_who_had_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let unmapped = SessionRow { subscriber: None, ..member(1, "10:00:00", "12:00:00") };
    write_days(directory.path(), "gw1", std::slice::from_ref(&unmapped), &looks());
    let (code, unnamed) = answer(directory.path(), &at("11:00:00"), &[]);
    assert_eq!(
        (code, subscribers(&unnamed), &unnamed["reasons"]),
        (0, vec!["?"], &json!(["unmapped"]))
    );
    let file = directory.path().with_extension("csv");
    let path = file.to_str().unwrap();
    let peer = unmapped.peer.hex();
    let lines = |subscriber: &str, to: &str| {
        std::fs::write(&file, format!("peer,subscriber,from,to\n{peer},{subscriber},,{to}\n"))
    };
    lines("m-0042", "").unwrap();
    let (code, named) = answer(directory.path(), &at("11:00:00"), &["--subscribers", path]);
    assert_eq!((code, subscribers(&named), &named["reasons"]), (0, vec!["m-0042"], &json!([])));
    let whose = ["--subscriber", "m-0042", "--subscribers", path];
    let times = ["--from", &at("09:00:00"), "--to", &at("13:00:00")].map(str::to_owned);
    let times: Vec<&str> = times.iter().map(String::as_str).collect();
    assert_eq!(trace(directory.path(), &[&whose[..], &times].concat()).code, 0);
    // By its name, a peer is known where its key is.
    std::fs::write(&file, "peer,subscriber,from,to\nwireguard:key,m-0042,,\n").unwrap();
    let named = ["--subscribers", path];
    let refused = asked(directory.path(), &at("11:00:00"), &named);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("peer_key_file"), "{}", refused.stderr);
    let (key, config) = (file.with_extension("key"), file.with_extension("toml"));
    std::fs::write(&key, [7; 32]).unwrap();
    let table = format!("[subscribers]\npeer_key_file = {:?}\n", key.to_str().unwrap());
    std::fs::write(&config, table).unwrap();
    let with_key = [&named[..], &["--config", config.to_str().unwrap()]].concat();
    assert_eq!(asked(directory.path(), &at("11:00:00"), &with_key).code, 0);
    std::fs::remove_file(&key).unwrap();
    assert_eq!(asked(directory.path(), &at("11:00:00"), &with_key).code, 2);
    std::fs::remove_file(&config).unwrap();
    lines("m-0042", &at("10:30:00")).unwrap();
    let answer = answer(directory.path(), &at("11:00:00"), &["--subscribers", path]).1;
    assert_eq!(subscribers(&answer), ["?"]);
    lines("Ada Lovelace", "").unwrap();
    let ended = asked(directory.path(), &at("11:00:00"), &["--subscribers", path]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("line 2") && !ended.stderr.contains("Ada"), "{}", ended.stderr);
}

#[test]
fn flows_around_the_instant_are_evidence_and_drop_nobody() {
    let store = store();
    let hour = utc(&at("11:00:00"));
    let mut file = FlowsWriter::new(vec![]).unwrap();
    for (port, second) in [(40_000, 0), (40_001, 1), (40_000, 600)] {
        file.push(&flow(hour.plus(Duration::from_secs(second)), port)).unwrap();
    }
    let description = Description {
        lineage: "test",
        gateway: "gw1",
        policy: "ab12",
        start: hour,
        window_ms: 300_000,
        epochs: "1-1".parse().unwrap(),
        numbering: "test",
    };
    let rows = file.rows();
    let bytes = file.finish(description.pairs(&FLOWS, rows)).unwrap();
    let path = ObjectName::new(&FLOWS, "gw1", hour, Duration::from_hours(1)).path();
    let path = store.path().join(path.as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let evidence = |more: &[&str]| {
        let (code, answer) = answer(store.path(), &at("11:00:00.500"), more);
        assert_eq!((code, &answer["policy"]), (0, &json!(["ab12"])));
        answer["candidates"][0]["evidence"].clone()
    };
    let both = json!({
        "flows": 2, "first": at("11:00:00"), "last": at("11:00:01.5"), "bytes_up": 20,
        "bytes_down": 40,
    });
    assert_eq!(evidence(&[]), both);
    assert_eq!(evidence(&["--port", "40001"])["flows"], 1);
    assert_eq!(evidence(&["--protocol", "udp"])["flows"], 0);
    assert_eq!(evidence(&["--remote", "192.0.2.1"])["flows"], 2);
    assert_eq!(evidence(&["--remote", "192.0.2.2"])["flows"], 0);
    std::fs::write(&path, "no flows").unwrap();
    assert_eq!(asked(store.path(), &at("11:00:00"), &[]).code, 3);
}

fn flow(start: Utc, port: u16) -> FlowRecord<'static> {
    FlowRecord {
        interface: "wg0",
        member: [10, 0, 0, 7].into(),
        remote: Some([192, 0, 2, 1].into()),
        member_port: port,
        remote_port: 443,
        protocol: 6,
        activity: Activity {
            start_ms: start.ms(),
            end_ms: start.ms() + 500,
            packets_up: 1,
            bytes_up: 10,
            packets_down: 1,
            bytes_down: 20,
            tcp_flags_up: 0,
            tcp_flags_down: 0,
            partial: 0,
            initiator: Direction::Up,
        },
    }
}

#[test]
fn the_records_reach_from_the_oldest_day_that_is_kept_to_the_last_window() {
    let directory = tempfile::tempdir().unwrap();
    // It began in 2025, and only its last days are kept.
    let long = session("gw1", 1, PREFIX, utc("2025-09-20T08:00:00Z"), utc(&at("12:00:00")));
    let kept: Vec<SessionRow> = long
        .slices()
        .into_iter()
        .filter(|row| row.held.start >= utc("2026-11-25T00:00:00Z"))
        .collect();
    let looks = polls(utc("2026-11-25T00:00:00Z"), utc(&at("13:00:00")));
    write_days(directory.path(), "gw1", &kept, &looks);
    let told = |instant: &str| {
        let (code, answer) = answer(directory.path(), instant, &[]);
        let basis = answer["candidates"].get(0).map(|of| of["basis"].as_str().unwrap().to_owned());
        (code, answer["reasons"].clone(), basis)
    };
    let session_start = Some("session_start".to_owned());
    assert_eq!(told("2025-09-20T09:00:00Z"), (0, json!(["session_start"]), session_start));
    assert_eq!(told("2025-09-20T07:00:00Z"), (5, json!(["purged"]), None));
    assert_eq!(told(&at("11:00:00")), (0, json!([]), Some("row".to_owned())));
    assert_eq!(told(&at("12:30:00")), (1, json!([]), None));
    assert_eq!(told(&at("13:30:00")), (5, json!(["horizon"]), None));
    let nowhere = tempfile::tempdir().unwrap();
    let (code, answer) = answer(nowhere.path(), &at("11:00:00"), &[]);
    assert_eq!((code, &answer["outcome"]), (5, &json!("undetermined")));
}

#[test]
fn a_session_of_fourteen_months_is_known_by_its_first_day_until_twelve_months_after_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let (first, last) = (utc("2024-10-26T08:00:00Z"), utc("2025-12-26T12:00:00Z"));
    let changed = utc("2025-03-01T10:00:00Z");
    // Its endpoint changed once; a session of another member was there before it.
    let before =
        session("gw1", 1, PREFIX, utc("2024-10-25T08:00:00Z"), utc("2024-10-26T07:00:00Z"));
    let whole = session("gw1", 2, PREFIX, first, last);
    let mut segments = [whole.clone(), SessionRow { segment: 1, ..whole }];
    (segments[0].held.end, segments[0].held.end_slack_ms) = (changed, 0);
    segments[0].end_reason = Some(EndReason::Roamed);
    segments[1].held.start = changed;
    let rows = [&[before][..], &segments].concat();
    let looks = polls(utc("2025-12-25T00:00:00Z"), utc("2025-12-28T00:00:00Z"));
    write_days(store, "gw1", &rows, &looks);
    let told = |instant: &str| {
        let (code, answer) = answer(store, instant, &[]);
        let candidate = answer["candidates"].get(0).cloned().unwrap_or_default();
        let of = |name: &str| candidate[name].as_str().map(str::to_owned);
        let reasons = answer["reasons"].to_string();
        (code, reasons, of("subscriber"), of("basis"), of("outer_ip"))
    };
    let days = || files_under(&store.join("sessions")).len();
    let retain = |at: &str| {
        let location = store.to_str().unwrap();
        let ended = flowlog(&[
            "retention",
            "run",
            "--store",
            location,
            "--table",
            "sessions",
            "--keep",
            "12mo",
            "--at",
            at,
            "--accept-clock",
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
    };
    let text = |text: &str| Some(text.to_owned());
    let first_day = "2024-10-26T09:00:00Z";
    let of_row = (0, "[]".to_owned(), text("m-0002"), text("row"), text("198.51.0.2"));
    assert_eq!(told(first_day), of_row);
    let whole = days();
    // While the session goes on, and eleven months after its end: by then the days of the first endpoint are deleted.
    for (at, outer) in
        [("2025-12-01T00:00:00Z", text("198.51.0.2")), ("2026-11-26T12:00:00Z", None)]
    {
        let reasons = "[\"session_start\"]".to_owned();
        let of_start = (0, reasons, text("m-0002"), text("session_start"), outer.clone());
        retain(at);
        assert!(days() < whole, "{at}");
        assert_eq!(told(first_day), of_start, "{at}");
        // Whoever was there before it has been forgotten, and is not taken for nobody.
        let (code, reasons, subscriber, ..) = told("2024-10-25T09:00:00Z");
        assert_eq!((code, subscriber), (5, None), "{at}");
        assert!(reasons.contains("purged"), "{at}: {reasons}");
        let macros = format!(
            "SELECT subscriber, certainty, basis, outer_ip FROM who_had('{ADDRESS}', '{first_day}')"
        );
        let found = json!([{ "subscriber": "m-0002", "certainty": "certain", "basis": "session_start", "outer_ip": outer }]);
        assert_eq!(json!(duckdb(store, &macros)), found, "{at}");
    }
    assert_eq!(days(), 31);
    assert_eq!(told("2025-12-26T11:00:00Z").3, text("row"));
    // Twelve months after its end it is forgotten.
    retain("2026-12-28T00:00:00Z");
    assert_eq!(days(), 0);
    let (code, _, subscriber, ..) = told(first_day);
    assert_eq!((code, subscriber), (5, None));
}

#[test]
fn the_log_has_no_address_and_no_name_of_a_member() {
    let store = store();
    let mut reserved = member(3, "15:00:00", "16:00:00");
    reserved.state = State::Assigned;
    write_days(store.path(), "gw3", &[reserved], &looks());
    for instant in ["11:00:00", "12:00:02", "15:30:00"] {
        let ended = asked(store.path(), &at(instant), &["-vv"]);
        for secret in [ADDRESS, "198.51.0.", "m-000"] {
            assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
        }
    }
}
