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
mod closed;
mod epoch;
mod error;
mod totals;
mod witness;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aya::maps::{MapData, PerCpuArray};
use flowlog_common::{
    flow::Direction,
    total::{self, Totals},
};

use crate::{
    capture::{Counts, Maps, Targets, Witness, presence::Presence},
    record::{
        clock::{self, Dating, MonotonicNs, Utc},
        epoch::{Epoch, EpochNumber, Observed, Slot},
        ledger::GapReason,
    },
};
pub use batch::{clear, read};
pub use closed::Closed;
use closed::{Open, in_utc, next_boundary};
use epoch::EpochWord;
pub use error::Error;
pub(crate) use totals::is_exhausted;
use witness::{Counted, History, Interval, span};

/// Empties the maps of a kernel program.
pub struct Drainer {
    word: EpochWord,
    totals: PerCpuArray<MapData, Totals>,
    flows_v4: [MapData; 2],
    flows_v6: [MapData; 2],
    overflow_v4: [MapData; 2],
    overflow_v6: [MapData; 2],
    /// Where packets are still counted.
    targets: Option<Targets>,
    presence: Arc<Presence>,
    /// What the interfaces themselves count; `None` for maps in which nothing is counted any more.
    witness: Option<Witness>,
    /// What is remembered of each slot.
    tallies: HashMap<Slot, Tally>,
    /// Whether the epoch that was closed last is the last one.
    is_last: bool,
    open: Open,
    /// The epoch before, where nobody said that its counts are safe.
    unfinished: Option<Closed>,
    /// When the open epoch ends, on the kernel's clock and in UTC.
    announced: Option<(MonotonicNs, Utc)>,
}

/// How many packets an interface was counted with, beside what it counted itself.
#[derive(Debug, Default)]
struct Tally {
    /// In the epochs that were drained, by [`Direction`].
    drained: [u64; 2],
    /// In those and in the maps, when the counters of the interface were last read, and before that.
    read: Option<Counted>,
    read_before: Counted,
    history: History,
}

impl Drainer {
    /// Goes on where the daemon before ended; where there was none, opens the epoch after `last`.
    pub fn new(maps: Maps, presence: Arc<Presence>, last: EpochNumber) -> Result<Self, Error> {
        let Maps { control, totals, flows_v4, flows_v6, overflow_v4, overflow_v6, mut targets } =
            maps;
        let dating = Dating::now();
        targets.install(dating.offset)?;
        let counts =
            Counts { control, presence, totals, flows_v4, flows_v6, overflow_v4, overflow_v6 };
        Ok(Self::resume(counts, Some(targets), dating, last))
    }

    /// For maps of a daemon before this one, in which nothing is counted any more.
    pub fn of_previous(counts: Counts) -> Self {
        Self::resume(counts, None, Dating::now(), EpochNumber::ZERO)
    }

    fn resume(counts: Counts, targets: Option<Targets>, dating: Dating, last: EpochNumber) -> Self {
        let Counts { control, presence, totals, flows_v4, flows_v6, overflow_v4, overflow_v6 } =
            counts;
        let word = EpochWord::new(control);
        let (open, unfinished, announced) = in_utc(&word.resume(last), dating);
        Self {
            word,
            totals,
            flows_v4,
            flows_v6,
            overflow_v4,
            overflow_v6,
            witness: targets.is_some().then(Witness::open),
            targets,
            presence,
            tallies: HashMap::new(),
            is_last: false,
            open,
            unfinished,
            announced,
        }
    }

    /// The number of the open epoch.
    #[must_use]
    pub const fn number(&self) -> EpochNumber {
        self.open.number
    }

    /// Since when the open epoch is counted.
    #[must_use]
    pub const fn opened(&self) -> Utc {
        self.open.opened_utc
    }

    /// Gives the open epoch a number after `last`, where it has none: of maps of other sizes, which were
    /// begun later, epochs have the numbers up to that one.
    pub fn number_after(&mut self, last: EpochNumber) {
        let Open { number, opened, .. } = &mut self.open;
        if *number <= last {
            // What it was counted in follows from whether its number is even.
            *number = EpochNumber::new(number.get() + (last.get() - number.get()) / 2 * 2 + 2);
            self.word.renumber(*number, *opened);
        }
    }

    /// The epoch that a daemon before this one closed, and did not live to clear. Its counts may be
    /// safe already: the number says.
    pub fn unfinished_epoch(&mut self) -> Result<Option<Closed>, Error> {
        let Some(unfinished) = self.unfinished.take() else { return Ok(None) };
        epoch::settle().map_err(|source| Error::Settle { source })?;
        Ok(Some(unfinished))
    }

    /// Announces that the open epoch ends at the next multiple of `interval` in UTC, and returns
    /// that instant of the kernel's clock.
    pub fn announce(&mut self, interval: Duration) -> MonotonicNs {
        let now = clock::monotonic_coarse();
        // By a daemon before this one. To take it back at the last moment would race with the clock.
        if let Some((end, _)) = self.announced.filter(|(end, _)| *end < now.plus(LAST_MOMENT)) {
            return end;
        }
        let offset = self.open.dating.offset;
        let end_utc = next_boundary(self.open.opened_utc, offset.utc(now), interval);
        let end = self.word.switch_at(offset.monotonic(end_utc), self.open.number);
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
        self.end()
    }

    /// Ends the open epoch, after which none is drained: at the announced instant if it has passed,
    /// else now.
    ///
    /// Blocks for less than a jiffy, and for a grace period of the kernel.
    pub fn close_now(&mut self) -> Result<Closed, Error> {
        self.is_last = true;
        self.end()
    }

    fn end(&mut self) -> Result<Closed, Error> {
        let was = self.open;
        let (end, end_utc) = match self.announced.take() {
            // In UTC as it was announced: the kernel's word has no room for the last nanosecond.
            Some((end, end_utc)) if epoch::has_passed(end) => (end, end_utc),
            _ => {
                let end = self.word.switch_now(was.number);
                (end, was.dating.offset.utc(end))
            }
        };
        let next = was.number.next();
        self.word.open(next, end);
        self.read_interfaces(end)?;
        epoch::settle().map_err(|source| Error::Settle { source })?;
        let dating = Dating::now();
        // Every time: the clock is slewed all the time, and set now and then.
        if let Some(targets) = &mut self.targets {
            targets.install(dating.offset)?;
        }
        let closed = Closed { was, end, end_utc, clock_step: 0 }.dated_again(dating);
        self.open = Open {
            number: next,
            opened: end,
            // The clock is slewed all the time: below a jiffy or so, the end of one epoch is the
            // beginning of the next. Where the clock was set, the new epoch has the new time.
            opened_utc: if closed.clock_step == 0 { end_utc } else { dating.offset.utc(end) },
            dating,
        };
        Ok(closed)
    }

    /// Reads the counters of the interfaces, and how many packets were counted up to then.
    fn read_interfaces(&mut self, end: MonotonicNs) -> Result<(), Error> {
        let Some(witness) = self.witness.take() else { return Ok(()) };
        let mut failure = None;
        let mut counted = vec![];
        self.presence.read_meters(end, |slot, kernel_index| {
            // In this order, so that what is counted in between is not missing; and again, to know how much.
            let reading = witness.read(kernel_index);
            match self.counted(slot) {
                Ok(ours) => {
                    let meanwhile = witness.moved_since(kernel_index, reading);
                    counted.push((slot, Counted { ours, meanwhile }));
                }
                Err(error) => failure = Some(error),
            }
            reading
        });
        self.witness = Some(witness);
        for (slot, mut counted) in counted {
            let tally = self.tallies.entry(slot).or_default();
            for (ours, drained) in counted.ours.iter_mut().zip(tally.drained) {
                *ours += drained;
            }
            tally.read = Some(counted);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Packets in the maps, of both epochs.
    fn counted(&self, slot: Slot) -> Result<[u64; 2], Error> {
        let mut packets = [0; 2];
        for direction in Direction::ALL {
            for number in [EpochNumber::ZERO, EpochNumber::ZERO.next()] {
                let totals = self.totals_of(slot, direction, number)?;
                packets[direction as usize] += totals.seen.packets;
            }
        }
        Ok(packets)
    }

    /// Reads the maps of an epoch that was closed; to be called once for each.
    pub fn read(&mut self, closed: &Closed) -> Result<Epoch, Error> {
        let Closed { was, end, end_utc, clock_step } = *closed;
        let quiet = epoch::set(was.number) as usize;
        let read_error = |source| Error::Read { source };
        let mut totals = vec![];
        for mut observed in self.presence.between(was.opened, end) {
            let both = [
                self.totals_of(observed.slot, Direction::Up, was.number)?,
                self.totals_of(observed.slot, Direction::Down, was.number)?,
            ];
            if self.witness.is_some() {
                self.judge(&mut observed, &both, (was.opened, end));
            }
            let is_reported = observed.was_counted || !observed.gaps.is_empty();
            if is_reported || both != <[Totals; 2]>::default() {
                totals.push((observed, both));
            }
        }
        Ok(Epoch {
            number: was.number,
            opened: was.opened_utc,
            closed: end_utc,
            offset: was.dating.offset,
            is_synchronised: was.dating.synchronised,
            clock_step_ms: clock_step / 1_000_000,
            flows_v4: read(&self.flows_v4[quiet]).map_err(read_error)?,
            flows_v6: read(&self.flows_v6[quiet]).map_err(read_error)?,
            overflow_v4: read(&self.overflow_v4[quiet]).map_err(read_error)?,
            overflow_v6: read(&self.overflow_v6[quiet]).map_err(read_error)?,
            totals,
        })
    }

    /// Clears the maps of an epoch that was read. Call it when what was read is safe.
    pub fn clear(&mut self, closed: &Closed, read: &Epoch) -> Result<(), Error> {
        let number = closed.was.number;
        let quiet = epoch::set(number) as usize;
        let clear_error = |source| Error::Clear { source };
        clear(&self.flows_v4[quiet], &read.flows_v4.keys).map_err(clear_error)?;
        clear(&self.flows_v6[quiet], &read.flows_v6.keys).map_err(clear_error)?;
        clear(&self.overflow_v4[quiet], &read.overflow_v4.keys).map_err(clear_error)?;
        clear(&self.overflow_v6[quiet], &read.overflow_v6.keys).map_err(clear_error)?;
        for (observed, _) in &read.totals {
            for direction in Direction::ALL {
                let index = total::index(observed.slot.number(), direction, epoch::set(number));
                totals::clear(&mut self.totals, index)?;
            }
        }
        self.word.cleared(number);
        Ok(())
    }

    /// Adds the times in which packets of an interface did not reach the program.
    fn judge(
        &mut self,
        observed: &mut Observed,
        totals: &[Totals; 2],
        (opened, closed): (MonotonicNs, MonotonicNs),
    ) {
        let tally = self.tallies.entry(observed.slot).or_default();
        for direction in [0, 1] {
            tally.drained[direction] += totals[direction].seen.packets;
        }
        let drained = Counted { ours: tally.drained, ..Counted::default() };
        if !observed.was_counted {
            // It may be another interface's by the time it is counted again.
            *tally = Tally { drained: drained.ours, read_before: drained, ..Tally::default() };
            return;
        }
        let read = tally.read.take().unwrap_or(drained);
        let mut before = std::mem::replace(&mut tally.read_before, read);
        before.add_meanwhile(self.presence.take_counted_before(observed.slot));
        let (theirs, counters) = (observed.on_interface, observed.counters);
        let interval = Interval::between(&before, &read, span(opened, closed), theirs, counters);
        let missed = tally.history.add(observed, interval, self.is_last);
        observed.gaps.extend(missed.into_iter().map(|span| (span, GapReason::NotReached)));
    }

    fn totals_of(&self, slot: Slot, of: Direction, number: EpochNumber) -> Result<Totals, Error> {
        totals::sum(&self.totals, total::index(slot.number(), of, epoch::set(number)))
    }
}

/// Whether the kernel says when all programs have left an epoch.
pub fn can_settle() -> Result<(), Error> {
    epoch::settle().map_err(|source| Error::Settle { source })
}

/// Longer than anything takes to announce a change of epoch.
const LAST_MOMENT: Duration = Duration::from_secs(1);
