use proptest::prelude::*;

use super::*;
use crate::record::epoch::Slot;

/// The time between two instants.
const fn between(since: u64, until: u64) -> Span {
    span(MonotonicNs::from_ns(since), MonotonicNs::from_ns(until))
}

fn interval(number: u64, ours: u64, theirs: u64, counters: Counters) -> Interval {
    Interval {
        span: between(number * 10, number * 10 + 10),
        ours: [ours, 0],
        theirs: Some([Count { packets: theirs, bytes: theirs * 100 }, Count::default()]),
        counters,
    }
}

fn same(number: u64, ours: u64, theirs: u64) -> Interval {
    interval(number, ours, theirs, Counters::Same)
}

#[test]
fn packets_of_which_none_is_counted_then_or_later_make_a_gap() {
    let this = same(1, 0, 5);
    assert_eq!(judge(&this, Some(&same(2, 0, 0))), Some(between(10, 20)));
    assert_eq!(judge(&this, Some(&same(2, 0, 7))), Some(between(10, 20)));
    assert_eq!(judge(&this, Some(&same(2, 1_000, 1_000))), Some(between(10, 20)));
    assert_eq!(judge(&this, None), Some(between(10, 20)));
}

#[test]
fn packets_that_turn_up_in_the_next_interval_were_on_their_way() {
    assert_eq!(judge(&same(1, 0, 5), Some(&same(2, 1_005, 1_000))), None);
    let unknown = Interval { theirs: None, ..same(2, 5, 0) };
    assert_eq!(judge(&same(1, 0, 5), Some(&unknown)), None);
}

#[test]
fn packets_that_the_program_counted_before_the_interface_was_asked_are_not_missing() {
    // Ten packets arrive between the two readings, and none after.
    let counts = |packets| [Count { packets, bytes: packets * 100 }, Count::default()];
    let first = Counted { ours: [100, 0], meanwhile: counts(10) };
    let then = Counted { ours: [100, 0], meanwhile: counts(0) };
    let of_the_rest = |theirs| {
        Interval::between(&first, &then, between(10, 20), Some(counts(theirs)), Counters::Same)
    };
    assert_eq!(judge(&of_the_rest(10), Some(&same(2, 0, 0))), None);
    assert_eq!(judge(&of_the_rest(10), None), None);
    // One more was counted by the interface alone.
    assert_eq!(judge(&of_the_rest(11), Some(&same(2, 0, 0))), Some(between(10, 20)));
}

#[test]
fn packets_that_were_counted_under_the_name_before_are_not_missing() {
    let counts = |packets| [Count { packets, bytes: packets * 100 }, Count::default()];
    let mut renamed = Counted::default();
    renamed.add_meanwhile(counts(10));
    let of_it = |theirs| {
        let (then, span) = (Counted::default(), between(10, 20));
        Interval::between(&renamed, &then, span, Some(counts(theirs)), Counters::Same)
    };
    assert_eq!(judge(&of_it(10), Some(&same(2, 0, 0))), None);
    assert_eq!(judge(&of_it(11), Some(&same(2, 0, 0))), Some(between(10, 20)));
}

#[test]
fn an_idle_hour_with_keepalives_and_handshakes_is_no_gap() {
    let hour = |bytes: u64, packets: u64, counters| Interval {
        span: between(0, 3_600_000_000_000),
        ours: [0; 2],
        theirs: Some([Count { packets, bytes }; 2]),
        counters,
    };
    // A keepalive every 25 s and a handshake every two minutes, of a hundred members.
    let (keepalives, handshakes) = (100 * 144, 100 * 30);
    let bytes = keepalives * KEEPALIVE_BYTES + handshakes * HANDSHAKE_BYTES;
    let idle = hour(bytes, keepalives + handshakes, Counters::WithKeepalives);
    assert_eq!(judge(&idle, None), None);
    // Members that are not there, to whom nothing but handshakes is sent.
    let calling = hour(900 * HANDSHAKE_BYTES, 900, Counters::WithKeepalives);
    assert_eq!(judge(&calling, None), None);
    let echoes = hour(360 * 10, 360, Counters::WithControl);
    assert_eq!(judge(&echoes, None), None);
    let neighbours = hour(64 * 7_200, 7_200, Counters::Hardware);
    assert_eq!(judge(&neighbours, None), None);
    let transfer = hour(1_400 * 7_200, 7_200, Counters::WithKeepalives);
    assert_eq!(judge(&transfer, None), Some(transfer.span));
}

#[test]
fn where_the_interface_was_not_asked_nothing_is_said() {
    let unknown = Interval { theirs: None, ..same(1, 0, 0) };
    assert_eq!(judge(&unknown, Some(&same(2, 0, 9))), None);
}

fn observed() -> Observed {
    Observed {
        slot: Slot::new(0),
        name: "tun0".to_owned(),
        from: MonotonicNs::default(),
        to: MonotonicNs::default(),
        interruptions: 0,
        was_counted: true,
        gaps: vec![],
        overtaken: vec![],
        on_interface: None,
        counters: Counters::Same,
    }
}

/// Of packets to members, by what the program and what the interface counted.
fn gaps_of(down: &[(u64, Option<u64>)]) -> usize {
    let mut history = History::default();
    let mut gaps = 0;
    for (number, (ours, theirs)) in (0..).zip(down) {
        let sent = |packets| Count { packets, bytes: packets * 100 };
        let mut this = same(number, 0, 0);
        this.ours = [0, *ours];
        this.theirs = theirs.map(|packets| [Count::default(), sent(packets)]);
        gaps += history.add(&observed(), this, false).len();
    }
    gaps
}

#[test]
fn what_is_sent_long_after_it_was_counted_is_no_gap() {
    assert_eq!(gaps_of(&[(10, Some(0)), (0, Some(10)), (0, Some(0))]), 0);
    assert_eq!(gaps_of(&[(10, Some(5)), (0, Some(0)), (0, Some(2)), (0, Some(0))]), 0);
    // Counted by the daemon before.
    assert_eq!(gaps_of(&[(0, None), (0, Some(400)), (0, Some(0))]), 0);
    assert_eq!(gaps_of(&[(10, Some(10)), (0, Some(10)), (0, Some(0))]), 1);
    assert_eq!(gaps_of(&[(0, None), (0, Some(4_000)), (0, Some(9)), (0, Some(0))]), 2);
}

proptest! {
    /// However traffic begins and ends, and although a reading falls among packets that are on
    /// their way: as long as each reaches the program, there is no gap.
    #[test]
    fn what_reaches_the_program_is_never_a_gap(
        epochs in prop::collection::vec((0_u64..1_000, 0_u64..100), 2..20),
    ) {
        let mut late = 0;
        let mut before: Option<Interval> = None;
        for (number, (packets, on_their_way)) in (1..).zip(epochs) {
            // Of every other reading, up to all of them.
            let on_their_way = if number % 2 == 0 { on_their_way.min(packets) } else { 0 };
            let this = same(number, packets + late - on_their_way, packets);
            late = on_their_way;
            if let Some(before) = before {
                prop_assert_eq!(judge(&before, Some(&this)), None);
            }
            before = Some(this);
        }
    }

    /// Where packets of members pass and none reaches the program, each interval with some is a
    /// gap, whatever comes later.
    #[test]
    fn what_never_reaches_the_program_is_a_gap(packets in 1_u64..1_000_000, next in 0_u64..1_000_000) {
        let this = same(1, 0, packets);
        prop_assert_eq!(judge(&this, Some(&same(2, next, next))), Some(this.span));
        prop_assert_eq!(judge(&this, Some(&same(2, 0, next))), Some(this.span));
    }

    /// Counted time is never a gap.
    #[test]
    fn counted_time_is_never_a_gap(ours in 1_u64.., theirs in any::<u64>(), next in any::<u64>()) {
        let mut this = same(1, ours, 0);
        this.theirs = Some([Count { packets: theirs, bytes: theirs }, Count::default()]);
        prop_assert_eq!(judge(&this, Some(&same(2, 0, next / 1_000))), None);
    }
}
