//! Reading events, and naming those that cannot be read.

use super::{
    super::{
        Error,
        error::{is_damage, is_gone},
        incidents::Incident,
    },
    EventLog,
    record::RecordHeader,
    state::Segment,
    walk::Walk,
};
use crate::record::{clock::Utc, epoch_set::EpochSet};

/// What is known of an event without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Name of the gateway whose event it is.
    pub gateway: String,
    /// Id of its segment.
    pub segment: String,
    /// Its number.
    pub number: u64,
    /// When it was.
    pub time: Utc,
    /// What the bytes of its body are.
    pub kind: u16,
}

impl EventLog {
    /// Reads the events after a number that are not released, in their order. What turns out to be lost is
    /// written down at the end.
    pub fn read<E: From<Error>>(
        &mut self,
        after: u64,
        mut take: impl FnMut(EventHeader, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.visit(after, |header, record, walk| match walk.body(record)? {
            Some(body) => take(header, &body),
            None => Ok(()),
        })
    }

    /// Reads the headers of the events after a number that are not released, and nothing else of them.
    pub fn headers<E: From<Error>>(
        &mut self,
        after: u64,
        mut take: impl FnMut(EventHeader) -> Result<(), E>,
    ) -> Result<(), E> {
        self.visit(after, |header, _, _| take(header))
    }

    fn visit<E: From<Error>>(
        &mut self,
        after: u64,
        mut take: impl FnMut(EventHeader, &RecordHeader, &mut Walk) -> Result<(), E>,
    ) -> Result<(), E> {
        let (after, known) = (after.max(self.released()), self.missing());
        let is_known = |number| known.meets(&EpochSet::range(number, number));
        let mut lost = vec![];
        for segment in self.kept.value.segments.iter().filter(|segment| segment.last > after) {
            let Some(mut walk) = self.walk(segment)? else {
                lost.push((segment.clone(), segment.numbers()));
                continue;
            };
            while let Some(record) = walk.next_header()? {
                if record.number > after && !is_known(record.number) {
                    take(segment.header_of(&record), &record, &mut walk)?;
                }
            }
            lost.push((segment.clone(), walk.into_missing()));
        }
        Ok(self.lose(&lost)?)
    }

    /// Begins to read a segment; `None` where it is not there, or something else is.
    pub(super) fn walk(&self, segment: &Segment) -> Result<Option<Walk>, Error> {
        let path = self.path(segment);
        // Once more, as a disk may have stumbled.
        let opened = self.spool.disk.open(&path).or_else(|_| self.spool.disk.open(&path));
        match opened {
            Ok(file) => Walk::begin(file, path, segment).map(Some),
            Err(error) if is_gone(&error) || is_damage(&error) => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Writes down what is lost, unless that is known.
    pub(super) fn lose(&mut self, lost: &[(Segment, EpochSet)]) -> Result<(), Error> {
        let named = self.kept.change(&*self.spool.disk, |state| {
            let lost = lost.iter().map(|(segment, numbers)| state.lose(segment, numbers));
            lost.fold(EpochSet::default(), |all, numbers| all.union(&numbers))
        })?;
        if !named.is_empty() {
            Incident::LostEvents { numbers: &named, table: &self.table }.emit();
        }
        Ok(())
    }
}

impl Segment {
    fn header_of(&self, record: &RecordHeader) -> EventHeader {
        EventHeader {
            gateway: self.gateway.clone(),
            segment: self.id.clone(),
            number: record.number,
            time: Utc::from_ns(record.time_ns),
            kind: record.kind,
        }
    }
}
