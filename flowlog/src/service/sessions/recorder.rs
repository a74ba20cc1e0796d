//! From reports to events in the spool, and to what is known of each day.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    event::{Event, Unread},
    fold::{DayFiles, Fold},
    tracker::Tracker,
};
use crate::{
    record::{
        clock::Utc,
        session::{CoverageGap, CoverageReason, Instance, Receipt},
    },
    spool::{
        self, Spool,
        events::{EventLog, LostEvents, NewEvent},
    },
    table::SESSIONS,
};

/// What is known of the days of each name that the gateway had.
#[derive(Clone, Debug, Default)]
pub(super) struct Days(Arc<Mutex<BTreeMap<String, Fold>>>);

/// A day of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DayOf {
    pub(super) gateway: String,
    pub(super) day: Utc,
}

impl Days {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Fold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The days of which something is not in the store.
    pub(super) fn changed(&self) -> Vec<DayOf> {
        let folds = self.lock();
        let changed = folds.iter().flat_map(|(gateway, fold)| {
            fold.changed().into_iter().map(|day| DayOf { gateway: gateway.clone(), day })
        });
        changed.collect()
    }

    /// When any instance was looked at last, by the events that are durable.
    #[cfg(test)]
    pub(super) fn looked_at(&self, gateway: &str) -> Option<Utc> {
        let (_, instances, _) = self.lock().get(gateway)?.standing();
        instances.iter().map(|looked| looked.at).max()
    }

    /// The files of a day, which has not changed from now on.
    pub(super) fn files(&self, of: &DayOf) -> Option<DayFiles> {
        self.lock().get_mut(&of.gateway)?.files(of.day)
    }

    /// A day whose files could not be put is to be put again.
    pub(super) fn again(&self, of: &DayOf) {
        if let Some(fold) = self.lock().get_mut(&of.gateway) {
            fold.again(of.day);
        }
    }

    /// Forgets the days that are over and in the store. Returns the number up to which no event is needed.
    pub(super) fn forget_stored(&self, current: &str) -> Option<u64> {
        let mut folds = self.lock();
        let mut through = None;
        let former: Vec<String> = folds.keys().filter(|name| *name != current).cloned().collect();
        for name in former {
            let Some(fold) = folds.get_mut(&name) else { continue };
            // Nobody counts under that name any more: what it has is all that there is.
            if !fold.changed().is_empty() {
                return through;
            }
            through = through.max(fold.last());
            folds.remove(&name);
        }
        let Some(fold) = folds.get_mut(current) else { return through };
        for (day, last) in fold.over() {
            if fold.is_changed(day) {
                break;
            }
            fold.forget(day);
            through = through.max(Some(last));
        }
        through
    }
}

/// Writes events down before they count.
#[derive(Debug)]
pub(super) struct Recorder {
    log: EventLog,
    days: Days,
    pub(super) tracker: Tracker,
    /// Events that could not be written down yet; meanwhile no report is taken.
    pending: Vec<(Utc, Event)>,
    /// For the reports that these are made of.
    receipts: Vec<Receipt>,
    /// Rows that ended too late for their days, of each instance.
    late: BTreeMap<Instance, u64>,
}

/// What cannot be done with the events.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The spool cannot be read or written.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// A body is of a later version.
    #[error(
        "the spool has events that this version of flowlog cannot read; use the version that wrote them"
    )]
    Unread(#[from] Unread),
}

impl Recorder {
    /// Reads what an earlier daemon left.
    pub(super) fn open(spool: &Arc<Spool>, gateway: &str) -> Result<Self, Error> {
        let mut log = spool.events(SESSIONS.name, gateway)?;
        let days = Days::default();
        let released = log.released();
        log.read::<Error>(released, |header, body| {
            let event = Event::read(header.kind, body)?;
            let mut folds = days.lock();
            let fold = folds.entry(header.gateway).or_default();
            fold.take((&header.segment, header.number, header.time), event);
            Ok(())
        })?;
        let mut tracker = Tracker::new(gateway.to_owned());
        if let Some(fold) = days.lock().get_mut(gateway) {
            // An earlier daemon has reported them.
            fold.take_late();
            let (day, looked, rows) = fold.standing();
            tracker.restore(day, looked, rows);
            tracker.restore_ended(fold.ended());
        }
        let (pending, receipts, late) = (vec![], vec![], BTreeMap::new());
        let mut recorder = Self { log, days, tracker, pending, receipts, late };
        recorder.report_lost()?;
        Ok(recorder)
    }

    /// What is known of the days.
    pub(super) fn days(&self) -> &Days {
        &self.days
    }

    /// Owes receipts for reports until the events of them are written down.
    pub(super) fn owe(&mut self, receipts: impl IntoIterator<Item = Receipt>) {
        self.receipts.extend(receipts);
    }

    /// Writes events of an instant down; on an error they wait for the next time.
    pub(super) fn record(&mut self, at: Utc, events: Vec<Event>) -> Result<(), Error> {
        self.pending.extend(events.into_iter().map(|event| (at, event)));
        self.retry()
    }

    /// Whether events wait.
    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes down the events that wait.
    pub(super) fn retry(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            self.give_receipts();
            return Ok(());
        }
        let bodies: Vec<(u16, Vec<u8>)> =
            self.pending.iter().map(|(_, event)| event.write()).collect();
        let new = self.pending.iter().zip(&bodies);
        let new: Vec<NewEvent<'_>> = new
            .map(|((time, _), (kind, body))| NewEvent { time: *time, kind: *kind, body })
            .collect();
        let numbers = self.log.append(&new)?;
        let segment = self.log.end().map(|end| end.segment.clone()).unwrap_or_default();
        let mut folds = self.days.lock();
        let fold = folds.entry(self.log.gateway().to_owned()).or_default();
        for (number, (time, event)) in numbers.zip(self.pending.drain(..)) {
            fold.take((&segment, number, time), event);
        }
        drop(folds);
        self.give_receipts();
        Ok(())
    }

    fn give_receipts(&mut self) {
        self.receipts.drain(..).for_each(|receipt| receipt.give());
    }

    /// The rows since this was asked before that ended too late for their days, of each instance.
    pub(super) fn take_late(&mut self) -> BTreeMap<Instance, u64> {
        let mut folds = self.days.lock();
        let new = folds.get_mut(self.log.gateway()).map(Fold::take_late).unwrap_or_default();
        for (instance, rows) in &new {
            *self.late.entry(instance.clone()).or_default() += rows;
        }
        new
    }

    /// Rows that ended too late for their days, of each instance.
    pub(super) fn late(&self) -> &BTreeMap<Instance, u64> {
        &self.late
    }

    /// Events of days that are in the store leave the spool.
    pub(super) fn release(&mut self) -> Result<(), Error> {
        match self.days.forget_stored(self.log.gateway()) {
            Some(through) if through > self.log.released() => Ok(self.log.release(through)?),
            _ => Ok(()),
        }
    }

    /// What is lost of the events is a gap of every instance.
    fn report_lost(&mut self) -> Result<(), Error> {
        let lost: Vec<LostEvents> = self.log.lost().to_vec();
        let Some(until) = lost.iter().map(|lost| lost.end_ns).max() else { return Ok(()) };
        let (_, instances, _) = match self.days.lock().get(self.log.gateway()) {
            Some(fold) => fold.standing(),
            None => return Ok(()),
        };
        let mut events = vec![];
        for LostEvents { start_ns, end_ns, .. } in &lost {
            let gap = CoverageGap {
                start: Utc::from_ns(*start_ns),
                end: Utc::from_ns(*end_ns),
                reason: CoverageReason::Overrun,
            };
            events.extend(instances.iter().map(|looked| Event::Gap {
                instance: looked.instance.clone(),
                realm: looked.realm.clone(),
                gap,
            }));
        }
        self.record(Utc::from_ns(until), events)?;
        for LostEvents { numbers, .. } in &lost {
            self.log.reported(numbers)?;
        }
        Ok(())
    }
}
