//! What the counters of an interface itself moved by while it was counted.

use flowlog_common::total::Count;

use crate::{
    capture::netlink::witness::difference,
    record::epoch::{Counters, Reading},
};

/// An interface whose own counters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The kernel's index of it.
    pub kernel_index: u32,
    /// What its counters have.
    pub counters: Counters,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    metered: Option<Metered>,
    /// What the counters had when they were last read.
    last: Option<Reading>,
    /// What they have moved by since the epoch began, as far as is known.
    moved: Reading,
    /// Whether the interface was counted in the epoch at all.
    has_begun: bool,
    /// Whether it will be in a moment.
    is_expected: bool,
    /// Whether that is all.
    is_whole: bool,
    ended: Ended,
    /// What they moved by after the first reading, and may be counted under another name.
    pub(super) early: Reading,
}

/// What there is of the epoch that has ended.
#[derive(Debug, Default)]
enum Ended {
    /// Nothing that nobody has asked of.
    #[default]
    Nothing,
    /// What the counters moved by in it, where that is known.
    Moved(Option<Reading>),
    /// It was reported when the interface went, with what there was of the next epoch.
    Departed,
}

impl Meter {
    pub(super) fn kernel_index(&self) -> u32 {
        self.metered.map_or(0, |metered| metered.kernel_index)
    }

    pub(super) fn counters(&self) -> Counters {
        self.metered.map(|metered| metered.counters).unwrap_or_default()
    }

    /// Begins, or goes on after an interruption.
    pub(super) fn start(
        &mut self,
        metered: Metered,
        reading: Option<Reading>,
        is_since_attached: bool,
    ) {
        // Where it was counted before within the epoch, that has to be known too.
        let is_known = !self.has_begun || self.is_whole;
        self.is_whole = is_since_attached && reading.is_some() && is_known;
        self.has_begun = true;
        self.is_expected = false;
        if let Ended::Departed = self.ended {
            self.ended = Ended::Nothing;
        }
        self.metered = Some(metered);
        self.last = reading;
    }

    /// The interface is not counted any more.
    pub(super) fn stop(&mut self, reading: Option<Reading>) {
        self.advance(reading);
        self.last = None;
    }

    /// The epoch has ended while the program was about to be attached: nothing was counted in it.
    pub(super) const fn pass_nothing(&mut self) {
        self.ended = Ended::Moved(Some([Count { packets: 0, bytes: 0 }; 2]));
    }

    /// Whether it has what an epoch moved it by, of which nobody has asked.
    pub(super) const fn has_passed(&self) -> bool {
        matches!(self.ended, Ended::Moved(_))
    }

    /// It is about to be started: the program is being attached.
    pub(super) const fn expect(&mut self) {
        self.is_expected = !self.has_begun;
    }

    /// Whether it has not been started yet.
    pub(super) const fn is_expected(&self) -> bool {
        self.is_expected
    }

    /// The epoch has ended.
    pub(super) fn pass(&mut self, reading: Option<Reading>) {
        self.advance(reading);
        self.ended = Ended::Moved(self.is_whole.then_some(self.moved));
        self.moved = Reading::default();
        self.is_whole = reading.is_some();
        self.has_begun = true;
    }

    /// What the counters moved by in the epoch that has ended.
    pub(super) fn take(&mut self) -> Option<Reading> {
        match std::mem::take(&mut self.ended) {
            Ended::Moved(moved) => return moved,
            Ended::Departed => return Some(Reading::default()),
            Ended::Nothing => {}
        }
        if self.last.is_some() {
            // Nobody reads them.
            return None;
        }
        // It went within the epoch.
        let moved = (self.has_begun && self.is_whole).then_some(self.moved);
        let ended = if moved.is_some() { Ended::Departed } else { Ended::Nothing };
        *self = Self { metered: self.metered, ended, ..Self::default() };
        moved
    }

    fn advance(&mut self, reading: Option<Reading>) {
        let moved = self.last.zip(reading).and_then(|(from, to)| difference(from, to));
        match moved {
            Some([up, down]) => {
                self.moved[0].add(up.packets, up.bytes);
                self.moved[1].add(down.packets, down.bytes);
            }
            None => self.is_whole = false,
        }
        self.last = reading;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn reading(packets: u64) -> Reading {
        [Count { packets, bytes: packets * 100 }; 2]
    }

    fn started(at: u64) -> Meter {
        let mut meter = Meter::default();
        let metered = Metered { kernel_index: 7, counters: Counters::Same };
        meter.start(metered, Some(reading(at)), true);
        meter
    }

    #[test]
    fn each_epoch_has_what_the_counters_moved_by_in_it() {
        let mut meter = started(5);
        meter.pass(Some(reading(15)));
        assert_eq!(meter.take(), Some(reading(10)));
        meter.pass(Some(reading(16)));
        assert_eq!(meter.take(), Some(reading(1)));
        assert_eq!(meter.take(), None);
    }

    #[test]
    fn where_a_reading_is_missing_nothing_is_known_until_the_one_after_the_next() {
        let mut meter = started(5);
        meter.pass(None);
        assert_eq!(meter.take(), None);
        meter.pass(Some(reading(20)));
        assert_eq!(meter.take(), None);
        meter.pass(Some(reading(21)));
        assert_eq!(meter.take(), Some(reading(1)));
    }

    #[test]
    fn counters_that_went_back_are_those_of_another_interface() {
        let mut meter = started(50);
        meter.pass(Some(reading(2)));
        assert_eq!(meter.take(), None);
        meter.pass(Some(reading(3)));
        assert_eq!(meter.take(), Some(reading(1)));
    }

    #[test]
    fn what_goes_and_comes_back_within_an_epoch_is_added_up() {
        let mut meter = started(0);
        meter.stop(Some(reading(4)));
        meter.start(Metered { kernel_index: 7, counters: Counters::Same }, Some(reading(9)), true);
        meter.pass(Some(reading(12)));
        assert_eq!(meter.take(), Some(reading(7)));
    }

    #[test]
    fn what_went_without_a_last_reading_is_not_known() {
        let mut meter = started(0);
        meter.stop(None);
        assert_eq!(meter.take(), None);
        let mut meter = started(0);
        meter.stop(Some(reading(3)));
        assert_eq!(meter.take(), Some(reading(3)));
    }

    #[test]
    fn what_goes_between_the_end_of_an_epoch_and_its_reading_is_told_with_that_epoch() {
        let mut meter = started(0);
        meter.stop(Some(reading(3)));
        assert_eq!(meter.take(), Some(reading(3)));
        assert_eq!(meter.take(), Some(reading(0)));
        assert_eq!(meter.take(), None);
    }

    #[test]
    fn an_epoch_that_ends_while_the_program_is_being_attached_has_nothing() {
        let mut meter = Meter::default();
        meter.pass_nothing();
        let metered = Metered { kernel_index: 7, counters: Counters::Same };
        meter.start(metered, Some(reading(9)), true);
        assert_eq!(meter.take(), Some(reading(0)));
        meter.pass(Some(reading(10)));
        assert_eq!(meter.take(), Some(reading(1)));
    }

    #[test]
    fn what_is_first_read_long_after_it_was_attached_is_known_from_the_next_epoch_on() {
        let mut meter = Meter::default();
        let metered = Metered { kernel_index: 7, counters: Counters::Same };
        meter.start(metered, Some(reading(9)), false);
        meter.pass(Some(reading(10)));
        assert_eq!(meter.take(), None);
        meter.pass(Some(reading(30)));
        assert_eq!(meter.take(), Some(reading(20)));
    }
}
