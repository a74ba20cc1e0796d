//! Stores of sessions and of the coverage of their sources, written through the library.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use flowlog::{
    record::{
        clock::Utc,
        redacted::Prefix,
        session::{
            CoverageRow, EndReason, Held, Instance, Outer, Peer, SessionId, SessionRow, Source,
            State,
        },
    },
    table::{
        COVERAGE, ObjectName, SESSIONS, Table, coverage,
        metadata::{EventFile, Events},
        sessions,
    },
};
use ipnet::IpNet;

const DAY: Duration = Duration::from_hours(24);
const WINDOW: Duration = Duration::from_mins(5);

/// An instant by its text.
pub fn utc(text: &str) -> Utc {
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

/// The source that all of it is from.
pub fn wg0() -> Instance {
    Instance { source: Source::Wireguard, name: "wg0".to_owned() }
}

/// A session of a member of a gateway, from an endpoint, that has one prefix and then ends.
pub fn session(gateway: &str, member: u16, prefix: &str, from: Utc, to: Utc) -> SessionRow {
    let peer = Peer::of(&[&member.to_be_bytes()[..], &[7; 14]].concat());
    let [high, low] = member.to_be_bytes();
    SessionRow {
        session: SessionId::of(gateway, &wg0(), peer, from),
        segment: 0,
        instance: wg0(),
        realm: "default".to_owned(),
        peer,
        subscriber: Some(format!("m-{member:04}").into()),
        state: State::Tunnel,
        prefix: Prefix::from(prefix.parse::<IpNet>().unwrap()),
        outer: Some(Outer {
            address: IpAddr::from([198, 51, high, low]).into(),
            port: Some(51_820),
        }),
        held: Held { start: from, end: to, start_slack_ms: 0, end_slack_ms: 5_000 },
        session_start: from,
        session_start_slack_ms: 0,
        continues: false,
        end_reason: Some(EndReason::HandshakeExpired),
        bytes: None,
        clock_error_ms: 12,
    }
}

/// A source that was polled every five seconds, from one instant to another.
pub fn polls(from: Utc, to: Utc) -> Vec<CoverageRow> {
    let windows = std::iter::successors(Some(from.floor(WINDOW)), |at| Some(at.plus(WINDOW)));
    let row = |start: Utc| CoverageRow {
        instance: wg0(),
        realm: "default".to_owned(),
        window: (start, start.plus(WINDOW)),
        observed: (start.plus(Duration::from_secs(2)), start.plus(Duration::from_secs(297))),
        reports: 60,
        longest_pause_ms: 5_000,
        errors: 0,
        overruns: 0,
        gap: None,
        clock_error_ms: 12,
        clock_step_ms: 0,
    };
    windows.take_while(|start| *start < to).map(row).collect()
}

/// Writes the day of a gateway: rows that are not cut at midnight have the slices of that day.
pub fn write_day(
    store: &Path,
    gateway: &str,
    day: Utc,
    sessions: &[SessionRow],
    coverage: &[CoverageRow],
) {
    let is_of_day = |at: Utc| at.floor(DAY) == day;
    let slices = sessions.iter().flat_map(SessionRow::slices);
    let mut rows: Vec<SessionRow> = slices.filter(|row| row.day() == day).collect();
    rows.sort_by_cached_key(|row| {
        (sessions::hex_of(row.prefix.in_clear().network()), row.held.start)
    });
    let looks: Vec<CoverageRow> =
        coverage.iter().filter(|row| is_of_day(row.window.0)).cloned().collect();
    // An event a day, numbered as the days are.
    let number = u64::try_from(day.ms() / 86_400_000).unwrap();
    let events: [Events; 1] = [("3f62".to_owned(), number, number)];
    let lineage = format!("{gateway} {day}");
    let about = EventFile { lineage: &lineage, gateway, start: day, events: &events };
    if !rows.is_empty() {
        let file = sessions::encode(&rows, |count| about.pairs(&SESSIONS, count as u64));
        write(store, &SESSIONS, gateway, day, &file.unwrap());
    }
    if !looks.is_empty() {
        let file = coverage::encode(&looks, |count| about.pairs(&COVERAGE, count as u64));
        write(store, &COVERAGE, gateway, day, &file.unwrap());
    }
}

/// Writes all days of a gateway that have rows.
pub fn write_days(store: &Path, gateway: &str, sessions: &[SessionRow], coverage: &[CoverageRow]) {
    let slices = sessions.iter().flat_map(SessionRow::slices);
    let of_sessions = slices.map(|row| row.day());
    let of_coverage = coverage.iter().map(|row| row.window.0);
    let days: std::collections::BTreeSet<Utc> =
        of_sessions.chain(of_coverage).map(|at| at.floor(DAY)).collect();
    for day in days {
        write_day(store, gateway, day, sessions, coverage);
    }
}

fn write(store: &Path, table: &'static Table, gateway: &str, day: Utc, file: &[u8]) {
    let path = store.join(ObjectName::new(table, gateway, day, DAY).path().as_ref());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}
