//! What an analyst and an officer do with a store: DuckDB, and retention.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use flowlog::{
    aggregate::{Activity, FlowRecord},
    clock::Utc,
    demo::{self, INTERFACE, Vpn},
    encode::{FlowsWriter, Layout},
    store::layout::{Dataset, ObjectName},
};
use flowlog_common::flow::Direction;
use flowlog_tests::{Daemon, duckdb, duckdb_cli, files_under, flowlog};
use serde_json::json;

/// A store with the demonstration's traffic in it.
fn recorded() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("it's a store");
    let vpn = Vpn::new().expect("these tests need root");
    let arguments = ["--store", store.to_str().unwrap(), "--gateway", "gw-1"];
    let daemon = Daemon::attached(&vpn.gateway, INTERFACE, &arguments);
    demo::generate(&vpn).unwrap();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    (directory, store)
}

#[test]
fn a_pipe_into_duckdb_makes_the_views_and_macros() {
    let (_directory, store) = recorded();
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]);
    let mut cli =
        duckdb_cli().args(["-csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = cli.stdin.take().unwrap();
    write!(stdin, "{}\nFROM top_talkers(1);", views.stdout).unwrap();
    drop(stdin);
    let output = cli.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("\nfd66::2,"), "{said}");
}

#[test]
fn the_macros_answer_what_an_analyst_asks() {
    let (_directory, store) = recorded();
    let talkers = duckdb(&store, "FROM top_talkers(10)");
    let members: Vec<_> = talkers.iter().map(|row| row["member_ip"].as_str().unwrap()).collect();
    assert!(members.contains(&"10.66.0.2") && members.contains(&"fd66::2"), "{members:?}");
    let talked = duckdb(
        &store,
        "SELECT member_ip, protocol FROM who_talked_to('10.66.0.1') WHERE remote_port = 5353",
    );
    assert_eq!(talked, [json!({"member_ip": "10.66.0.2", "protocol": 17})]);
    let began = &duckdb(
        &store,
        "SELECT epoch_us(min(flow_start)) AS us, min(date)::VARCHAR AS day FROM flows
         WHERE remote_port = 8080 AND remote_ip = 'fd66::1'",
    )[0];
    let (us, day) = (&began["us"], began["day"].as_str().unwrap());
    let question = format!(
        "SELECT DISTINCT member_ip FROM at_instant('fd66::1', 8080, make_timestamptz({us}))"
    );
    assert_eq!(duckdb(&store, &question), [json!({"member_ip": "fd66::2"})]);
    // All of the traffic is of one day, or else of two.
    for (of_day, of_all) in [
        (format!("who_talked_to('fd66::1', day := '{day}')"), "who_talked_to('fd66::1')"),
        (format!("flows_of('fd66::2', day := DATE '{day}')"), "flows_of('fd66::2')"),
        (format!("top_talkers(10, day := '{day}')"), "top_talkers(10)"),
        (format!("volume_per_hour(day := '{day}')"), "volume_per_hour()"),
    ] {
        let [of_day, of_all] = [&*of_day, of_all].map(|of| duckdb(&store, &format!("FROM {of}")));
        assert!(!of_day.is_empty());
        if duckdb(&store, "SELECT DISTINCT date FROM flows").len() == 1 {
            assert_eq!(of_day, of_all);
        }
    }
    let volume = duckdb(
        &store,
        "SELECT gateway, sum(bytes_up + bytes_down) = (SELECT sum(bytes_seen) FROM ledger) AS whole
         FROM volume_per_hour() GROUP BY gateway",
    );
    assert_eq!(volume, [json!({"gateway": "gw-1", "whole": true})]);
    assert_eq!(duckdb(&store, "FROM losses()"), Vec::<serde_json::Value>::new());
}

#[test]
fn the_columns_have_the_documented_names_and_types() {
    let (_directory, store) = recorded();
    let schema =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema.md"))
            .unwrap();
    for table in ["flows", "ledger"] {
        let columns = duckdb(&store, &format!("DESCRIBE {table}"));
        assert!(columns.len() > 15);
        for column in columns {
            let (name, kind) =
                (column["column_name"].as_str().unwrap(), column["column_type"].as_str().unwrap());
            let documented = schema.contains(&format!("| `{name}` | {kind}"));
            assert!(
                documented || ["gateway", "date", "hour"].contains(&name),
                "{table}.{name} {kind}"
            );
        }
    }
    let metadata = duckdb(
        &store,
        &format!(
            "SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('{}/flows/**/*.parquet')
             WHERE decode(key) LIKE 'flowlog.%' ORDER BY key",
            store.to_str().unwrap().replace('\'', "''")
        ),
    );
    let keys: Vec<_> = metadata.iter().map(|row| row["key"].as_str().unwrap()).collect();
    for key in ["schema_version", "gateway", "window_start", "policy_sha256", "rows", "ledger"] {
        assert!(keys.contains(&format!("flowlog.{key}").as_str()), "{keys:?}");
    }
}

/// What is not needed is not read: all but one row group are overwritten, and the rows of that one
/// are found nonetheless, by the statistics of members and by the bloom filter of remotes.
#[test]
fn a_lookup_reads_only_the_row_group_that_has_its_rows() {
    let layout = Layout { row_group: 1_000, bloom_fpp: Some(0.01), ..Layout::default() };
    let mut file = FlowsWriter::with_layout(vec![], &layout).unwrap();
    for row in 0..8_000 {
        file.push(&flow(row)).unwrap();
    }
    let mut bytes = file.finish(vec![]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.parquet");
    std::fs::write(&path, &bytes).unwrap();
    let ask = |question: &str| {
        let question = question.replace("flows", &format!("'{}'", path.display()));
        let output =
            duckdb_cli().args(["-json", "-c", "SET TimeZone = 'UTC'", "-c", &question]).output();
        let output = output.expect("duckdb; run `cargo xtask setup`");
        let rows: Option<Vec<serde_json::Value>> = serde_json::from_slice(&output.stdout).ok();
        rows.filter(|_| output.status.success())
    };
    let everything = "SELECT sum(bytes_up)::BIGINT AS bytes FROM flows";
    assert_eq!(ask(everything), Some(vec![json!({"bytes": 31_996_000})]));

    let chunks = ask("SELECT min(coalesce(dictionary_page_offset, data_page_offset)) AS start,
                sum(total_compressed_size)::BIGINT AS length
                FROM parquet_metadata(flows) GROUP BY row_group_id ORDER BY row_group_id")
    .unwrap();
    assert_eq!(chunks.len(), 8);
    let at = |value: &serde_json::Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    for (_, chunk) in chunks.iter().enumerate().filter(|(group, _)| *group != 5) {
        let start = at(&chunk["start"]);
        bytes[start..start + at(&chunk["length"])].fill(0xff);
    }
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(ask(everything), None, "the damage is none");

    let sought = flow(5_250);
    let by_member = ask(&format!(
        "SELECT count(*)::INT AS rows, sum(bytes_up)::INT AS bytes FROM flows WHERE member_ip = '{}'",
        sought.member
    ));
    assert_eq!(by_member, Some(vec![json!({"rows": 500, "bytes": 500 * 5_000 + 500 * 499 / 2})]));
    // The command line writes numbers that JavaScript cannot count to as text.
    let by_remote =
        ask(&format!("FROM flows WHERE remote_ip = '{}'", sought.remote.unwrap())).unwrap();
    assert_eq!(
        by_remote,
        [json!({
            "interface": "wg0",
            "flow_start": "2026-01-01 00:00:05.25+00",
            "flow_end": "2026-01-01 00:00:06.25+00",
            "member_ip": "10.0.0.110",
            "remote_ip": sought.remote.unwrap().to_string(),
            "member_port": 40_000,
            "remote_port": 443,
            "protocol": 6,
            "icmp_type": null,
            "icmp_code": null,
            "packets_up": "1",
            "bytes_up": "5250",
            "packets_down": "2",
            "bytes_down": "3",
            "tcp_flags_up": 27,
            "tcp_flags_down": 18,
            "initiator": "member",
            "partial": null,
        })]
    );
}

const HOUR_MS: i64 = 3_600_000;
/// 2026-01-01, 00:00 UTC.
const MIDNIGHT_MS: i64 = 1_767_225_600_000;

/// Writes the file of an hour, counted from midnight, into a store.
fn write_hour(store: &Path, hour: i64, file: &[u8]) {
    let begins = Utc::from_ms(MIDNIGHT_MS + hour * HOUR_MS);
    let name = ObjectName::new(Dataset::Flows, "gw-1", begins, Duration::from_mins(5));
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
}

/// A file of flows from this remote, which lasted from and until these milliseconds after midnight.
fn file_of(remote: u8, flows: &[(i64, i64)]) -> Vec<u8> {
    let mut file = FlowsWriter::new(vec![]).unwrap();
    for (start, end) in flows {
        let mut row = flow(0);
        row.remote = Some([198, 51, 100, remote].into());
        row.activity.start_ms = MIDNIGHT_MS + start;
        row.activity.end_ms = MIDNIGHT_MS + end;
        file.push(&row).unwrap();
    }
    file.finish(vec![]).unwrap()
}

/// When the flows began that `at_instant` finds, in milliseconds after midnight; asked in a time
/// zone that is half an hour off.
fn found_at(store: &Path, remote: u8, instant: i64, more: &str) -> Vec<i64> {
    let us = (MIDNIGHT_MS + instant) * 1_000;
    let question = format!(
        "SET TimeZone = 'Asia/Kolkata';
        SELECT (epoch_ms(flow_start) - {MIDNIGHT_MS})::INT AS start
        FROM at_instant('198.51.100.{remote}', 443, make_timestamptz({us}) {more})"
    );
    duckdb(store, &question).iter().map(|row| row["start"].as_i64().unwrap()).collect()
}

/// The hours before and after cannot be read, and need not be.
#[test]
fn an_instant_is_found_at_both_ends_of_an_hour_by_reading_no_hour_far_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for hour in -3..=3 {
        let (first, last) = (hour * HOUR_MS, hour * HOUR_MS + HOUR_MS - 1);
        write_hour(store, hour, &file_of(1, &[(first, first), (last, last)]));
    }
    write_hour(store, -2, b"not a file of Parquet");
    write_hour(store, 3, b"not a file of Parquet");
    let last = HOUR_MS - 1;
    assert_eq!(found_at(store, 1, -1, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, 0, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, last, ""), [last, HOUR_MS]);
    assert_eq!(found_at(store, 1, HOUR_MS, ""), [last, HOUR_MS]);
    // A second either way, and no millisecond more.
    assert_eq!(found_at(store, 1, -1_000, ""), [-1, 0]);
    assert_eq!(found_at(store, 1, -1_001, ""), [-1]);
    assert_eq!(found_at(store, 1, 1_000, ""), [0]);
}

#[test]
fn an_instant_in_an_outage_is_found_where_the_outage_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let minutes = |minutes: i64| minutes * 60_000;
    write_hour(store, -1, &file_of(1, &[(-1, -1)]));
    // No daemon for 50 minutes, and for 26 hours.
    write_hour(store, 0, &file_of(2, &[(minutes(-45), minutes(5))]));
    write_hour(store, 25, &file_of(3, &[(minutes(-40), minutes(26 * 60 - 40))]));
    assert_eq!(found_at(store, 2, minutes(-30), ""), [minutes(-45)]);
    assert_eq!(found_at(store, 3, minutes(-30), ", outage := INTERVAL 26 HOUR"), [minutes(-40)]);
}

/// Flows in the order of a file: 500 for each member, each with a remote of its own.
fn flow(row: u16) -> FlowRecord<'static> {
    let [high, low] = row.wrapping_mul(40_503).to_be_bytes();
    let member = u8::try_from(100 + row / 500).unwrap();
    let start_ms = 1_767_225_600_000 + i64::from(row);
    FlowRecord {
        interface: "wg0",
        member: [10, 0, 0, member].into(),
        remote: Some([198, 51, high, low].into()),
        member_port: 40_000,
        remote_port: 443,
        protocol: 6,
        activity: Activity {
            start_ms,
            end_ms: start_ms + 1_000,
            packets_up: 1,
            bytes_up: row.into(),
            packets_down: 2,
            bytes_down: 3,
            tcp_flags_up: 0x1b,
            tcp_flags_down: 0x12,
            partial: 0,
            initiator: Direction::Up,
        },
    }
}

#[test]
fn an_empty_store_has_empty_views() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(duckdb(directory.path(), "FROM top_talkers(1)"), Vec::<serde_json::Value>::new());
    assert_eq!(duckdb(directory.path(), "SELECT count(*)::INT AS n FROM ledger")[0]["n"], 0);
}

#[test]
fn a_hundred_days_lose_exactly_what_has_expired() {
    let (_directory, recorded) = recorded();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let file = std::fs::read(files_under(&recorded.join("flows")).pop().unwrap()).unwrap();
    for day in 0..100 {
        for (hour, dataset) in [(0, "flows"), (0, "ledger"), (23, "flows"), (23, "ledger")] {
            write_window(store, dataset, day, hour, &file);
        }
    }
    let note = "flows/gateway=gw1/date=2026-01-01/hour=00/note.txt";
    std::fs::write(store.join(note), "not flowlog's").unwrap();
    let store_argument = store.to_str().unwrap();
    // On the 5th of April at noon, what ended before the 5th of January at noon is 90 days old.
    let arguments = ["--keep", "90d", "--at", "2026-04-05T12:00:00Z", "--store", store_argument];
    let retention = |verb: &[&str]| {
        let ended = flowlog(&[&["retention"][..], verb, &arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let expired = |said: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("expired  "));
        lines.map(|line| line.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut expected = vec![];
    for day in 1..=5 {
        for (hour, dataset) in
            [("00", "flows"), ("00", "ledger"), ("23", "flows"), ("23", "ledger")]
        {
            expected.push(format!("{dataset}/gateway=gw1/date=2026-01-{day:02}/hour={hour}"));
        }
    }
    expected.truncate(4 * 4 + 2);

    let plan = retention(&["plan"]);
    assert_eq!(expired(&plan), expected);
    assert!(plan.contains(&format!("kept     {note}")), "{plan}");
    assert!(plan.contains("to be deleted: 18 partitions, 18 files"), "{plan}");
    assert_eq!(retention(&["run", "--dry-run"]), plan);
    let before = files_under(store);
    let run = retention(&["run"]);
    assert_eq!(expired(&run), expected);
    assert!(run.contains("deleted: 18 partitions"), "{run}");
    let left = files_under(store);
    let gone: Vec<_> = before.iter().filter(|file| !left.contains(file)).collect();
    assert_eq!(gone.len(), 18);
    let is_expired =
        |file: &PathBuf| expected.iter().any(|folder| file.starts_with(store.join(folder)));
    assert!(gone.into_iter().all(is_expired) && store.join(note).exists());
    assert!(!left.iter().filter(|file| !file.ends_with("note.txt")).any(is_expired));

    let again = retention(&["run"]);
    assert_eq!(expired(&again), Vec::<String>::new());
    assert_eq!(files_under(store), left);
}

#[test]
fn the_daemon_deletes_what_has_expired_when_it_is_configured_to() {
    let (_directory, store) = recorded();
    let file = std::fs::read(files_under(&store.join("flows")).pop().unwrap()).unwrap();
    let own = write_window(&store, "flows", 0, 0, &file);
    let others = own.to_str().unwrap().replace("gw1", "gw2");
    std::fs::create_dir_all(Path::new(&others).parent().unwrap()).unwrap();
    std::fs::write(&others, &file).unwrap();
    let config = store.with_extension("toml");
    std::fs::write(&config, "profile = \"flows\"\n[retention]\nkeep = \"30d\"").unwrap();
    let (gateway, _tun) = flowlog_tests::quiet_tun("fltun");
    let arguments = [
        "--store",
        store.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--gateway",
        "gw1",
    ];
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    flowlog_tests::wait_for("retention", || !own.exists());
    assert_eq!(daemon.terminate().code, 0);
    assert!(Path::new(&others).exists(), "another gateway's files are not this one's to delete");
}

fn write_window(store: &Path, dataset: &str, day: u32, hour: u32, file: &[u8]) -> PathBuf {
    let date = (31_u32..).zip([31, 28, 31, 30]);
    let mut rest = day;
    let mut month = 1;
    for (_, days) in date {
        if rest < days {
            break;
        }
        rest -= days;
        month += 1;
    }
    let day = rest + 1;
    let folder =
        store.join(format!("{dataset}/gateway=gw1/date=2026-{month:02}-{day:02}/hour={hour:02}"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("2026{month:02}{day:02}T{hour:02}5500Z-300s-0.parquet"));
    std::fs::write(&path, file).unwrap();
    path
}
