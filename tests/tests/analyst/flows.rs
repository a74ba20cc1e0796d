//! The answers of `flowlog flows` are those of DuckDB's macros.

use std::path::Path;

use flowlog_tests::{duckdb, flowlog};
use serde_json::Value;

use super::recorded;

/// The columns of a row that both have, as text.
const COLUMNS: [&str; 19] = [
    "gateway",
    "interface",
    "flow_start",
    "flow_end",
    "member_ip",
    "member_port",
    "remote_ip",
    "remote_port",
    "protocol",
    "icmp_type",
    "icmp_code",
    "packets_up",
    "bytes_up",
    "packets_down",
    "bytes_down",
    "tcp_flags_up",
    "tcp_flags_down",
    "initiator",
    "partial",
];

fn of_duckdb(store: &Path, from: &str) -> Vec<Vec<String>> {
    let columns = COLUMNS.map(|column| match column {
        "flow_start" | "flow_end" => format!("epoch_ms({column})::VARCHAR AS {column}"),
        _ => format!("coalesce({column}::VARCHAR, '') AS {column}"),
    });
    let rows = duckdb(store, &format!("SELECT {} FROM {from}", columns.join(", ")));
    let mut rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| COLUMNS.map(|column| row[column].as_str().unwrap().to_owned()).into())
        .collect();
    rows.sort();
    rows
}

fn answer(store: &Path, options: &[&str]) -> Value {
    let arguments = ["flows", "--format", "json", "--store", store.to_str().unwrap()];
    let ended = flowlog(&[&arguments, options].concat());
    assert!([0, 1].contains(&ended.code), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn of_flowlog(store: &Path, options: &[&str]) -> Vec<Vec<String>> {
    let text = |column: &str, value: &Value| match (column, value) {
        ("flow_start" | "flow_end", Value::String(at)) => {
            at.parse::<jiff::Timestamp>().unwrap().as_millisecond().to_string()
        }
        (_, Value::String(text)) => text.clone(),
        (_, Value::Null) => String::new(),
        (_, number) => number.to_string(),
    };
    let answer = answer(store, options);
    let row = |row: &Value| COLUMNS.map(|column| text(column, &row[column])).into();
    let mut rows: Vec<Vec<String>> = answer["rows"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn flowlog_flows_answers_as_the_macros_do() {
    let (_directory, store) = recorded();
    let began = &duckdb(
        &store,
        "SELECT strftime(min(flow_start), '%Y-%m-%dT%H:%M:%S.%gZ') AS at, min(date)::VARCHAR AS day,
            count(*)::INT AS rows
         FROM flows WHERE remote_port = 8080 AND remote_ip = 'fd66::1'",
    )[0];
    let (at, day) = (began["at"].as_str().unwrap(), began["day"].as_str().unwrap());
    let next: jiff::civil::Date = day.parse().unwrap();
    let next = next.tomorrow().unwrap();
    let of_day = [format!("{day}T00:00:00Z"), format!("{next}T00:00:00Z")];
    let times = ["--from", &of_day[0], "--to", &of_day[1]];
    let instant = format!("'fd66::1', 8080, TIMESTAMPTZ '{at}'");
    for (from, options) in [
        ("flows".to_owned(), vec![]),
        ("flows_of('fd66::2')".to_owned(), vec!["--member", "FD66:0::2"]),
        (
            format!("flows_of('10.66.0.2', day := '{day}')"),
            [&["--member", "::ffff:10.66.0.2"], &times[..]].concat(),
        ),
        ("flows WHERE remote_ip = '10.66.0.1'".to_owned(), vec!["--remote", "10.66.0.1/32"]),
        (
            format!("at_instant({instant})"),
            vec!["--remote", "fd66::1", "--port", "8080", "--at", at],
        ),
        (
            "flows WHERE protocol = 17 AND remote_port = 5353".to_owned(),
            vec!["--protocol", "udp", "--port", "5353"],
        ),
        ("flows WHERE member_ip LIKE '10.66.%'".to_owned(), vec!["--member", "10.66.0.0/16"]),
    ] {
        let [ours, theirs] = [of_flowlog(&store, &options), of_duckdb(&store, &from)];
        assert!(!ours.is_empty(), "{from}");
        assert_eq!(ours, theirs, "{from}");
    }

    let talkers = duckdb(
        &store,
        "SELECT gateway, interface, member_ip, bytes::VARCHAR AS bytes, packets::VARCHAR AS packets,
            flows::VARCHAR AS flows FROM top_talkers(10)",
    );
    let ranking = answer(&store, &["--top", "members"]);
    let ours: Vec<Value> = ranking["top"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| {
            let mut place = place.clone();
            for sum in ["bytes", "packets", "flows"] {
                place[sum] = place[sum].to_string().into();
            }
            place
        })
        .collect();
    assert!(ours.len() >= 2);
    assert_eq!(ours, talkers);
    // Who the rows are about has the ledger, too, and it has no gap.
    assert_eq!(ranking["gaps"], serde_json::json!([]));
}
