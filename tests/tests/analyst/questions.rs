//! Twelve questions of an analyst, about a store whose every row is known.

use flowlog::record::ledger::GapReason;
use flowlog_tests::{ask_duckdb, duckdbs, flowlog, python, root};
use serde_json::{Value, json};

use super::written::{Written, from_outside, tcp, unanswered, utc};

/// Two gateways on the 22nd of November 2026, and some of the day before.
///
/// 10.0.0.7 of the first one talks to 192.0.2.1 for a quarter of an hour, with ten minutes of silence, and again
/// after more than an hour; 10.0.0.7 of the second one is somebody else. 10.0.0.66 scans a network, and
/// somebody outside scans the ports of 10.0.0.7. From 9:40 to 9:50 the first gateway was down.
pub fn store() -> tempfile::TempDir {
    let at = |time: &str| utc(&format!("2026-11-22T{time}Z"));
    let talk = |start: &str, end: &str| tcp("10.0.0.7", "192.0.2.1", 443, at(start), at(end));
    let mut store = Written::new();
    let yesterday = utc("2026-11-21T12:00:00Z");
    store.flows("gw-1", [tcp("10.0.0.7", "192.0.2.1", 443, yesterday, yesterday)]);
    store.flows(
        "gw-1",
        [
            talk("09:00:10", "09:04:50"),
            talk("09:15:00", "09:16:00"),
            talk("10:30:00", "10:31:00"),
            tcp("2001:db8:7::1", "2001:db8:ffff::53", 853, at("09:00:00"), at("09:00:01")),
        ],
    );
    store.flows("gw-2", [talk("09:08:00", "09:08:01")]);
    let scan = |host: u16| {
        let remote = format!("198.51.100.{host}");
        unanswered(tcp("10.0.0.66", &remote, 22, at("11:00:00"), at("11:01:00")))
    };
    store.flows("gw-1", (1..=120).map(scan));
    let knock = |port: u16| {
        let mut row = tcp("10.0.0.7", "203.0.113.9", 50_000, at("11:30:00"), at("11:30:05"));
        row.member_port = port;
        // Closed ports answer by RST, ACK.
        row.activity.tcp_flags_up = 0x14;
        from_outside(row)
    };
    store.flows("gw-1", (1..=150).map(knock));
    store.counted("gw-1", "wg0", at("08:00:00"), at("09:40:00"));
    store.gap("gw-1", "wg0", at("09:40:00"), at("09:50:00"), GapReason::Down);
    store.counted("gw-1", "wg0", at("09:50:00"), at("12:00:00"));
    store.counted("gw-2", "wg0", at("08:00:00"), at("12:00:00"));
    store.write()
}

/// The rows that every DuckDB answers, each as a list of texts.
pub fn rows(store: &tempfile::TempDir, question: &str) -> Value {
    let views = flowlog(&["duckdb", "--store", store.path().to_str().unwrap()]).stdout;
    let question = format!(
        "SELECT array_to_string(list_value(*COLUMNS(*)), '|') AS row
         FROM (SELECT coalesce(COLUMNS(*)::VARCHAR, 'null') FROM ({question}))"
    );
    let value = |text: &str| if text == "null" { Value::Null } else { text.into() };
    let answers = duckdbs().map(|mut cli| {
        let answer = ask_duckdb(&mut cli, &views, &question);
        let answer = answer.unwrap_or_else(|error| panic!("{question}: {error}"));
        let row = |row: &Value| row["row"].as_str().unwrap().split('|').map(value).collect();
        Value::Array(answer.iter().map(row).collect())
    });
    assert_eq!(answers[0], answers[1], "{question}");
    assert_eq!(answers[1], answers[2], "{question}");
    let [answer, ..] = answers;
    answer
}

#[test]
fn how_much_more_did_a_member_receive_than_send() {
    let store = store();
    let question = "SELECT min(bytes_up - bytes_down), sum(bytes_up - bytes_down), typeof(min(bytes_up))
        FROM flows_of('10.0.0.7', day := '2026-11-22') WHERE protocol_name = 'tcp' AND family = 4 AND remote_port = 443";
    assert_eq!(rows(&store, question), json!([["-1000", "-4000", "BIGINT"]]));
}

#[test]
fn how_long_did_a_connection_last_and_how_much_did_it_carry() {
    let store = store();
    let question = "SELECT first_seen, last_seen, windows, bytes_up, bytes_down, complete FROM conversations(
        '2026-11-22 09:00:00+00', '2026-11-22 11:00:00+00', member := '10.0.0.7', remote := '192.0.2.0/24')
        WHERE gateway = 'gw-1' ORDER BY first_seen";
    assert_eq!(
        rows(&store, question),
        json!([
            ["2026-11-22 09:00:10+00", "2026-11-22 09:16:00+00", "2", "2000", "4000", "true"],
            ["2026-11-22 10:30:00+00", "2026-11-22 10:31:00+00", "1", "1000", "2000", "true"],
        ])
    );
}

#[test]
fn who_had_a_connection_open_that_was_silent_at_the_instant() {
    let store = store();
    let instant = "'2026-11-22 09:08:00+00'";
    let at_instant = format!("SELECT gateway FROM at_instant('192.0.2.1', 443, {instant})");
    assert_eq!(rows(&store, &at_instant), json!([["gw-2"]]));
    let open = format!(
        "SELECT gateway, member_ip, active FROM conversations({instant}, {instant}, remote := '192.0.2.1') ORDER BY ALL"
    );
    assert_eq!(
        rows(&store, &open),
        json!([["gw-1", "10.0.0.7", "false"], ["gw-2", "10.0.0.7", "true"]])
    );
    // Silent for longer than it is followed: two conversations, none of which was open.
    let briefly = "SELECT gateway FROM conversations('2026-11-22 09:08:00+00', '2026-11-22 09:08:00+00', silence := '5 minutes')";
    assert_eq!(rows(&store, briefly), json!([["gw-2"]]));
}

#[test]
fn who_talked_to_the_address_with_whatever_port() {
    let store = store();
    let question = "SELECT gateway, member_ip, remote_port FROM at_instant('192.0.2.1', TIMESTAMPTZ '2026-11-22 10:30:30+00')";
    assert_eq!(rows(&store, question), json!([["gw-1", "10.0.0.7", "443"]]));
    let named = "SELECT count(*) FROM at_instant('192.0.2.1', NULL, '2026-11-22 10:30:30+00', outage := '2 hours')";
    assert_eq!(rows(&store, named), json!([["1"]]));
}

#[test]
fn what_was_contacted_that_nobody_had_contacted_before() {
    let store = store();
    let question =
        "SELECT remote_ip, first_gateway, first_member_ip, members, services, compared_days
        FROM new_destinations(DATE '2026-11-22') WHERE remote_ip NOT LIKE '198.51.100.%'";
    assert_eq!(
        rows(&store, question),
        json!([["2001:db8:ffff::53", "gw-1", "2001:db8:7::1", "1", "[tcp/853]", "1"]])
    );
    let scanned = "SELECT count(*) FROM new_destinations('2026-11-22')";
    assert_eq!(rows(&store, scanned), json!([["121"]]));
    // Without a day before, every one is new, and the answer shows the reason.
    let first = "SELECT remote_ip, compared_days FROM new_destinations('2026-11-21')";
    assert_eq!(rows(&store, first), json!([["192.0.2.1", "0"]]));
}

#[test]
fn who_scanned_whom() {
    let store = store();
    let question = "SELECT scanner_side, scanner_ip, scanned, target_ip, target_port, targets FROM scans(DATE '2026-11-22')";
    assert_eq!(
        rows(&store, question),
        json!([
            ["remote", "203.0.113.9", "ports", "10.0.0.7", null, "150"],
            ["member", "10.0.0.66", "addresses", null, "22", "120"],
        ])
    );
    let many = "FROM scans('2026-11-22', at_least := 151)";
    assert_eq!(rows(&store, many), json!([]));
}

#[test]
fn how_fast_was_a_member_with_zeros_where_nothing_was() {
    let store = store();
    let question = "SELECT strftime(step_start, '%H:%M'), bytes_up, recorded FROM rate('10.0.0.7', '10 minutes',
        '2026-11-22 09:00:00+00', '2026-11-22 10:00:00+00') WHERE gateway = 'gw-1'";
    assert_eq!(
        rows(&store, question),
        json!([
            ["09:00", "1000", "1.0"],
            ["09:10", "1000", "1.0"],
            ["09:20", "0", "1.0"],
            ["09:30", "0", "1.0"],
            ["09:40", null, "0.0"],
            ["09:50", "0", "1.0"],
        ])
    );
    let nobody = "SELECT gateway, bytes_down, recorded > 0.6 AND recorded < 0.7 FROM rate('10.0.0.99', '30 minutes',
        '2026-11-22 09:30:00+00', '2026-11-22 10:00:00+00')";
    assert_eq!(rows(&store, nobody), json!([[null, "0", "true"]]));
    let all =
        "SELECT sum(bytes_up), count(DISTINCT gateway) FROM rate('10.0.0.0/8', INTERVAL 1 HOUR)";
    assert_eq!(rows(&store, all), json!([["275000", "2"]]));
}

#[test]
fn was_it_recorded_at_all() {
    let store = store();
    let question = |time: &str| {
        format!(
            "SELECT gateway, interface, recorded, gap_reason FROM recorded_at('2026-11-22 {time}+00')"
        )
    };
    assert_eq!(
        rows(&store, &question("09:45:00")),
        json!([["gw-1", "wg0", "false", "down"], ["gw-2", "wg0", "true", null]])
    );
    assert_eq!(
        rows(&store, &question("09:50:00")),
        json!([["gw-1", "wg0", "true", null], ["gw-2", "wg0", "true", null]])
    );
    assert_eq!(
        rows(&store, &question("12:00:00")),
        json!([["gw-1", "wg0", "false", null], ["gw-2", "wg0", "false", null]])
    );
}

#[test]
fn when_was_it_recorded() {
    let store = store();
    let question = "SELECT gateway, source, instance, strftime(recorded_start, '%H:%M'), strftime(recorded_end, '%H:%M') FROM coverage()";
    assert_eq!(
        rows(&store, question),
        json!([
            ["gw-1", "flows", "wg0", "08:00", "09:40"],
            ["gw-1", "flows", "wg0", "09:50", "12:00"],
            ["gw-2", "flows", "wg0", "08:00", "12:00"],
        ])
    );
}

#[test]
fn who_were_the_top_talkers_of_one_gateway_and_interface() {
    let store = store();
    for (more, expected) in [
        ("gateway := 'gw-2'", json!([["gw-2", "wg0", "10.0.0.7", "3000"]])),
        ("gateway := 'gw-2', interface := 'wg9'", json!([])),
    ] {
        let question = format!(
            "SELECT gateway, interface, member_ip, bytes FROM top_talkers(3, day := '2026-11-22', {more})"
        );
        assert_eq!(rows(&store, &question), expected);
    }
    let talked = "SELECT gateway, member_ip, bytes_down FROM who_talked_to('192.0.2.1', gateway := 'gw-1', interface := 'wg0')";
    assert_eq!(rows(&store, talked), json!([["gw-1", "10.0.0.7", "8000"]]));
}

#[test]
fn who_talked_to_a_network() {
    let store = store();
    for (prefix, rows_of_it) in [
        ("198.51.100.0/24", 1),
        ("2001:DB8::/32", 1),
        ("::ffff:192.0.2.0/120", 2),
        ("0.0.0.0/0", 4),
        ("::/0", 1),
        ("2001:db8:ffff::/49", 1),
        ("2001:db8:ffff:8000::/49", 0),
        ("192.0.2.1/32", 2),
        ("10.0.0.0/8", 0),
    ] {
        let question = format!("SELECT count(*) FROM who_talked_to('{prefix}')");
        assert_eq!(rows(&store, &question), json!([[rows_of_it.to_string()]]), "{prefix}");
    }
}

/// Python counts in numbers of 64 bits with a sign, and neither in decimals nor modulo 2^64.
#[test]
fn pandas_has_whole_numbers_with_a_sign() {
    let store = store();
    let views = flowlog(&["duckdb", "--store", store.path().to_str().unwrap()]).stdout;
    let program = "
import sys, json, duckdb
connection = duckdb.connect()
connection.execute(sys.argv[1])
flows = connection.sql(\"FROM flows_of('10.0.0.7', day := '2026-11-22')\").df()
told = [int((flows.bytes_up - flows.bytes_down).min()), str(flows.bytes_up.dtype)]
for question in ['top_talkers(9)', \"who_talked_to('192.0.2.1')\", 'volume_per_hour()', 'losses()', 'ledger', 'flows',
        \"conversations('2026-11-22 09:00:00+00', '2026-11-22 11:00:00+00')\", \"scans('2026-11-22')\",
        \"new_destinations('2026-11-22')\", \"rate('10.0.0.7', '1 hour', '2026-11-22 08:00:00+00', '2026-11-22 09:00:00+00')\"]:
    answer = connection.sql('FROM ' + question).df()
    told += [f'{question}.{name}' for name, kind in answer.dtypes.items()
        if ('bytes' in name or 'packets' in name) and name[-9:] != 'interface' and str(kind) != 'int64']
print(json.dumps(told))";
    let mut python = python();
    python.env("PYTHONPATH", root().join("target/venv/pandas"));
    let output = python.args(["-c", program, &views]).output().unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}\nrun `cargo xtask setup`");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!([-1000, "int64"]));
}

/// Rather than a number that is wrong.
#[test]
fn a_counter_that_does_not_fit_is_an_error() {
    let mut store = Written::new();
    let noon = utc("2026-11-22T12:00:00Z");
    let mut row = tcp("10.0.0.7", "192.0.2.1", 443, noon, noon);
    row.activity.bytes_up = u64::MAX;
    store.flows("gw-1", [row]);
    let store = store.write();
    let views = flowlog(&["duckdb", "--store", store.path().to_str().unwrap()]).stdout;
    for mut cli in duckdbs() {
        let answer = ask_duckdb(&mut cli, &views, "SELECT bytes_up FROM flows").unwrap_err();
        assert!(answer.contains("out of range"), "{answer}");
    }
}
