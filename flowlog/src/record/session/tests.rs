use ipnet::IpNet;

use super::*;

fn utc(text: &str) -> Utc {
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

fn row(start: &str, end: &str, start_slack_ms: u32, end_slack_ms: u32) -> SessionRow {
    let instance = Instance { source: Source::Wireguard, name: "wg0".to_owned() };
    let peer = Peer::of(&[7; 32]);
    SessionRow {
        session: SessionId::of("gw1", &instance, peer, utc(start)),
        segment: 0,
        instance,
        realm: "default".to_owned(),
        peer,
        subscriber: None,
        state: State::Tunnel,
        prefix: Prefix::from("10.0.0.7/32".parse::<IpNet>().unwrap()),
        outer: None,
        held: Held { start: utc(start), end: utc(end), start_slack_ms, end_slack_ms },
        session_start: utc(start),
        session_start_slack_ms: start_slack_ms,
        continues: false,
        end_reason: Some(EndReason::Removed),
        bytes: Some([1, 2]),
        clock_error_ms: 0,
    }
}

/// Times of a day, slack before and behind, and whether it continues.
fn shown(row: &SessionRow) -> (String, String, u32, u32, bool, bool) {
    let Held { start, end, start_slack_ms, end_slack_ms } = row.held;
    let ended = row.end_reason.is_some();
    (start.to_string(), end.to_string(), start_slack_ms, end_slack_ms, row.continues, ended)
}

#[test]
fn a_row_of_three_days_is_three_rows_that_adjoin() {
    let whole = row("2026-11-25T23:00:00Z", "2026-11-27T01:00:00Z", 1_000, 2_000);
    let slices = whole.slices();
    let text = |text: &str| text.to_owned();
    let expected = [
        (text("2026-11-25T23:00:00Z"), text("2026-11-26T00:00:00Z"), 1_000, 0, true, false),
        (text("2026-11-26T00:00:00Z"), text("2026-11-27T00:00:00Z"), 0, 0, true, false),
        (text("2026-11-27T00:00:00Z"), text("2026-11-27T01:00:00Z"), 0, 2_000, false, true),
    ];
    assert_eq!(slices.iter().map(shown).collect::<Vec<_>>(), expected);
    let bytes: Vec<_> = slices.iter().map(|slice| slice.bytes).collect();
    assert_eq!(bytes, [None, None, Some([1, 2])]);
    assert!(slices.iter().all(|slice| slice.session_start == whole.session_start));
}

#[test]
fn slack_beyond_midnight_is_a_row_that_is_certain_of_no_time() {
    let slices = row("2026-11-26T00:00:02Z", "2026-11-26T23:59:58Z", 5_000, 5_000).slices();
    let text = |text: &str| text.to_owned();
    let midnight = |day: &str| format!("{day}T00:00:00Z");
    let expected = [
        (midnight("2026-11-26"), midnight("2026-11-26"), 3_000, 0, false, false),
        (text("2026-11-26T00:00:02Z"), text("2026-11-26T23:59:58Z"), 2_000, 2_000, false, true),
        (midnight("2026-11-27"), midnight("2026-11-27"), 0, 3_000, false, true),
    ];
    assert_eq!(slices.iter().map(shown).collect::<Vec<_>>(), expected);
    let days: Vec<String> = slices.iter().map(|slice| slice.day().to_string()).collect();
    let midnights = ["2026-11-25", "2026-11-26", "2026-11-27"].map(midnight);
    assert_eq!(days, midnights);
}

#[test]
fn a_row_that_ends_at_midnight_has_no_row_behind_it() {
    let mut ends = row("2026-11-26T12:00:00Z", "2026-11-27T00:00:00Z", 0, 0);
    assert_eq!(ends.slices().len(), 1);
    ends.continues = true;
    ends.end_reason = None;
    assert_eq!(ends.slices(), [ends.clone()]);
}

#[test]
fn an_id_and_a_pseudonym_are_read_back_from_their_text() {
    let row = row("2026-11-26T12:00:00Z", "2026-11-26T13:00:00Z", 0, 0);
    assert_eq!(row.session.hex().parse(), Ok(row.session));
    assert_eq!(row.peer.hex().parse(), Ok(row.peer));
    assert_eq!("07".parse::<Peer>(), Err(NoHex));
    assert_eq!("+7070707070707070707070707070707".parse::<Peer>(), Err(NoHex));
    assert_eq!(format!("{:?}", row.peer), "[peer]");
}

#[test]
fn a_session_has_another_id_at_another_gateway_or_beginning() {
    let of = |gateway, start| {
        let Instance { source, name } = &row(start, start, 0, 0).instance;
        let instance = Instance { source: *source, name: name.clone() };
        SessionId::of(gateway, &instance, Peer::of(&[7; 32]), utc(start))
    };
    let id = of("gw1", "2026-11-26T12:00:00Z");
    assert_eq!(id, of("gw1", "2026-11-26T12:00:00Z"));
    assert_ne!(id, of("gw2", "2026-11-26T12:00:00Z"));
    assert_ne!(id, of("gw1", "2026-11-26T12:00:01Z"));
}
