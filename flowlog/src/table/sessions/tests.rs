use object_store::path::Path;

use super::{super::Reader, *};
use crate::{
    record::{
        clock::Utc,
        redacted::{Address, Prefix},
        session::{
            CoverageGap, CoverageReason, CoverageRow, EndReason, Held, Instance, Outer, Peer,
            SessionId, Source, State,
        },
    },
    table::{
        COVERAGE, coverage,
        metadata::{EventFile, Events},
    },
};

fn row(prefix: &str, start_ms: i64) -> SessionRow {
    let instance = Instance { source: Source::Openvpn, name: "tun0".to_owned() };
    let (start, peer) = (Utc::from_ms(start_ms), Peer::of(&[9; 20]));
    SessionRow {
        session: SessionId::of("gw1", &instance, peer, start),
        segment: 3,
        instance,
        realm: "north".to_owned(),
        peer,
        subscriber: Some("m-0007".to_owned().into()),
        state: State::Assigned,
        prefix: Prefix::from(prefix.parse::<ipnet::IpNet>().unwrap()),
        outer: Some(Outer { address: Address::from([198, 51, 100, 7]), port: Some(51_820) }),
        held: Held {
            start,
            end: Utc::from_ms(start_ms + 5_000),
            start_slack_ms: 7,
            end_slack_ms: 8,
        },
        session_start: Utc::from_ms(start_ms - 60_000),
        session_start_slack_ms: 9,
        continues: false,
        end_reason: Some(EndReason::Roamed),
        bytes: Some([1, u64::MAX]),
        clock_error_ms: 12,
    }
}

fn events() -> Vec<Events> {
    vec![("3f62".to_owned(), 1, 40), ("90aa".to_owned(), 41, 41)]
}

fn described(events: &[Events]) -> EventFile<'_> {
    EventFile { lineage: "l", gateway: "gw1", start: Utc::from_ms(0), events }
}

#[test]
fn rows_are_read_as_they_were_written() {
    let bare = SessionRow {
        subscriber: None,
        outer: None,
        end_reason: None,
        bytes: None,
        continues: true,
        ..row("2001:db8:7::/56", 3)
    };
    let written = [row("10.0.0.7/32", 86_400_001), bare];
    let file = encode(&written, |rows| described(&events()).pairs(&SESSIONS, rows as u64)).unwrap();
    let reader = Reader::open_sealed(&SESSIONS, &Path::from("sessions/1"), file).unwrap();
    let facts = reader.facts().clone();
    assert_eq!(facts.events, Some(events()));
    let mut read = vec![];
    reader
        .for_each(|batch| {
            read.extend(rows(batch)?);
            Ok::<_, super::super::reader::Error>(())
        })
        .unwrap();
    assert_eq!(read, written);
}

#[test]
fn the_order_of_the_hexadecimal_digits_is_that_of_the_addresses() {
    let hex = |text: &str| hex_of(text.parse().unwrap());
    assert_eq!(hex("10.0.0.7"), "00000000000000000000ffff0a000007");
    assert_eq!(hex("2001:db8:7::"), "20010db8000700000000000000000000");
    assert!(hex("9.255.255.255") < hex("10.0.0.0") && hex("10.0.0.0") < hex("2001:db8::"));
}

#[test]
fn coverage_is_read_as_it_was_written() {
    let gap = CoverageGap {
        start: Utc::from_ms(5),
        end: Utc::from_ms(9),
        reason: CoverageReason::SourceSilent,
    };
    let row = CoverageRow {
        instance: Instance { source: Source::Lease, name: "leases".to_owned() },
        realm: "default".to_owned(),
        window: (Utc::from_ms(0), Utc::from_ms(3_600_000)),
        observed: (Utc::from_ms(4), Utc::from_ms(4_000)),
        reports: 7,
        longest_pause_ms: 800,
        errors: 2,
        overruns: 1,
        gap: Some(gap),
        clock_error_ms: 16_000,
        clock_step_ms: -3,
    };
    let written = [row.clone(), CoverageRow { gap: None, ..row }];
    let file =
        coverage::encode(&written, |rows| described(&events()).pairs(&COVERAGE, rows as u64))
            .unwrap();
    let reader = Reader::open_sealed(&COVERAGE, &Path::from("coverage/1"), file).unwrap();
    let mut read = vec![];
    reader
        .for_each(|batch| {
            read.extend(coverage::rows(batch)?);
            Ok::<_, super::super::reader::Error>(())
        })
        .unwrap();
    assert_eq!(read, written);
}
