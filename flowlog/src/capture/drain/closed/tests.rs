use super::*;
use crate::record::clock::Offset;

fn boundary(opened_ms: i64, now_ms: i64) -> i64 {
    let interval = Duration::from_secs(10);
    next_boundary(Utc::from_ms(opened_ms), Utc::from_ms(now_ms), interval).ms()
}

fn closed(synchronised: bool) -> Closed {
    let dating = Dating { offset: Offset::from_ns(0), synchronised };
    let (opened, end) =
        (MonotonicNs::from_ns(20_000_000_000), MonotonicNs::from_ns(30_000_000_000));
    let was =
        Open { number: EpochNumber::new(1), opened, opened_utc: dating.offset.utc(opened), dating };
    Closed { was, end, end_utc: dating.offset.utc(end), clock_step: 0 }
}

fn hour_ahead(synchronised: bool) -> Dating {
    Dating { offset: Offset::from_ns(3_600_000_000_000), synchronised }
}

#[test]
fn what_was_counted_before_a_correction_of_the_clock_is_dated_by_the_corrected_one() {
    for synchronised in [false, true] {
        let closed = closed(false).dated_again(hour_ahead(synchronised));
        assert_eq!(closed.was.opened_utc, Utc::from_ms(3_620_000));
        assert_eq!(closed.end_utc, Utc::from_ms(3_630_000));
        assert_eq!(closed.clock_step, 3_600_000_000_000);
    }
}

#[test]
fn what_a_kept_clock_has_dated_stays_when_somebody_sets_it_by_hand() {
    let closed = closed(true).dated_again(hour_ahead(false));
    assert_eq!(closed.end_utc, Utc::from_ms(30_000));
    assert_eq!(closed.clock_step, 3_600_000_000_000);
}

#[test]
fn the_next_boundary_is_the_next_multiple() {
    assert_eq!(boundary(11_000, 12_000), 20_000);
    assert_eq!(boundary(20_000, 20_000), 30_000);
    assert_eq!(boundary(19_990, 19_999), 20_000);
}

#[test]
fn a_clock_slewed_back_over_a_boundary_does_not_make_an_epoch_of_nothing() {
    assert_eq!(boundary(20_000, 19_995), 30_000);
}
