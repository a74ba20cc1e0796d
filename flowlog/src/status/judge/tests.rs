use super::{
    super::{Clock, Drain, Gap, Message, SCHEMA, Source},
    *,
};

fn utc(text: &str) -> Utc {
    Utc::from(text.parse::<jiff::Timestamp>().unwrap())
}

/// A daemon that does what it should, at 03:12:40.
fn sound() -> Snapshot {
    let interface =
        |name: &str, state| Interface { name: name.to_owned(), state, ..Interface::default() };
    Snapshot {
        schema: SCHEMA.to_owned(),
        time: Some(utc("2026-03-01T03:12:40Z")),
        started: Some(utc("2026-02-01T00:00:00Z")),
        phase: Phase::Counting,
        window_seconds: 300.0,
        interfaces: vec![
            interface("wg0", InterfaceState::Reached),
            interface("wg1", InterfaceState::Quiet),
        ],
        drain: Drain {
            interval_seconds: 10.0,
            drained_until: Some(utc("2026-03-01T03:12:30Z")),
            ..Drain::default()
        },
        spool: Spool {
            directory: Some("/spool".to_owned()),
            size_bytes: 79,
            limit_bytes: Some(100),
            is_recovered: true,
            ..Spool::default()
        },
        store: Store {
            url: "/store".to_owned(),
            is_open: true,
            stored_until: Some(utc("2026-03-01T03:12:00Z")),
            ..Store::default()
        },
        retention: Some(Retention { verdict: "allow".to_owned(), ..Retention::default() }),
        clock: Clock { is_synchronised: true, max_error_seconds: 0.016 },
        ..Snapshot::default()
    }
}

/// What needs attention after a change: each part, message and remedy.
fn attention(change: impl FnOnce(&mut Snapshot)) -> Vec<(&'static str, String)> {
    let mut snapshot = sound();
    change(&mut snapshot);
    let attention = judge(&snapshot).attention;
    assert!(attention.iter().all(|one| !one.remedy.is_empty()));
    attention.into_iter().map(|one| (one.part, one.message)).collect()
}

fn assert_one(part: &str, words: &str, change: impl FnOnce(&mut Snapshot)) {
    let attention = attention(change);
    let [(of, message)] = &attention[..] else { panic!("{attention:?}") };
    assert!(*of == part && message.contains(words), "{attention:?}");
}

#[test]
fn the_first_line_is_the_answer() {
    let judgement = judge(&sound());
    assert_eq!(
        judgement.headline,
        "counting 2 of 2 interfaces; stored up to 03:12:00Z, 40 s ago; nothing waits"
    );
    assert_eq!(judgement.attention, []);
}

#[test]
fn a_line_that_somebody_reads_later_has_no_ages() {
    assert_eq!(
        headline(&sound(), false),
        "counting 2 of 2 interfaces; stored up to 03:12:00Z; nothing waits"
    );
}

#[test]
fn an_interface_that_is_attached_and_not_reached_is_not_counted() {
    let change = |snapshot: &mut Snapshot| {
        snapshot.interfaces[0].state = InterfaceState::NotReached;
        snapshot.interfaces[0].unreached_since = Some(utc("2026-03-01T03:10:00Z"));
    };
    assert_one("interface", "packets on wg0 do not reach flowlog since 03:10:00Z", change);
    let mut snapshot = sound();
    change(&mut snapshot);
    assert!(judge(&snapshot).headline.starts_with("counting 1 of 2 interfaces"));
}

#[test]
fn an_interface_that_is_refused_or_absent_is_named() {
    assert_one("interface", "wg0 cannot be counted: no room", |snapshot| {
        snapshot.interfaces[0].state = InterfaceState::Refused;
        snapshot.interfaces[0].refusal = Some("no room".to_owned());
    });
    assert_one("interface", "wg1 does not exist", |snapshot| {
        snapshot.interfaces[1].state = InterfaceState::Absent;
    });
}

#[test]
fn where_no_interface_is_counted_the_patterns_are_named() {
    assert_one("interface", "no interface is counted; none matches tun*", |snapshot| {
        snapshot.interfaces.clear();
        snapshot.unmatched_patterns = vec!["tun*".to_owned()];
    });
}

#[test]
fn a_gap_is_news_for_a_quarter_of_an_hour() {
    let gap = |start: &str, end: &str| {
        let gap =
            Gap { start: Some(utc(start)), end: Some(utc(end)), reason: "detached".to_owned() };
        move |snapshot: &mut Snapshot| snapshot.interfaces[1].last_gap = Some(gap)
    };
    assert_one(
        "interface",
        "wg1 was not counted from 03:00:00Z to 03:01:00Z (detached)",
        gap("2026-03-01T03:00:00Z", "2026-03-01T03:01:00Z"),
    );
    assert_eq!(attention(gap("2026-03-01T02:00:00Z", "2026-03-01T02:57:39Z")), []);
}

fn server() -> Source {
    Source {
        kind: "openvpn".to_owned(),
        instance: "server".to_owned(),
        is_heard: true,
        answered_at: Some(utc("2026-03-01T03:12:38Z")),
        ..Source::default()
    }
}

#[test]
fn a_source_that_is_silent_for_long_is_noticed_with_its_last_error() {
    let silent_since = |text: &str| {
        let silent = Source {
            is_heard: false,
            answered_at: Some(utc(text)),
            error: Some(Message::new("no whole answer within 3s")),
            remedy: Some("look whether the server hangs".to_owned()),
            ..server()
        };
        move |snapshot: &mut Snapshot| snapshot.sources.push(silent)
    };
    assert_eq!(attention(|snapshot| snapshot.sources.push(server())), []);
    assert_eq!(attention(silent_since("2026-03-01T03:11:40Z")), []);
    assert_one(
        "source",
        "openvpn server has not answered since 03:09:40Z, 3 min ago: no whole answer within 3s; the coverage has a gap",
        silent_since("2026-03-01T03:09:40Z"),
    );
    // A daemon that has just begun may still hear it.
    assert_eq!(
        attention(|snapshot| {
            silent_since("2026-03-01T02:00:00Z")(snapshot);
            snapshot.started = Some(utc("2026-03-01T03:12:00Z"));
        }),
        []
    );
    // Beside parts that fail, others give answers.
    assert_eq!(
        attention(|snapshot| {
            let error = Some(Message::new("cannot connect to the socket"));
            snapshot.sources.push(Source { error, ..server() });
        }),
        []
    );
}

#[test]
fn an_interface_of_wireguard_that_is_named_is_missed_and_one_of_a_pattern_is_not() {
    let absent = |instance: &str| {
        let source = Source {
            kind: "wireguard".to_owned(),
            instance: instance.to_owned(),
            ..Source::default()
        };
        move |snapshot: &mut Snapshot| snapshot.sources.push(source)
    };
    assert_one("source", "there is no WireGuard interface wg7", absent("wg7"));
    assert_eq!(attention(absent("wg*")), []);
    assert_one("source", "wireguard wg* has never answered: no room", |snapshot| {
        absent("wg*")(snapshot);
        snapshot.sources[0].error = Some(Message::new("no room"));
    });
}

#[test]
fn a_drain_that_stands_still_is_noticed() {
    let drained = |text: &'static str| {
        move |snapshot: &mut Snapshot| snapshot.drain.drained_until = Some(utc(text))
    };
    assert_one("drain", "nothing was drained for 2 min", drained("2026-03-01T03:10:40Z"));
    assert_eq!(attention(drained("2026-03-01T03:11:20Z")), []);
}

#[test]
fn a_spool_that_is_nearly_full_or_takes_nothing_is_noticed() {
    assert_one("spool", "80 %", |snapshot| snapshot.spool.size_bytes = 80);
    assert_one("spool", "the spool cannot be written", |snapshot| {
        snapshot.spool.error = Some(Message::new("the disk is full"));
        snapshot.drain.drained_until = Some(utc("2026-03-01T02:00:00Z"));
    });
    // One that goes with the process has no limit.
    assert_eq!(
        attention(|snapshot| {
            snapshot.spool = Spool { size_bytes: 1 << 40, is_recovered: true, ..Spool::default() };
        }),
        []
    );
}

#[test]
fn a_store_that_is_away_is_named_with_what_it_reported_and_what_waits() {
    let mut snapshot = sound();
    snapshot.store.error = Some(Message::new("connection refused"));
    snapshot.store.failures = 3;
    snapshot.store.waiting_windows = 2;
    snapshot.store.waiting_flows = 500;
    let judgement = judge(&snapshot);
    assert!(
        judgement.headline.ends_with("; 2 windows with 500 flows wait for the store"),
        "{}",
        judgement.headline
    );
    let [away] = &judgement.attention[..] else { panic!("{judgement:?}") };
    assert!(away.message.contains("again and again: connection refused"), "{away:?}");
    assert!(away.remedy.contains("the spool keeps everything"), "{away:?}");
    snapshot.spool.directory = None;
    assert!(judge(&snapshot).attention[0].remedy.contains("there is no spool"));
}

#[test]
fn a_store_that_does_not_answer_or_falls_behind_is_noticed() {
    assert_one("store", "has not answered for 40 s", |snapshot| {
        snapshot.store.busy_since = Some(utc("2026-03-01T03:12:00Z"));
    });
    assert_one("store", "nothing was stored for 12 min", |snapshot| {
        snapshot.store.stored_until = Some(utc("2026-03-01T03:00:00Z"));
    });
    // The first window is not over.
    assert_eq!(
        attention(|snapshot| {
            snapshot.store.stored_until = None;
            snapshot.started = Some(utc("2026-03-01T03:05:00Z"));
        }),
        []
    );
}

#[test]
fn retention_that_deletes_nothing_is_noticed_and_a_mere_doubt_is_not() {
    let verdict = |verdict: &'static str| {
        move |snapshot: &mut Snapshot| {
            let retention = snapshot.retention.as_mut().unwrap();
            retention.verdict = verdict.to_owned();
            retention.doubt = Some("the clock has jumped".to_owned());
        }
    };
    assert_one("retention", "deletes nothing: the clock has jumped", verdict("refuse"));
    assert_eq!(attention(verdict("warn")), []);
}

#[test]
fn a_clock_that_names_the_wrong_subscriber_is_noticed() {
    assert_one("clock", "off by up to 16 s", |snapshot| {
        snapshot.clock = Clock { is_synchronised: false, max_error_seconds: 16.0 };
    });
}

#[test]
fn a_daemon_that_ends_is_not_taken_for_one_that_counts() {
    let mut snapshot = sound();
    snapshot.phase = Phase::Ending;
    let judgement = judge(&snapshot);
    assert!(judgement.headline.starts_with("ending; stored up to"), "{judgement:?}");
    assert_eq!(judgement.attention[0].part, "daemon");
}

#[test]
fn what_another_version_answers_is_understood_as_far_as_it_is_known() {
    let text = r#"{"schema":"flowlog.status/1","gateway":"gw1","phase":"counting","news":{"a":1}}"#;
    let snapshot: Snapshot = serde_json::from_str(text).unwrap();
    assert_eq!(snapshot.gateway, "gw1");
    let again = serde_json::to_string(&sound()).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&again).unwrap(), sound());
}
