//! Events in spools of earlier versions.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use flowlog::{
    record::clock::Utc,
    spool::{
        Error, Spool,
        events::{EventLog, NewEvent},
    },
};
use flowlog_tests::{files_under, root};
use serde_json::{Value, json};

use super::rig::{GATEWAY, contents, copy, expected, generations};

const TABLE: &str = "sessions";
const LATER_GATEWAY: &str = "golden-b";

fn open(spool: &Path, gateway: &str) -> EventLog {
    Arc::new(Spool::open(spool, u64::MAX).unwrap()).events(TABLE, gateway).unwrap()
}

/// All events, as the file of what is expected has them.
fn read(log: &mut EventLog) -> Vec<Value> {
    let mut found = vec![];
    log.read(0, |header, body| {
        let body = String::from_utf8(body.to_vec()).unwrap();
        found.push(json!([header.number, header.gateway, header.time.ns(), header.kind, body]));
        Ok::<_, Error>(())
    })
    .unwrap();
    found
}

#[test]
fn events_of_an_earlier_version_are_read_to_the_byte_and_go_on() {
    for generation in generations("events-") {
        let directory = tempfile::tempdir().unwrap();
        let (spool, expected) = (directory.path().join("spool"), expected(&generation));
        copy(&generation.join("spool"), &spool);
        for _ in 0..2 {
            let mut log = open(&spool, GATEWAY);
            assert_eq!(json!(read(&mut log)), expected["events"]);
            assert_eq!(json!(log.missing()), expected["missing"]);
            assert_eq!(json!(log.released()), expected["released"]);
        }
        let mut log = open(&spool, GATEWAY);
        let next = log.last() + 1;
        assert_eq!(json!(next), expected["next"]);
        assert_eq!(log.append(&[event(next, "new")]).unwrap(), next..next + 1);
        drop(log);
        assert_eq!(
            read(&mut open(&spool, GATEWAY)).len(),
            expected["events"].as_array().unwrap().len() + 1
        );
        // What was damaged is not thrown away, whatever becomes of it.
        let kept = contents(&spool);
        let segments = contents(&generation.join("spool"))
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "events"));
        for (path, bytes) in segments {
            assert!(kept.values().any(|kept| *kept == bytes), "{} is gone", path.display());
        }
    }
}

fn event(number: u64, body: &str) -> NewEvent<'_> {
    let time = Utc::from_ns(1_772_355_600_000_000_000 + i64::try_from(number).unwrap());
    NewEvent { time, kind: u16::try_from(number).unwrap(), body: body.as_bytes() }
}

/// Makes a generation: see `tests/golden/README.md`.
#[test]
#[ignore = "makes golden files, once for each version"]
fn make_a_generation_of_events() {
    let generation = root().join("tests/golden/events-1");
    let spool = generation.join("spool");
    fs::create_dir(&generation).unwrap();
    let bodies: Vec<String> = (1..=9).map(|number| format!("event {number}")).collect();
    let events = |numbers: std::ops::RangeInclusive<u64>| -> Vec<NewEvent<'_>> {
        numbers.map(|number| event(number, &bodies[usize::try_from(number - 1).unwrap()])).collect()
    };
    // Three daemons, the last one under another name; each batch a call.
    let daemons = [
        (GATEWAY, vec![1..=1, 2..=3]),
        (GATEWAY, vec![4..=6]),
        (LATER_GATEWAY, vec![7..=7, 8..=9]),
    ];
    for (gateway, batches) in daemons {
        let mut log = open(&spool, gateway);
        for batch in batches {
            log.append(&events(batch)).unwrap();
        }
        log.release(1).unwrap();
    }
    let mut segments = files_under(&spool.join("events").join(TABLE));
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "events"));
    segments.sort();
    // A body that is not what was written, and two ends that never counted.
    let mut bytes = fs::read(&segments[1]).unwrap();
    let place = bytes.windows(7).position(|bytes| bytes == b"event 5").unwrap();
    bytes[place] ^= 1;
    fs::write(&segments[1], bytes).unwrap();
    let mut bytes = fs::read(&segments[2]).unwrap();
    bytes.extend_from_slice(b"evnt, but not whole");
    fs::write(&segments[2], &bytes).unwrap();
    fs::write(segments[2].with_extension("unfinished"), bytes).unwrap();
    for path in segments {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let gateway = |number| if number < 7 { GATEWAY } else { LATER_GATEWAY };
    let rows: Vec<Value> = [2, 3, 4, 6, 7, 8, 9]
        .map(|number: u64| {
            let event = event(number, &bodies[usize::try_from(number - 1).unwrap()]);
            let body = str::from_utf8(event.body).unwrap();
            json!([number, gateway(number), event.time.ns(), event.kind, body])
        })
        .into();
    let expected = json!({ "events": rows, "missing": "5-5", "released": 1, "next": 10 });
    fs::write(generation.join("expected.json"), format!("{expected:#}\n")).unwrap();
}
