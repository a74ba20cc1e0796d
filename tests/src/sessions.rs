//! Files of `sessions` and `coverage`, written row by row.

use std::{collections::BTreeMap, net::IpAddr, path::Path, time::Duration};

use flowlog::{
    record::{
        clock::Utc,
        redacted::Redacted,
        session::{CoverageRow, Held, Instance, Outer, Peer, SessionId, SessionRow, Source, State},
    },
    table::{COVERAGE, ObjectName, SESSIONS, Table, coverage, metadata::EventFile, sessions},
};

const DAY: Duration = Duration::from_hours(24);

/// The interface that the sessions are of.
#[must_use]
pub fn wireguard() -> Instance {
    Instance { source: Source::Wireguard, name: "wg0".to_owned() }
}

/// A tunnel of a subscriber, which held a prefix for all of its session; its peer is the subscriber's.
#[must_use]
pub fn tunnel(gateway: &str, subscriber: &str, prefix: &str, held: Held) -> SessionRow {
    let instance = wireguard();
    let mut digest = [0; 16];
    digest.iter_mut().zip(subscriber.bytes()).for_each(|(digest, byte)| *digest = byte);
    let peer = Peer::of(&digest);
    SessionRow {
        session: SessionId::of(gateway, &instance, peer, held.start),
        segment: 0,
        instance,
        realm: "default".to_owned(),
        peer,
        subscriber: Some(subscriber.to_owned().into()),
        state: State::Tunnel,
        prefix: Redacted::new(prefix.parse().unwrap()),
        outer: Some(Outer { address: IpAddr::from([198, 51, 100, 7]).into(), port: Some(51_820) }),
        session_start: held.start,
        session_start_slack_ms: held.start_slack_ms,
        held,
        continues: false,
        end_reason: None,
        bytes: None,
        clock_error_ms: 0,
    }
}

/// Writes the sessions of a gateway, cut at midnight, a file a day.
pub fn write_sessions(store: &Path, gateway: &str, rows: &[SessionRow]) {
    let mut days: BTreeMap<Utc, Vec<SessionRow>> = BTreeMap::new();
    for slice in rows.iter().flat_map(SessionRow::slices) {
        days.entry(day_of(&slice.held)).or_default().push(slice);
    }
    for (day, mut rows) in days {
        let first = |row: &SessionRow| sessions::hex_of(row.prefix.in_clear().network());
        rows.sort_by_key(|row| (first(row), row.held.start));
        let file =
            sessions::encode(&rows, |count| events(gateway, day).pairs(&SESSIONS, count as u64));
        write(store, &SESSIONS, gateway, day, &file.unwrap());
    }
}

/// The day of a slice. Where only its slack reaches into the day, it may begin where the day ends.
fn day_of(held: &Held) -> Utc {
    let is_of_day_before = held.is_empty() && held.start_slack_ms > 0;
    if is_of_day_before { held.possible_start().floor(DAY) } else { held.start.floor(DAY) }
}

/// Writes the coverage of the sources of a gateway, a file a day.
pub fn write_coverage(store: &Path, gateway: &str, rows: &[CoverageRow]) {
    let mut days: BTreeMap<Utc, Vec<CoverageRow>> = BTreeMap::new();
    for row in rows {
        days.entry(row.window.0.floor(DAY)).or_default().push(row.clone());
    }
    for (day, rows) in days {
        let file =
            coverage::encode(&rows, |count| events(gateway, day).pairs(&COVERAGE, count as u64));
        write(store, &COVERAGE, gateway, day, &file.unwrap());
    }
}

/// A file that was made of no event.
fn events(gateway: &str, start: Utc) -> EventFile<'_> {
    EventFile { lineage: "written by a test", gateway, start, events: &[] }
}

fn write(store: &Path, table: &'static Table, gateway: &str, day: Utc, file: &[u8]) {
    let name = ObjectName::new(table, gateway, day, DAY);
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
}
