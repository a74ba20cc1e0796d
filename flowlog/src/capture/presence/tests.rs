use super::*;

/// An instant of the kernel's clock.
const fn at(ns: u64) -> MonotonicNs {
    MonotonicNs::from_ns(ns)
}

#[test]
fn a_name_keeps_its_slot() {
    let presence = Presence::new(2);
    assert_eq!(presence.slot("wg0"), Some(Slot::new(0)));
    assert_eq!(presence.slot("tun0"), Some(Slot::new(1)));
    assert_eq!(presence.slot("wg0"), Some(Slot::new(0)));
    assert_eq!(presence.slot("wg1"), None);
}

#[test]
fn an_interface_is_observed_while_it_is_attached() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    let counted = |opened, closed| {
        let observed = presence.between(opened, closed);
        observed.into_iter().filter(|o| o.was_counted).collect::<Vec<_>>()
    };
    assert_eq!(counted(at(0), at(10)), []);
    presence.attached(slot);
    let far = MonotonicNs::MAX;
    let nearly = at(u64::MAX - 1);
    let first = counted(at(0), nearly);
    assert_eq!(first.len(), 1);
    assert!(first[0].from > at(0) && first[0].to == nearly);
    // The whole of the next epoch, too.
    assert_eq!(counted(at(5), at(9))[0].from, at(5));
    presence.detached(slot, None);
    let last = counted(at(5), far);
    assert!(last[0].to < far && last[0].interruptions == 0);
    assert_eq!(counted(at(5), far), []);
    presence.attached(slot);
    assert_eq!(counted(at(5), far)[0].interruptions, 1);
}

#[test]
fn what_is_attached_in_the_next_epoch_is_not_in_this_one() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    assert!(!presence.between(at(0), at(1))[0].was_counted);
    assert!(presence.between(at(1), MonotonicNs::MAX)[0].was_counted);
}

#[test]
fn what_goes_in_the_next_epoch_is_counted_in_the_whole_of_this_one() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(at(0), MonotonicNs::MAX);
    presence.detached(slot, None);
    let this = &presence.between(at(1), at(2))[0];
    assert_eq!((this.was_counted, this.from, this.to), (true, at(1), at(2)));
    let next = &presence.between(at(2), MonotonicNs::MAX)[0];
    assert!(next.was_counted && next.from == at(2) && next.to < MonotonicNs::MAX);
    assert!(!presence.between(at(2), MonotonicNs::MAX)[0].was_counted);
}

#[test]
fn what_comes_back_within_an_epoch_was_counted_from_its_beginning() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(at(0), MonotonicNs::MAX);
    presence.detached(slot, None);
    presence.attached(slot);
    let observed = &presence.between(at(5), MonotonicNs::MAX)[0];
    assert_eq!((observed.from, observed.interruptions), (at(5), 1));
}

#[test]
fn what_goes_on_has_no_interruption() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.continued(slot);
    let observed = &presence.between(at(5), at(9))[0];
    assert!(observed.was_counted && observed.interruptions == 0);
    assert_eq!((observed.from, observed.to), (at(5), at(9)));
}

#[test]
fn what_is_lost_is_a_gap_in_every_epoch_until_it_is_counted_again() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(at(0), at(10));
    let now = clock::monotonic_coarse();
    presence.lost(slot, at(5), GapReason::Detached);
    let gaps = |opened, closed| {
        let gaps = presence.between(opened, closed).remove(0).gaps;
        gaps.iter().map(|(span, _)| (span.since, span.until)).collect::<Vec<_>>()
    };
    assert_eq!(gaps(at(10), at(20)), [(at(5), at(20))]);
    assert_eq!(gaps(at(20), at(30)), [(at(20), at(30))]);
    presence.attached(slot);
    let [(since, until)] = gaps(at(30), MonotonicNs::MAX)[..] else { panic!("one gap") };
    assert!(since == at(30) && until >= now);
    assert_eq!(gaps(until, MonotonicNs::MAX), []);
}

#[test]
fn the_slot_of_an_interface_that_went_is_free_after_both_sets_of_maps_were_drained() {
    let presence = Presence::new(1);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(at(0), MonotonicNs::MAX);
    presence.detached(slot, None);
    // The epoch in which it went, and the two after it.
    for _ in 0..3 {
        assert_eq!(presence.slot("wg1"), None);
        presence.between(at(1), MonotonicNs::MAX);
    }
    assert_eq!(presence.slot("wg1"), Some(slot));
    assert_eq!(presence.slot("wg0"), None);
    presence.attached(slot);
    let observed = presence.between(at(1), MonotonicNs::MAX).remove(0);
    assert_eq!((observed.name.as_str(), observed.interruptions), ("wg1", 0));
}
