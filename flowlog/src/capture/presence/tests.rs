use super::*;

#[test]
fn a_name_keeps_its_slot() {
    let presence = Presence::new(2);
    assert_eq!(presence.slot("wg0"), Some(0));
    assert_eq!(presence.slot("tun0"), Some(1));
    assert_eq!(presence.slot("wg0"), Some(0));
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
    assert_eq!(counted(0, 10), []);
    presence.attached(slot);
    let far = u64::MAX;
    let first = counted(0, far - 1);
    assert_eq!(first.len(), 1);
    assert!(first[0].from > 0 && first[0].to == far - 1);
    // The whole of the next epoch, too.
    assert_eq!(counted(5, 9)[0].from, 5);
    presence.detached(slot, None);
    let last = counted(5, far);
    assert!(last[0].to < far && last[0].interruptions == 0);
    assert_eq!(counted(5, far), []);
    presence.attached(slot);
    assert_eq!(counted(5, far)[0].interruptions, 1);
}

#[test]
fn what_is_attached_in_the_next_epoch_is_not_in_this_one() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    assert!(!presence.between(0, 1)[0].was_counted);
    assert!(presence.between(1, u64::MAX)[0].was_counted);
}

#[test]
fn what_goes_in_the_next_epoch_is_counted_in_the_whole_of_this_one() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(0, u64::MAX);
    presence.detached(slot, None);
    let this = &presence.between(1, 2)[0];
    assert_eq!((this.was_counted, this.from, this.to), (true, 1, 2));
    let next = &presence.between(2, u64::MAX)[0];
    assert!(next.was_counted && next.from == 2 && next.to < u64::MAX);
    assert!(!presence.between(2, u64::MAX)[0].was_counted);
}

#[test]
fn what_comes_back_within_an_epoch_was_counted_from_its_beginning() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(0, u64::MAX);
    presence.detached(slot, None);
    presence.attached(slot);
    let observed = &presence.between(5, u64::MAX)[0];
    assert_eq!((observed.from, observed.interruptions), (5, 1));
}

#[test]
fn what_goes_on_has_no_interruption() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.continued(slot);
    let observed = &presence.between(5, 9)[0];
    assert!(observed.was_counted && observed.interruptions == 0);
    assert_eq!((observed.from, observed.to), (5, 9));
}

#[test]
fn what_is_lost_is_a_gap_in_every_epoch_until_it_is_counted_again() {
    let presence = Presence::new(4);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(0, 10);
    let now = clock::monotonic_coarse();
    presence.lost(slot, 5, GapReason::Detached);
    let gaps = |opened, closed| {
        let gaps = presence.between(opened, closed).remove(0).gaps;
        gaps.iter().map(|(span, _)| (span.since, span.until)).collect::<Vec<_>>()
    };
    assert_eq!(gaps(10, 20), [(5, 20)]);
    assert_eq!(gaps(20, 30), [(20, 30)]);
    presence.attached(slot);
    let [(since, until)] = gaps(30, u64::MAX)[..] else { panic!("one gap") };
    assert!(since == 30 && until >= now);
    assert_eq!(gaps(until, u64::MAX), []);
}

#[test]
fn the_slot_of_an_interface_that_went_is_free_after_both_sets_of_maps_were_drained() {
    let presence = Presence::new(1);
    let slot = presence.slot("wg0").unwrap();
    presence.attached(slot);
    presence.between(0, u64::MAX);
    presence.detached(slot, None);
    // The epoch in which it went, and the two after it.
    for _ in 0..3 {
        assert_eq!(presence.slot("wg1"), None);
        presence.between(1, u64::MAX);
    }
    assert_eq!(presence.slot("wg1"), Some(slot));
    assert_eq!(presence.slot("wg0"), None);
    presence.attached(slot);
    let observed = presence.between(1, u64::MAX).remove(0);
    assert_eq!((observed.name.as_str(), observed.interruptions), ("wg1", 0));
}
