//! The log of events: what happened, in the order in which it was seen, until the store has it.
//!
//! ```text
//! SPOOL/events/sessions/log, log.copy                              which numbers count, and what is lost
//!                      /00000000000000000001-3f62….events          a segment
//! ```
//!
//! Events of a table have the numbers 1, 2, 3 and so on, without a gap. [`EventLog::append`] writes events behind
//! the others and makes them durable; then it makes durable in `log` that their numbers count. From then on
//! an event is read back with its number and its bytes, until it is released; or its number is named as lost.
//! What was written and does not count is no event, whatever of it is on the disk: so the end of the log is known
//! exactly, and a segment that was cut off there, or deleted, is told from one that was not finished.
//!
//! A segment is written by one daemon: each start begins another one, and so does an append after one that failed.
//! Its header has the id of the segment that it follows, and where that one ended. A spool that was restored from a
//! copy gives its numbers again, in a segment that follows the same one: an event is known by its
//! segment and its number.
//!
//! Nothing that is damaged takes others with it: reading goes on at the next header that is sound.

mod open;
mod read;
mod record;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Error, Spool,
    aside::Reason,
    copies::Kept,
    error::is_gone,
    identity::random,
    planted::{Bug, planted},
};
use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    telemetry::with_causes,
};
pub use read::EventHeader;
pub use record::{LONGEST_BODY, NewEvent};
pub use segment::End;
use segment::{SegmentHeader, SegmentName, SegmentWriter};
pub use state::LostEvents;
use state::{Segment, State};

/// A segment that has more bytes takes no more events.
const SEGMENT_BYTES: u64 = 8 << 20;

/// The events of a table. There is one of it at a time.
#[derive(Debug)]
pub struct EventLog {
    spool: Arc<Spool>,
    directory: PathBuf,
    table: String,
    gateway: String,
    kept: Kept<State>,
    /// The segment that grows; `None` after a start, and after a failure.
    writer: Option<SegmentWriter>,
    pub(crate) segment_bytes: u64,
}

impl EventLog {
    /// Number of the last event; zero where there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.kept.value.last()
    }

    /// Name of the gateway whose events are appended.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The number up to which all events are released; zero where none is.
    #[must_use]
    pub const fn released(&self) -> u64 {
        self.kept.value.released
    }

    /// Where the log ends: id of a segment, and its last number.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.kept.value.end.as_ref()
    }

    /// What is lost, until [`reported`](Self::reported).
    #[must_use]
    pub fn lost(&self) -> &[LostEvents] {
        &self.kept.value.lost
    }

    /// The numbers of all that is lost, told or not, but for what is told and released.
    #[must_use]
    pub fn missing(&self) -> EpochSet {
        self.kept.value.missing()
    }

    /// Appends events, all of them or none, and returns their numbers. Only then they count.
    ///
    /// After an error they do not; their numbers are given to the next ones. An error that leaves it open
    /// whether they count on the disk is made good at once. If that fails too, and the process ends before anything
    /// else is appended, the next one may find all of them: as where a process ends before it hears of its success.
    pub fn append(&mut self, events: &[NewEvent<'_>]) -> Result<Range<u64>, Error> {
        let first = self.last() + 1;
        let next = first + events.len() as u64;
        let Some(times) = times(events) else { return Ok(first..next) };
        let bytes: u64 = events.iter().map(|event| event.bytes() as u64).sum();
        if let Some(event) = events.iter().find(|event| event.body.len() > LONGEST_BODY) {
            let (bytes, limit) = (event.body.len() as u64, LONGEST_BODY as u64);
            return Err(Error::LongEvent { path: self.directory.clone(), bytes, limit });
        }
        self.spool.ensure_room_for_events(bytes)?;
        // What fails leaves a segment whose end is not known.
        let writer = self.writer.take().filter(|writer| writer.bytes < self.segment_bytes);
        let is_new = writer.is_none();
        let writer = match writer {
            Some(mut writer) => {
                let records = records(events, first, &writer.id);
                let appended = writer.append(&records);
                if appended.is_err() && planted(Bug::EventsBehindFailed) {
                    self.writer = Some(writer);
                    return appended.map(|()| first..next);
                }
                appended?;
                writer
            }
            None => self.begin(events, first)?,
        };
        let segment = Segment {
            id: writer.id.clone(),
            gateway: self.gateway.clone(),
            first,
            last: next - 1,
            start_ns: times.0.ns(),
            end_ns: times.1.ns(),
            bytes: writer.bytes,
        };
        let counted = self.count(segment, is_new);
        if counted.is_err() && is_new && self.kept.is_durable() {
            segment::remove(&*self.spool.disk, &writer.path);
        }
        counted?;
        self.writer = Some(writer);
        Ok(first..next)
    }

    /// Makes durable that these events count, or that they do not.
    fn count(&mut self, segment: Segment, is_new: bool) -> Result<(), Error> {
        if planted(Bug::EventsUncounted) && !is_new {
            self.kept.value.count(segment);
            return Ok(());
        }
        let disk = &*self.spool.disk;
        let counted = self.kept.change(disk, |state| state.count(segment));
        if counted.is_err()
            && let Err(error) = self.kept.write(disk)
        {
            tracing::debug!("{}", with_causes(&error));
        }
        counted
    }

    /// Begins a segment with its first events.
    fn begin(&self, events: &[NewEvent<'_>], first: u64) -> Result<SegmentWriter, Error> {
        self.prepare()?;
        let id = random();
        let records = records(events, first, &id);
        let header = SegmentHeader {
            gateway: self.gateway.clone(),
            table: self.table.clone(),
            id,
            first,
            follows: self.kept.value.end.clone(),
        };
        SegmentWriter::create(&self.spool.disk, &self.directory, &header, &records)
    }

    /// Makes the directories, and their names durable.
    fn prepare(&self) -> Result<(), Error> {
        let all = self.spool.events_directory();
        for (directory, above) in [(&all, &self.spool.directory), (&self.directory, &all)] {
            self.spool.disk.make_directory(directory).map_err(Error::io("make", directory))?;
            self.spool.disk.sync_directory(above).map_err(Error::io("sync", above))?;
        }
        Ok(())
    }

    /// Somebody has written down for good that these events are lost.
    pub fn reported(&mut self, numbers: &EpochSet) -> Result<(), Error> {
        self.kept.change(&*self.spool.disk, |state| state.report(numbers))
    }

    /// The store has all events up to a number for good: their segments go, once none of their events is needed.
    pub fn release(&mut self, through: u64) -> Result<(), Error> {
        if planted(Bug::EventsReleasedFirst) {
            self.kept.value.release(through);
            self.remove_released()?;
        }
        self.kept.change(&*self.spool.disk, |state| state.release(through))?;
        self.remove_released()
    }

    /// Removes the segments that are released. What stays is removed by the next release, or the next start.
    fn remove_released(&mut self) -> Result<(), Error> {
        let released = self.released();
        let segments = self.kept.value.segments.iter();
        let gone: Vec<Segment> =
            segments.filter(|segment| segment.is_released(released)).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        let missing = self.missing();
        for segment in &gone {
            self.writer = self.writer.take().filter(|writer| writer.id != segment.id);
            let path = self.path(segment);
            // What is damaged is for whoever wants to look at it.
            if missing.meets(&segment.numbers()) && self.is_there(&path)? {
                self.spool.set_aside(&path, Reason::Damaged)?;
            } else {
                match self.spool.disk.remove(&path) {
                    Err(error) if !is_gone(&error) => {
                        return Err(Error::io("delete", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        let directory = &self.directory;
        self.spool.disk.sync_directory(directory).map_err(Error::io("sync", directory))?;
        self.kept.value.forget_released(&gone);
        Ok(())
    }

    fn is_there(&self, path: &Path) -> Result<bool, Error> {
        let directory = &self.directory;
        let listed = self.spool.disk.list(directory).map_err(Error::io("list", directory))?;
        Ok(listed.iter().any(|listed| directory.join(&listed.name) == path))
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        let name = SegmentName { first: segment.first, id: segment.id.clone() };
        self.directory.join(name.file_name())
    }
}

fn records(events: &[NewEvent<'_>], first: u64, segment: &str) -> Vec<u8> {
    let mut records = vec![];
    for (number, event) in (first..).zip(events) {
        event.write(number, segment, &mut records);
    }
    records
}

/// The least and the greatest time; `None` where there is no event.
fn times(events: &[NewEvent<'_>]) -> Option<(Utc, Utc)> {
    let times = events.iter().map(|event| event.time);
    times.clone().min().zip(times.max())
}
