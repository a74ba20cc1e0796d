//! When an epoch began and ended, and by which reading of the clock.

use std::time::Duration;

use super::epoch;
use crate::record::{
    clock::{Dating, MonotonicNs, Utc},
    epoch::EpochNumber,
};

/// The epoch that is being counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) number: EpochNumber,
    pub(super) opened: MonotonicNs,
    pub(super) opened_utc: Utc,
    pub(super) dating: Dating,
}

/// An epoch that no packet goes to any more.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub(super) was: Open,
    pub(super) end: MonotonicNs,
    pub(super) end_utc: Utc,
    /// By how many nanoseconds the wall clock was set meanwhile.
    pub(super) clock_step: i64,
}

/// What was found, in UTC: the open epoch, the one before, and when the open one ends.
pub(super) fn in_utc(
    previous: &epoch::PreviousState,
    dating: Dating,
) -> (Open, Option<Closed>, Option<(MonotonicNs, Utc)>) {
    let in_utc = |epoch: epoch::Resumed| Open {
        number: epoch.number,
        opened: epoch.opened,
        opened_utc: dating.offset.utc(epoch.opened),
        dating,
    };
    let open = in_utc(previous.open);
    let closed = |was| Closed { was, end: open.opened, end_utc: open.opened_utc, clock_step: 0 };
    let unfinished = previous.unfinished.map(|epoch| closed(in_utc(epoch)));
    (open, unfinished, previous.announced.map(|end| (end, dating.offset.utc(end))))
}

impl Closed {
    /// The epoch's number.
    #[must_use]
    pub const fn number(&self) -> EpochNumber {
        self.was.number
    }

    /// Dates it by the better reading of the clock, if that was set between its opening and now.
    ///
    /// Its times are monotonic, so that all of them move alike.
    pub(super) fn dated_again(mut self, now: Dating) -> Self {
        let open_for = self.end.since(self.was.opened);
        let Some(step) = self.was.dating.step(now, open_for) else { return self };
        self.clock_step = step;
        let better = self.was.dating.better(now, self.end_utc);
        if better != self.was.dating {
            self.was.opened_utc = better.offset.utc(self.was.opened);
            self.was.dating = better;
            self.end_utc = better.offset.utc(self.end);
        }
        self
    }
}

/// The next multiple of `interval`. An epoch that has opened on one does not end there again because
/// the clock was slewed back over it; one that opened just before does, however short it is: it must
/// not reach into the next window.
pub(super) fn next_boundary(opened: Utc, now: Utc, interval: Duration) -> Utc {
    now.max(opened).floor(interval).plus(interval)
}

#[cfg(test)]
mod tests;
