//! Reading a segment event by event, whatever lies between them.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        Error,
        disk::ReadAt,
        error::is_damage,
        planted::{Bug, planted},
    },
    record::{HEADER, MAGIC, RecordHeader},
    segment::read_header,
    state::Segment,
};
use crate::record::epoch_set::EpochSet;

/// Read at a time.
const WINDOW: usize = 1 << 15;
/// A sector that cannot be read does not take its neighbours with it.
const SECTOR: usize = 1 << 12;

/// Goes from one sound event of a segment to the next.
pub(super) struct Walk {
    segment: String,
    file: Window,
    /// Number of the event that comes next, and of the last one that counts.
    next: u64,
    last: u64,
    /// Where the next header should be.
    offset: u64,
    /// Where it may be at the earliest: behind the last header that was sound.
    earliest: u64,
    /// The event before, until it is known that its body is there.
    before: Option<u64>,
    missing: EpochSet,
}

impl Walk {
    /// Begins before the first event of a segment.
    pub(super) fn begin(
        file: Arc<dyn ReadAt>,
        path: PathBuf,
        segment: &Segment,
    ) -> Result<Self, Error> {
        // Where its header is damaged, what it states is known, and the events are behind it.
        let offset = match read_header(&*file, &path) {
            Err(Error::Io { source, .. }) if is_damage(&source) => 0,
            header => header?.map_or(0, |(_, offset)| offset),
        };
        let length = file.bytes().map_err(Error::io("read", &path))?;
        Ok(Self {
            segment: segment.id.clone(),
            file: Window { file, path, length, start: 0, bytes: vec![] },
            next: segment.first,
            last: segment.last,
            offset,
            earliest: 0,
            before: None,
            missing: EpochSet::default(),
        })
    }

    /// The header of the next event that there is.
    pub(super) fn next_header(&mut self) -> Result<Option<RecordHeader>, Error> {
        if self.next > self.last {
            self.settle(u64::MAX);
            return Ok(None);
        }
        let found = match self.header_at(self.offset)? {
            Some(header) => Some((self.offset, header)),
            None => self.search()?,
        };
        let Some((offset, header)) = found else {
            self.settle(u64::MAX);
            self.miss(self.next, self.last);
            self.next = self.last.saturating_add(1);
            return Ok(None);
        };
        self.settle(offset);
        self.miss(self.next, header.number.saturating_sub(1));
        self.before = Some(header.number);
        self.next = header.number.saturating_add(1);
        self.earliest = offset + HEADER as u64;
        self.offset = self.earliest + u64::from(header.length);
        Ok(Some(header))
    }

    /// The body of the event whose header was read last; `None` where it is not what was written.
    pub(super) fn body(&mut self, header: &RecordHeader) -> Result<Option<Vec<u8>>, Error> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let is_there = self.offset <= self.file.length;
        let body = if is_there { self.file.at(self.earliest, length)?.to_vec() } else { vec![] };
        let is_sound = crc32fast::hash(&body) == header.body_check || planted(Bug::EventsUnchecked);
        if body.len() == length && is_sound {
            return Ok(Some(body));
        }
        self.miss(header.number, header.number);
        Ok(None)
    }

    /// The numbers that count, and were not found.
    pub(super) fn into_missing(self) -> EpochSet {
        self.missing
    }

    /// The body of the event before is not whole where the next event lies within it, or it ends behind the end.
    fn settle(&mut self, next: u64) {
        let Some(before) = self.before.take() else { return };
        if self.offset > next || self.offset > self.file.length {
            self.miss(before, before);
        }
    }

    fn miss(&mut self, first: u64, last: u64) {
        if first <= last {
            self.missing = self.missing.union(&EpochSet::range(first, last));
        }
    }

    /// A header of an event that may be next.
    fn header_at(&mut self, offset: u64) -> Result<Option<RecordHeader>, Error> {
        let bytes = self.file.at(offset, HEADER)?;
        let header = bytes.first_chunk().and_then(|bytes| RecordHeader::read(&self.segment, bytes));
        Ok(header.filter(|header| (self.next..=self.last).contains(&header.number)))
    }

    /// The next sound header, where there is none at its place.
    fn search(&mut self) -> Result<Option<(u64, RecordHeader)>, Error> {
        let mut offset = self.earliest;
        while offset + HEADER as u64 <= self.file.length {
            let window = self.file.at(offset, WINDOW)?;
            let place = window.windows(MAGIC.len()).position(|bytes| bytes == MAGIC);
            let Some(place) = place else {
                let passed = window.len().saturating_sub(MAGIC.len() - 1).max(1);
                offset += passed as u64;
                continue;
            };
            offset += place as u64;
            if let Some(header) = self.header_at(offset)? {
                return Ok(Some((offset, header)));
            }
            offset += 1;
        }
        Ok(None)
    }
}

/// A part of a file in memory.
struct Window {
    file: Arc<dyn ReadAt>,
    path: PathBuf,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// So many bytes from an offset, fewer at the end of the file.
    fn at(&mut self, offset: u64, length: usize) -> Result<&[u8], Error> {
        let there = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(there);
        let place = |start: u64| usize::try_from(offset.checked_sub(start)?).ok();
        let is_in = |place: &usize| place.saturating_add(length) <= self.bytes.len();
        let place = if let Some(place) = place(self.start).filter(is_in) {
            place
        } else {
            self.fill(offset, length.max(WINDOW.min(there)))?;
            0
        };
        Ok(self.bytes.get(place..place + length).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, length: usize) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.resize(length, 0);
        self.start = offset;
        let read = match self.file.read_at(&mut bytes, offset) {
            Ok(read) => read,
            Err(error) if is_damage(&error) => self.read_sectors(&mut bytes, offset)?,
            Err(error) => return Err(Error::io("read", &self.path)(error)),
        };
        bytes.truncate(read);
        self.bytes = bytes;
        Ok(())
    }

    /// Once more, and what cannot be read is zeroes, which are no event.
    fn read_sectors(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Error> {
        let mut read = 0;
        while read < bytes.len() {
            let at = offset + read as u64;
            let until_next = SECTOR - usize::try_from(at % SECTOR as u64).unwrap_or(0);
            let end = bytes.len().min(read + until_next);
            let sector = &mut bytes[read..end];
            match self.file.read_at(sector, at) {
                Ok(there) if there < sector.len() => return Ok(read + there),
                Err(error) if !is_damage(&error) => {
                    return Err(Error::io("read", &self.path)(error));
                }
                Err(_) => sector.fill(0),
                Ok(_) => {}
            }
            read = end;
        }
        Ok(read)
    }
}
