//! Emptying the kernel's maps, epoch by epoch.
//!
//! ```text
//! announce ── the kernel program changes over at the announced instant, by its own clock
//! settle   ── wait until no program can still hold the old epoch
//! read     ── the quiet maps, in batches
//! clear    ── once what was read is safe with whoever needs it
//! ```
//!
//! Deleting from a map in use would not be exact: a program may add to an entry that was just
//! deleted. The quiet maps have no such program.

mod batch;
mod epoch;

use std::{sync::Arc, time::Duration};

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuValues};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4, FlowKeyV6},
    total::{self, Totals},
};

use crate::{
    capture::{
        self, Maps, Targets,
        presence::{Observed, Presence},
    },
    clock::{self, MonotonicNs, Offset, Utc},
};
pub use batch::{Entries, clear, read};
use epoch::EpochWord;

/// Why the kernel's maps cannot be drained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not say when all programs have left the old epoch.
    #[error("cannot wait for the kernel program to leave an epoch (membarrier)")]
    Settle {
        /// Why.
        source: std::io::Error,
    },
    /// A flow map cannot be read.
    #[error("cannot read a flow map")]
    Read {
        /// Why.
        source: std::io::Error,
    },
    /// A flow map cannot be cleared.
    #[error("cannot clear a flow map")]
    Clear {
        /// Why.
        source: std::io::Error,
    },
    /// The kernel program cannot be told whom to record until when.
    #[error(transparent)]
    Targets(#[from] capture::Error),
    /// The totals cannot be read or cleared.
    #[error("cannot read or clear the totals")]
    Totals {
        /// Why.
        source: Box<MapError>,
    },
}

/// What was counted in one epoch, and between which instants.
#[derive(Debug)]
pub struct Epoch {
    /// When it began.
    pub opened: Utc,
    /// When it ended; no packet of it was seen at this instant or later.
    pub closed: Utc,
    /// How to convert the times of its flows.
    pub offset: Offset,
    /// IPv4 flows.
    pub flows_v4: Entries<FlowKeyV4, FlowCounters>,
    /// IPv6 flows.
    pub flows_v6: Entries<FlowKeyV6, FlowCounters>,
    /// What had no room among the IPv4 flows, by member and protocol.
    pub overflow_v4: Entries<FlowKeyV4, FlowCounters>,
    /// What had no room among the IPv6 flows, by member and protocol.
    pub overflow_v6: Entries<FlowKeyV6, FlowCounters>,
    /// Totals of the interfaces that were counted.
    pub totals: Vec<(Observed, [Totals; 2])>,
}

/// Empties the maps of a kernel program.
pub struct Drainer {
    word: EpochWord,
    totals: PerCpuArray<MapData, Totals>,
    flows_v4: [MapData; 2],
    flows_v6: [MapData; 2],
    overflow_v4: [MapData; 2],
    overflow_v6: [MapData; 2],
    targets: Targets,
    presence: Arc<Presence>,
    open: Open,
    /// When the open epoch ends, on the kernel's clock and in UTC.
    announced: Option<(MonotonicNs, Utc)>,
}

/// The epoch that is being counted.
#[derive(Clone, Copy)]
struct Open {
    number: u32,
    opened: MonotonicNs,
    opened_utc: Utc,
    offset: Offset,
}

impl Drainer {
    /// Opens the first epoch. Nothing must be attached yet.
    pub fn new(maps: Maps, presence: Arc<Presence>) -> Result<Self, Error> {
        let Maps { control, totals, flows_v4, flows_v6, overflow_v4, overflow_v6, mut targets } =
            maps;
        let word = EpochWord::new(control);
        word.stay(0);
        let opened = clock::monotonic_coarse();
        let offset = Offset::now();
        targets.install(offset)?;
        let open = Open { number: 0, opened, opened_utc: offset.utc(opened), offset };
        Ok(Self {
            word,
            totals,
            flows_v4,
            flows_v6,
            overflow_v4,
            overflow_v6,
            targets,
            presence,
            open,
            announced: None,
        })
    }

    /// Announces that the open epoch ends at the next multiple of `interval` in UTC, and returns
    /// that instant of the kernel's clock.
    pub fn announce(&mut self, interval: Duration) -> MonotonicNs {
        let now = self.open.offset.utc(clock::monotonic_coarse());
        let end_utc = next_boundary(self.open.opened_utc, now, interval);
        let end = self.word.switch_at(self.open.offset.monotonic(end_utc), self.open.number);
        self.announced = Some((end, end_utc));
        end
    }

    /// Ends the open epoch at the announced instant, for which it waits if need be: the clock of
    /// the kernel program may be behind the one that woke us up, by more than its step where the
    /// machine is a virtual one. Where nothing was announced, ends it now.
    pub fn close(&mut self) -> Result<Closed, Error> {
        if let Some((end, _)) = self.announced {
            epoch::wait_until(end);
        }
        self.close_now()
    }

    /// Ends the open epoch: at the announced instant if it has passed, else now.
    ///
    /// Blocks for less than a jiffy, and for a grace period of the kernel.
    pub fn close_now(&mut self) -> Result<Closed, Error> {
        let was = self.open;
        let (end, end_utc) = match self.announced.take() {
            // In UTC as it was announced: the kernel's word has no room for the last nanosecond.
            Some((end, end_utc)) if epoch::has_passed(end) => (end, end_utc),
            _ => {
                let end = self.word.switch_now(was.number);
                (end, was.offset.utc(end))
            }
        };
        let next = was.number ^ 1;
        self.word.stay(next);
        epoch::settle().map_err(|source| Error::Settle { source })?;
        let offset = Offset::now();
        // Every time: the clock is slewed all the time, and set now and then.
        self.targets.install(offset)?;
        self.open = Open {
            number: next,
            opened: end,
            // The clock is slewed all the time: below a jiffy or so, the end of one epoch is the
            // beginning of the next. Above, the clock was set, and the new epoch has the new time.
            opened_utc: Some(offset.utc(end))
                .filter(|utc| utc.distance(end_utc) > SLEW)
                .unwrap_or(end_utc),
            offset,
        };
        Ok(Closed { was, end, end_utc })
    }

    /// Reads the maps of an epoch that was closed.
    pub fn read(&self, closed: &Closed) -> Result<Epoch, Error> {
        let Closed { was, end, end_utc } = *closed;
        let quiet = was.number as usize & 1;
        let read_error = |source| Error::Read { source };
        let mut totals = vec![];
        for observed in self.presence.between(was.opened, end) {
            let both = [
                self.totals_of(&observed, Direction::Up, was.number)?,
                self.totals_of(&observed, Direction::Down, was.number)?,
            ];
            if observed.was_counted || both != <[Totals; 2]>::default() {
                totals.push((observed, both));
            }
        }
        Ok(Epoch {
            opened: was.opened_utc,
            closed: end_utc,
            offset: was.offset,
            flows_v4: read(&self.flows_v4[quiet]).map_err(read_error)?,
            flows_v6: read(&self.flows_v6[quiet]).map_err(read_error)?,
            overflow_v4: read(&self.overflow_v4[quiet]).map_err(read_error)?,
            overflow_v6: read(&self.overflow_v6[quiet]).map_err(read_error)?,
            totals,
        })
    }

    /// Clears the maps of an epoch that was read. Call it when what was read is safe.
    pub fn clear(&mut self, closed: &Closed, epoch: &Epoch) -> Result<(), Error> {
        let number = closed.was.number;
        let quiet = number as usize & 1;
        let clear_error = |source| Error::Clear { source };
        clear(&self.flows_v4[quiet], &epoch.flows_v4.keys).map_err(clear_error)?;
        clear(&self.flows_v6[quiet], &epoch.flows_v6.keys).map_err(clear_error)?;
        clear(&self.overflow_v4[quiet], &epoch.overflow_v4.keys).map_err(clear_error)?;
        clear(&self.overflow_v6[quiet], &epoch.overflow_v6.keys).map_err(clear_error)?;
        for (observed, _) in &epoch.totals {
            for direction in Direction::ALL {
                let index = total::index(observed.slot, direction, number);
                let cpus = self.totals.get(&index, 0).map_err(totals_error)?.len();
                let zeroes = PerCpuValues::try_from(vec![Totals::default(); cpus])
                    .map_err(|source| totals_error(MapError::IoError(source)))?;
                self.totals.set(index, zeroes, 0).map_err(totals_error)?;
            }
        }
        Ok(())
    }

    fn totals_of(&self, observed: &Observed, of: Direction, epoch: u32) -> Result<Totals, Error> {
        let index = total::index(observed.slot, of, epoch);
        let mut sum = Totals::default();
        for cpu in self.totals.get(&index, 0).map_err(totals_error)?.iter() {
            sum.add(cpu);
        }
        Ok(sum)
    }
}

/// An epoch that no packet goes to any more.
pub struct Closed {
    was: Open,
    end: MonotonicNs,
    end_utc: Utc,
}

/// Whether the kernel says when all programs have left an epoch.
pub fn can_settle() -> Result<(), Error> {
    epoch::settle().map_err(|source| Error::Settle { source })
}

/// More than the clock is slewed by in a few seconds, less than anyone sets it by.
const SLEW: Duration = Duration::from_millis(50);

/// The next multiple of `interval`. An epoch that has opened on one does not end there again because
/// the clock was slewed back over it; one that opened just before does, however short it is: it must
/// not reach into the next window.
fn next_boundary(opened: Utc, now: Utc, interval: Duration) -> Utc {
    now.max(opened).floor(interval).plus(interval)
}

fn totals_error(source: MapError) -> Error {
    Error::Totals { source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(opened_ms: i64, now_ms: i64) -> i64 {
        let interval = Duration::from_secs(10);
        next_boundary(Utc::from_ms(opened_ms), Utc::from_ms(now_ms), interval).ms()
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
}
