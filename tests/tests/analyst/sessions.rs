//! Whose an address was.

use std::{collections::BTreeSet, path::Path, time::Duration};

use flowlog::record::{
    clock::Utc,
    session::{
        CoverageGap, CoverageReason, CoverageRow, EndReason, Held, SessionId, SessionRow, State,
        milliseconds,
    },
};
use flowlog_tests::{
    ask_duckdb, duckdbs, flowlog,
    holders::{session, wg0, write_days},
};
use serde_json::{Value, json};

use super::{
    questions::rows,
    written::{Written, tcp, utc},
};

/// A tunnel of the subscriber `m-MEMBER`.
fn tunnel(member: u16, prefix: &str, held: Held) -> SessionRow {
    let row = session("gw-1", member, prefix, held.start, held.end);
    SessionRow {
        subscriber: Some(format!("m-{member}").into()),
        session_start_slack_ms: held.start_slack_ms,
        held,
        end_reason: None,
        clock_error_ms: 0,
        ..row
    }
}

fn held(start: &str, end: &str, slacks: [u32; 2]) -> Held {
    let [start_slack_ms, end_slack_ms] = slacks;
    let day = |time: &str| utc(&format!("2026-11-{time}Z"));
    Held { start: day(start), end: day(end), start_slack_ms, end_slack_ms }
}

/// 10.0.0.7 goes from m-1 to m-2 at noon, seen between two polls; m-3 has a /56 over midnight.
fn store() -> tempfile::TempDir {
    let at = |time: &str| utc(&format!("2026-11-{time}Z"));
    let mut flows = Written::new();
    let talk =
        |member: &str, start: &str, end: &str| tcp(member, "192.0.2.1", 443, at(start), at(end));
    flows.flows(
        "gw-1",
        [
            talk("10.0.0.7", "22T11:00:00", "22T11:00:30"),
            talk("10.0.0.7", "22T11:59:50", "22T12:00:02"),
            talk("10.0.0.7", "22T13:00:00", "22T13:00:30"),
            talk("2001:db8:7::53", "22T00:10:00", "22T00:10:30"),
            talk("2001:db8:8::53", "22T00:10:00", "22T00:10:30"),
        ],
    );
    flows.flows("gw-2", [talk("10.0.0.7", "22T11:00:00", "22T11:00:30")]);
    let store = flows.write();
    write_into(store.path());
    store
}

/// Their sessions, and when somebody looked.
pub fn write_into(store: &Path) {
    let at = |time: &str| utc(&format!("2026-11-{time}Z"));
    let mut one = tunnel(1, "10.0.0.7/32", held("22T09:00:00", "22T12:00:00", [0, 5_000]));
    one.clock_error_ms = 10;
    let two = tunnel(2, "10.0.0.7/32", held("22T12:00:05", "22T18:00:00", [5_000, 0]));
    let three = tunnel(3, "2001:db8:7::/56", held("21T20:00:00", "22T06:00:00", [0, 0]));
    let window = |from: &str, to: &str| CoverageRow {
        instance: wg0(),
        realm: "default".to_owned(),
        window: (at(from), at(to)),
        observed: (at(from).plus(Duration::from_secs(2)), at(to).minus(Duration::from_secs(3))),
        reports: 60,
        longest_pause_ms: 5_000,
        errors: 0,
        overruns: 0,
        gap: None,
        clock_error_ms: 10,
        clock_step_ms: 0,
    };
    let gap = CoverageGap {
        start: at("22T09:07:00"),
        end: at("22T09:08:00"),
        reason: CoverageReason::SourceSilent,
    };
    let second = CoverageRow { gap: Some(gap), ..window("22T09:05:00", "22T09:10:00") };
    let looks = [window("22T09:00:00", "22T09:05:00"), second];
    write_days(store, "gw-1", &[one, two, three], &looks);
}

#[test]
fn who_had_an_address_at_an_instant() {
    let store = store();
    let ask = |ip: &str, time: &str, more: &str| {
        rows(
            &store,
            &format!(
                "SELECT subscriber, certainty, basis FROM who_had('{ip}', '2026-11-{time}+00'{more})"
            ),
        )
    };
    assert_eq!(ask("10.0.0.7", "22 11:00:00", ""), json!([["m-1", "certain", "row"]]));
    assert_eq!(ask("::ffff:a00:7", "22 13:00:00", ""), json!([["m-2", "certain", "row"]]));
    let both = json!([["m-1", "possible", "row"], ["m-2", "possible", "row"]]);
    assert_eq!(ask("10.0.0.7", "22 12:00:02", ""), both);
    // The clock's error counts, and the asker's.
    assert_eq!(ask("10.0.0.7", "22 11:59:59.995", ", slack := '0s'")[0][1], "possible");
    assert_eq!(ask("10.0.0.7", "22 11:59:59.985", ", slack := '0s'")[0][1], "certain");
    assert_eq!(ask("10.0.0.7", "22 11:59:50", ", slack := '20 seconds'"), both);
    assert_eq!(ask("10.0.0.8", "22 11:00:00", ""), json!([]));
    // An address within the prefix, on both sides of midnight and at midnight.
    for time in ["21 23:00:00", "22 00:00:00", "22 05:00:00"] {
        assert_eq!(
            ask("2001:DB8:7:00ff::9", time, ""),
            json!([["m-3", "certain", "row"]]),
            "{time}"
        );
    }
    assert_eq!(ask("2001:db8:7:100::", "22 05:00:00", ""), json!([]));
}

#[test]
fn the_longest_prefix_has_the_address() {
    let store = tempfile::tempdir().unwrap();
    let all_day = || held("22T09:00:00", "22T18:00:00", [0, 0]);
    let rows_of = [
        tunnel(1, "10.0.0.0/24", all_day()),
        tunnel(2, "10.0.0.7/32", held("22T10:00:00", "22T12:00:00", [0, 5_000])),
        // Whoever has all IPv6 has no address of IPv4.
        tunnel(3, "::/0", all_day()),
    ];
    write_days(store.path(), "gw-1", &rows_of, &[]);
    let ask = |ip: &str, time: &str| {
        let question =
            format!("SELECT subscriber, certainty FROM who_had('{ip}', '2026-11-22 {time}+00')");
        rows(&store, &question)
    };
    assert_eq!(ask("10.0.0.7", "11:00:00"), json!([["m-2", "certain"]]));
    assert_eq!(ask("10.0.0.8", "11:00:00"), json!([["m-1", "certain"]]));
    assert_eq!(ask("10.0.0.7", "13:00:00"), json!([["m-1", "certain"]]));
    assert_eq!(ask("10.0.0.7", "12:00:02"), json!([["m-1", "possible"], ["m-2", "possible"]]));
    assert_eq!(ask("2001:db8::1", "11:00:00"), json!([["m-3", "certain"]]));
    // Each of them has a part of a prefix that is asked for.
    let of_both = json!([["m-1", "certain"], ["m-2", "certain"]]);
    assert_eq!(ask("10.0.0.0/25", "11:00:00"), of_both);
    assert_eq!(ask("10.0.0.7/32", "11:00:00"), json!([["m-2", "certain"]]));
}

#[test]
fn a_session_proves_its_beginning_when_the_days_of_it_have_expired() {
    let store = tempfile::tempdir().unwrap();
    let mut old = tunnel(1, "10.0.0.7/32", held("01T09:00:00", "22T12:00:00", [2_000, 0]));
    old.continues = false;
    write_days(store.path(), "gw-1", &[old], &[]);
    for day in 1..=19 {
        let folder = format!("sessions/gateway=gw-1/date=2026-11-{day:02}");
        std::fs::remove_dir_all(store.path().join(folder)).unwrap();
    }
    let ask = |time: &str| {
        let question = format!(
            "SELECT subscriber, certainty, basis, held_start FROM who_had('10.0.0.7', '2026-11-{time}+00')"
        );
        rows(&store, &question)
    };
    let session_start = "2026-11-01 09:00:00+00";
    assert_eq!(ask("05 10:00:00"), json!([["m-1", "certain", "session_start", session_start]]));
    assert_eq!(ask("01 09:00:00"), json!([["m-1", "possible", "session_start", session_start]]));
    assert_eq!(ask("01 08:00:00"), json!([]));
    assert_eq!(ask("21 10:00:00"), json!([["m-1", "certain", "row", "2026-11-21 00:00:00+00"]]));
}

#[test]
fn the_sessions_of_a_subscriber() {
    let store = store();
    let of_day =
        "SELECT date, inner_prefix, continues FROM sessions_of('m-3', day := '2026-11-21')";
    assert_eq!(rows(&store, of_day), json!([["2026-11-21", "2001:db8:7::/56", "true"]]));
    let all = "SELECT date, continues FROM sessions_of('m-3')";
    assert_eq!(rows(&store, all), json!([["2026-11-21", "true"], ["2026-11-22", "false"]]));
    let by_peer = "SELECT DISTINCT s.subscriber FROM sessions p, sessions s WHERE p.peer = s.peer AND p.subscriber = 'm-1'";
    assert_eq!(rows(&store, by_peer), json!([["m-1"]]));
    assert_eq!(rows(&store, "FROM sessions_of('m-9')"), json!([]));
}

#[test]
fn the_flows_of_a_subscriber() {
    let store = store();
    let ask = |subscriber: &str| {
        let question = format!(
            "SELECT gateway, strftime(flow_start, '%H:%M:%S'), member_ip, certainty
             FROM flows_of_subscriber('{subscriber}', DATE '2026-11-22')"
        );
        rows(&store, &question)
    };
    let flow = |start: &str, certainty: &str| json!(["gw-1", start, "10.0.0.7", certainty]);
    assert_eq!(ask("m-1"), json!([flow("11:00:00", "certain"), flow("11:59:50", "possible")]));
    assert_eq!(ask("m-2"), json!([flow("11:59:50", "possible"), flow("13:00:00", "certain")]));
    assert_eq!(ask("m-3"), json!([["gw-1", "00:10:00", "2001:db8:7::53", "certain"]]));
    assert_eq!(ask("m-9"), json!([]));
}

#[test]
fn flows_of_a_longer_prefix_are_those_of_its_own_subscriber() {
    let at = |time: &str| utc(&format!("2026-11-22T{time}Z"));
    let mut flows = Written::new();
    let talk =
        |member: &str, start: &str, end: &str| tcp(member, "192.0.2.1", 443, at(start), at(end));
    let spoken = [
        talk("10.0.0.7", "09:30:00", "09:30:30"),
        talk("10.0.0.7", "11:00:00", "11:00:30"),
        talk("10.0.0.7", "11:59:50", "12:00:02"),
        talk("10.0.0.8", "11:30:00", "11:30:30"),
    ];
    flows.flows("gw-1", spoken);
    let store = flows.write();
    let all_day = || held("22T09:00:00", "22T18:00:00", [0, 0]);
    let rows_of = [
        tunnel(1, "10.0.0.0/24", all_day()),
        tunnel(2, "10.0.0.7/32", held("22T10:00:00", "22T12:00:00", [0, 0])),
        tunnel(3, "::/0", all_day()),
    ];
    write_days(store.path(), "gw-1", &rows_of, &[]);
    let ask = |subscriber: &str| {
        let question = format!(
            "SELECT member_ip, strftime(flow_start, '%H:%M:%S'), certainty
             FROM flows_of_subscriber('{subscriber}', DATE '2026-11-22')"
        );
        rows(&store, &question)
    };
    let of_wide = json!([
        ["10.0.0.7", "09:30:00", "certain"],
        ["10.0.0.8", "11:30:00", "certain"],
        ["10.0.0.7", "11:59:50", "possible"],
    ]);
    assert_eq!(ask("m-1"), of_wide);
    let of_narrow =
        json!([["10.0.0.7", "11:00:00", "certain"], ["10.0.0.7", "11:59:50", "possible"]]);
    assert_eq!(ask("m-2"), of_narrow);
    assert_eq!(ask("m-3"), json!([]));
}

#[test]
fn the_table_coverage_and_the_question_coverage_have_one_name() {
    let store = store();
    assert_eq!(rows(&store, "SELECT sum(reports) FROM coverage"), json!([["120"]]));
    let question = "SELECT source, instance, strftime(recorded_start, '%H:%M:%S'), strftime(recorded_end, '%H:%M:%S') FROM coverage()";
    assert_eq!(
        rows(&store, question),
        json!([
            ["wireguard", "wg0", "09:00:02", "09:07:00"],
            ["wireguard", "wg0", "09:08:00", "09:09:57"],
        ])
    );
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Sessions of a few subscribers with one address over three days: of any length, some with slack, some at
/// midnight, some without a tunnel.
fn history(random: &mut Random) -> Vec<SessionRow> {
    let midnight = utc("2026-11-22T00:00:00Z").ms();
    let row = |number: u16| {
        let start = midnight
            + [random.below(172_800_000) - 86_400_000, random.below(10_000) - 5_000, 0]
                [usize::try_from(random.below(3)).unwrap()];
        let length = [random.below(100_000_000), random.below(10_000), 0]
            [usize::try_from(random.below(3)).unwrap()];
        let mut slack = || u32::try_from(random.below(2) * random.below(20_000)).unwrap();
        let held = Held {
            start: Utc::from_ms(start),
            end: Utc::from_ms(start + length),
            start_slack_ms: slack(),
            end_slack_ms: slack(),
        };
        let mut row = tunnel(number, "10.0.0.7/32", held);
        row.clock_error_ms = u32::try_from(random.below(3) * 700).unwrap();
        row.state = if random.below(4) == 0 { State::Assigned } else { State::Tunnel };
        row
    };
    (0..8).map(row).collect()
}

/// Whether a session is a candidate at an instant, and a certain one; the rows as they were before they were cut.
fn judge(row: &SessionRow, instant: Utc, error: Duration) -> Option<&'static str> {
    let error = error + milliseconds(row.clock_error_ms);
    let (from, to) = (instant.minus(error), instant.plus(error));
    let (begins, ends) = (row.held.possible_start(), row.held.possible_end());
    let is_possible = begins < ends && begins <= to && ends > from;
    let is_certain = row.held.start <= from && row.held.end > to && row.state == State::Tunnel;
    is_possible.then_some(if is_certain { "certain" } else { "possible" })
}

/// The candidates of many instants, as every DuckDB finds them.
fn found(store: &Path, instants: &[(Utc, u64)]) -> Vec<BTreeSet<(u64, String, String)>> {
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]).stdout;
    let questions: Vec<_> = (0..).zip(instants).map(|(number, (instant, error))| {
        let us = instant.ms() * 1_000;
        format!(
            "SELECT {number} AS number, subscriber, certainty
             FROM who_had('10.0.0.7', make_timestamptz({us}), slack := INTERVAL {error} MILLISECOND)"
        )
    }).collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    duckdbs()
        .map(|mut cli| {
            let rows = ask_duckdb(&mut cli, &views, &questions.join(" UNION ALL ")).unwrap();
            rows.iter()
                .map(|row| {
                    (
                        row["number"].as_u64().unwrap(),
                        text(&row["subscriber"]),
                        text(&row["certainty"]),
                    )
                })
                .collect()
        })
        .into()
}

/// Sessions that change their endpoint now and then, seen between two polls or at once, and go on over midnight.
fn roaming(random: &mut Random) -> Vec<SessionRow> {
    let midnight = utc("2026-11-22T00:00:00Z").ms();
    let mut rows = vec![];
    for number in 0..3_u16 {
        let mut start = midnight - 20_000 + random.below(20_000);
        let first = Utc::from_ms(start);
        for segment in 0..4 {
            let end = start + random.below(20_000);
            let mut slack = || u32::try_from(random.below(2) * random.below(6_000)).unwrap();
            let (start_slack_ms, end_slack_ms) = (slack(), slack());
            let held = Held {
                start: Utc::from_ms(start),
                end: Utc::from_ms(end),
                start_slack_ms,
                end_slack_ms,
            };
            let mut row = tunnel(number, "10.0.0.7/32", held);
            row.session = SessionId::of("gw-1", &row.instance, row.peer, first);
            row.session_start = first;
            row.segment = segment;
            row.end_reason = (segment < 3).then_some(EndReason::Roamed);
            row.clock_error_ms = u32::try_from(random.below(3) * 700).unwrap();
            rows.push(row);
            start = end + random.below(2) * random.below(6_000);
        }
    }
    rows
}

/// The candidates of many instants by the command.
fn traced(store: &Path, instants: &[(Utc, u64)]) -> BTreeSet<(u64, String, String)> {
    let store = store.to_str().unwrap();
    let mut found = BTreeSet::new();
    for (number, (instant, error)) in (0..).zip(instants) {
        let (at, error) = (instant.to_string(), format!("{error}ms"));
        let ended = flowlog(&[
            "trace", "--store", store, "--ip", "10.0.0.7", "--at", &at, "--error", &error,
            "--format", "json",
        ]);
        let answer: Value = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr));
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        for candidate in answer["candidates"].as_array().unwrap() {
            found.insert((number, text(&candidate["subscriber"]), text(&candidate["certainty"])));
        }
    }
    found
}

/// Instants at which something changes in a history, with the error of whoever asks.
fn instants(random: &mut Random, history: &[SessionRow]) -> Vec<(Utc, u64)> {
    let mut edges: Vec<i64> =
        history.iter().flat_map(|row| [row.held.start.ms(), row.held.end.ms()]).collect();
    edges.push(utc("2026-11-22T00:00:00Z").ms());
    let near = |number: usize| {
        let near = edges[number % edges.len()] + random.below(16_000) - 8_000;
        (Utc::from_ms(near), u64::try_from(random.below(3) * 1_000).unwrap())
    };
    (0..24).map(near).collect()
}

#[test]
fn who_had_is_right_about_random_histories() {
    let mut random = Random(7);
    for round in 0..6 {
        let is_roaming = round % 2 == 1;
        let history = if is_roaming { roaming(&mut random) } else { history(&mut random) };
        let store = tempfile::tempdir().unwrap();
        write_days(store.path(), "gw-1", &history, &[]);
        let instants = instants(&mut random, &history);
        let traced = traced(store.path(), &instants);
        if !is_roaming {
            let mut expected = BTreeSet::new();
            for (number, (instant, error)) in (0..).zip(&instants) {
                for row in &history {
                    let subscriber = row.subscriber.as_ref().unwrap().in_clear().clone();
                    let judged = judge(row, *instant, Duration::from_millis(*error));
                    expected.extend(judged.map(|word| (number, subscriber, word.to_owned())));
                }
            }
            assert_same(&traced, &expected, &instants, &history);
        }
        for found in found(store.path(), &instants) {
            assert_same(&found, &traced, &instants, &history);
        }
    }
}

fn assert_same(
    found: &BTreeSet<(u64, String, String)>,
    expected: &BTreeSet<(u64, String, String)>,
    instants: &[(Utc, u64)],
    history: &[SessionRow],
) {
    let (missing, surplus) = (expected - found, found - expected);
    let holds: Vec<_> =
        history.iter().map(|row| (row.segment, row.held, row.clock_error_ms)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:?}, surplus {surplus:?}: {instants:?} {holds:?}"
    );
}
