//! What an analyst and an officer do with a store: DuckDB, and retention.

#[path = "analyst/addresses.rs"]
mod addresses;
#[path = "analyst/flows.rs"]
mod flows;
#[path = "analyst/instants.rs"]
mod instants;
#[path = "analyst/places.rs"]
mod places;
#[path = "analyst/questions.rs"]
mod questions;
#[path = "analyst/retention.rs"]
mod retention;
#[path = "analyst/sessions.rs"]
mod sessions;
#[path = "analyst/written.rs"]
mod written;
#[path = "analyst/zones.rs"]
mod zones;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use flowlog::{
    demo::{self, INTERFACE, Vpn},
    record::flow::{Activity, FlowRecord},
    table::{FlowsWriter, Layout},
};
use flowlog_common::flow::Direction;
use flowlog_tests::{Daemon, ask_duckdb, duckdb, duckdb_cli, duckdbs, flowlog, oldest_duckdb_cli};
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
    assert!(output.status.success() && said.contains("\ngw-1,vpn0,fd66::2,"), "{said}");
}

#[test]
fn every_duckdb_from_the_one_that_is_named_to_the_newest_answers_the_same() {
    let version = oldest_duckdb_cli().arg("-version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let version: Vec<_> = version.trim_start_matches('v').split('.').take(2).collect();
    let (_directory, store) = recorded();
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]).stdout;
    assert!(views.contains(&format!("DuckDB {} or later", version.join("."))), "{version:?}");
    let began = "SELECT epoch_us(min(flow_start)) AS us FROM flows
        WHERE remote_port = 8080 AND remote_ip = 'fd66::1'";
    let instant = format!("'fd66::1', 8080, make_timestamptz({})", duckdb(&store, began)[0]["us"]);
    for question in [
        "top_talkers(10)",
        "who_talked_to('10.66.0.1')",
        "who_talked_to('::ffff:10.66.0.1')",
        "flows_of('fd66::2')",
        "flows_of(' FD66:0::0002')",
        "volume_per_hour()",
        "losses()",
        "gaps()",
        "flows",
        "ledger",
        &format!("at_instant({instant})"),
        &format!("at_instant({instant}, outage := INTERVAL 5 HOUR)"),
    ] {
        let answers = duckdbs().map(|mut cli| {
            let question = format!("SELECT COLUMNS(*)::VARCHAR FROM {question} ORDER BY ALL");
            ask_duckdb(&mut cli, &views, &question).unwrap_or_else(|error| panic!("{error}"))
        });
        assert_eq!(answers[0], answers[1], "{question}");
        assert_eq!(answers[1], answers[2], "{question}");
        let may_be_empty = ["losses()", "gaps()"].contains(&question);
        assert!(may_be_empty || !answers[0].is_empty(), "{question}");
    }
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
    let added =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/duckdb.md"))
            .unwrap();
    for table in ["flows", "ledger", "sessions", "coverage"] {
        let columns = duckdb(&store, &format!("DESCRIBE {table}"));
        assert!(columns.len() > 15);
        for column in columns {
            let (name, kind) =
                (column["column_name"].as_str().unwrap(), column["column_type"].as_str().unwrap());
            // The views have numbers with a sign, which can be subtracted.
            let kinds = if kind == "BIGINT" { vec![kind, "UBIGINT"] } else { vec![kind] };
            let documented = kinds.iter().any(|kind| {
                let line = format!("| `{name}` | {kind}");
                schema.contains(&line) || added.contains(&line)
            });
            assert!(
                documented || ["gateway", "date", "hour"].contains(&name),
                "{table}.{name} {kind}"
            );
            assert_ne!(kind, "UBIGINT", "{table}.{name}");
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
        sought.member.in_clear()
    ));
    assert_eq!(by_member, Some(vec![json!({"rows": 500, "bytes": 500 * 5_000 + 500 * 499 / 2})]));
    // The command line writes numbers that JavaScript cannot count to as text.
    let by_remote =
        ask(&format!("FROM flows WHERE remote_ip = '{}'", sought.remote.unwrap().in_clear()))
            .unwrap();
    assert_eq!(
        by_remote,
        [json!({
            "interface": "wg0",
            "flow_start": "2026-01-01 00:00:05.25+00",
            "flow_end": "2026-01-01 00:00:06.25+00",
            "member_ip": "10.0.0.110",
            "remote_ip": sought.remote.unwrap().in_clear().to_string(),
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
