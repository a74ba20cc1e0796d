//! Draining, epoch by epoch, on a thread of its own.

use std::time::{Duration, Instant};

use super::{Signals, events::Event};
use crate::{
    capture::{
        Previous,
        drain::{Closed, Drainer},
    },
    record::{
        clock,
        epoch::{Epoch, EpochNumber},
    },
    service::{
        Error,
        counting::{Drainable, last_number},
        snapshot,
        windows::DrainEvent,
    },
    spool::{Epochs, run::Run},
};

pub(super) struct Draining<'a> {
    pub(super) epochs: Epochs,
    pub(super) signals: &'a Signals,
}

impl Draining<'_> {
    pub(super) fn run(mut self, counted: Drainable, interval: Duration) -> Result<(), Error> {
        let Drainable { mut drainer, mut previous, goes_on, since } = counted;
        let last = self.epochs.last();
        self.finish_unfinished(&mut drainer, last)?;
        let number = drainer.number();
        // By the names in the spool it was no more than a guess.
        drainer.number_after(last_number(last, &previous, goes_on));
        // Where nothing goes on, the number that is left out tells of the gap.
        if goes_on {
            self.epochs.renumbered(number, drainer.number(), drainer.opened());
        }
        self.epochs.counting_since(since);
        while !previous.is_empty() {
            let next = previous.remove(0);
            // No number is left out before those of the maps that are counted in.
            let upto =
                if previous.is_empty() { drainer.number().previous() } else { EpochNumber::ZERO };
            self.finish_previous(next, last, upto)?;
        }
        self.drain(drainer, interval)
    }

    /// Empties the maps of an epoch that a daemon before this one closed. Its counts are in the spool
    /// already if the spool has an epoch of that number or a later one.
    fn finish_unfinished(&mut self, drainer: &mut Drainer, last: EpochNumber) -> Result<(), Error> {
        match drainer.unfinished_epoch()? {
            Some(closed) => self.save(drainer, &closed, last),
            None => Ok(()),
        }
    }

    /// Empties maps that nothing counts in any more, and removes them. Ends with the epoch of the
    /// number `upto` or a later one.
    fn finish_previous(
        &mut self,
        previous: Previous,
        last: EpochNumber,
        upto: EpochNumber,
    ) -> Result<(), Error> {
        let (counts, emptied) = previous.into_counts();
        if let Some(counts) = counts {
            let mut drainer = Drainer::of_previous(*counts);
            self.finish_unfinished(&mut drainer, last)?;
            loop {
                let closed = drainer.close_now()?;
                self.save(&mut drainer, &closed, last)?;
                if closed.number() >= upto {
                    break;
                }
            }
        } else {
            Event::Unreadable.emit();
        }
        emptied.remove()?;
        Ok(())
    }

    /// Makes an epoch durable unless it is, and empties its maps.
    fn save(
        &mut self,
        drainer: &mut Drainer,
        closed: &Closed,
        last: EpochNumber,
    ) -> Result<(), Error> {
        self.signals.alive();
        let epoch = drainer.read(closed)?;
        let is_new = closed.number() > last;
        let run = is_new.then(|| self.append(&epoch, false)).transpose()?;
        drainer.clear(closed, &epoch)?;
        run.map_or(Ok(()), |run| self.signals.notify(DrainEvent::Epoch(Box::new(run))))
    }

    fn drain(&mut self, mut drainer: Drainer, interval: Duration) -> Result<(), Error> {
        loop {
            self.signals.alive();
            let end = drainer.announce(interval);
            let wait = end.since(clock::monotonic_coarse());
            let is_last = self.signals.is_stopped(wait);
            let closed = if is_last { drainer.close_now()? } else { drainer.close()? };
            let epoch = drainer.read(&closed)?;
            // Where the spool has no room, the maps keep what they have: the kernel goes on counting
            // in the other set, and when that is full it accounts for what it cannot hold.
            let run = self.append(&epoch, is_last)?;
            drainer.clear(&closed, &epoch)?;
            drop(epoch);
            self.signals.notify(DrainEvent::Epoch(Box::new(run)))?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Makes an epoch durable, however long that takes; when told to stop, not much longer.
    fn append(&mut self, epoch: &Epoch, mut is_last: bool) -> Result<Run, Error> {
        let mut tries_left = LAST_TRIES;
        let mut reported: Option<Instant> = None;
        loop {
            let error = match self.epochs.append(epoch, clock::quality().max_error) {
                Ok(run) => {
                    if reported.is_some() {
                        Event::TakesAgain.emit();
                    }
                    let bytes = self.epochs.measured_bytes().saturating_add(run.bytes);
                    snapshot::drained(&self.signals.status, &run, bytes);
                    return Ok(run);
                }
                Err(error) => error,
            };
            if reported.is_none_or(|reported| reported.elapsed() > REMINDER) {
                Event::NotTaken { error: &error }.emit();
                reported = Some(Instant::now());
            }
            snapshot::spool_failed(&self.signals.status, &error);
            self.signals.alive();
            if error.is_full() {
                self.signals.notify(DrainEvent::Full)?;
            }
            if is_last {
                tries_left -= 1;
                if tries_left == 0 {
                    // Where there is a spool the maps are pinned.
                    let (rows, is_durable) = (epoch.row_count(), self.epochs.is_durable());
                    return Err(Error::NotSpooled { rows, is_durable, source: error });
                }
                std::thread::sleep(PAUSE);
            } else {
                is_last = self.signals.is_stopped(PAUSE);
            }
        }
    }
}

/// Pause before an epoch is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is reported that the spool takes nothing.
const REMINDER: Duration = Duration::from_mins(1);
/// How often a last epoch is tried.
const LAST_TRIES: u32 = 4;
