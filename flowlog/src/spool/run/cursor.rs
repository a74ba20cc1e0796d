//! Reading the entries of a run.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{
    Error,
    disk::ReadAt,
    entry::Entry,
    planted::{Bug, planted},
};

/// Reads the entries of a run, one after the other.
pub struct Cursor<const A: usize> {
    /// `None` where there is no entry.
    file: Option<Arc<dyn ReadAt>>,
    path: PathBuf,
    offset: u64,
    /// Entries that are not in the buffer yet.
    left: u64,
    buffer: Vec<u8>,
    place: usize,
    check: crc32fast::Hasher,
    expected: Option<u32>,
}

/// Small, since many runs are read at once.
const BUFFER: u64 = 1 << 14;

impl<const A: usize> Cursor<A> {
    pub(super) fn new(
        file: Option<Arc<dyn ReadAt>>,
        path: &Path,
        offset: u64,
        left: u64,
        expected: Option<u32>,
    ) -> Self {
        let (buffer, check) = (vec![], crc32fast::Hasher::new());
        Self { file, path: path.to_owned(), offset, left, buffer, place: 0, check, expected }
    }

    /// The next entry; `None` behind the last one. Only then it is certain that all of them were what was
    /// written.
    pub fn next_entry(&mut self) -> Result<Option<Entry<A>>, Error> {
        let size = Entry::<A>::SIZE;
        if self.place == self.buffer.len() && !self.fill()? {
            return Ok(None);
        }
        let entry = self.buffer.get(self.place..self.place + size).and_then(Entry::read);
        self.place += size;
        Ok(entry)
    }

    /// Reads the next entries; false behind the last one.
    fn fill(&mut self) -> Result<bool, Error> {
        let size = Entry::<A>::SIZE as u64;
        let entries = self.left.min(BUFFER / size);
        let (true, Some(file)) = (entries > 0, &self.file) else {
            let is_sound = planted(Bug::NoCheck)
                || self.left == 0
                    && self
                        .expected
                        .is_none_or(|expected| self.check.clone().finalize() == expected);
            self.file = None;
            return if is_sound { Ok(false) } else { Err(self.damaged()) };
        };
        self.buffer.resize(usize::try_from(entries * size).unwrap_or(0), 0);
        self.place = 0;
        let read = file.read_at(&mut self.buffer, self.offset);
        if read.map_err(Error::io("read", &self.path))? != self.buffer.len() {
            return Err(self.damaged());
        }
        self.check.update(&self.buffer);
        self.offset += entries * size;
        self.left -= entries;
        Ok(true)
    }

    fn damaged(&self) -> Error {
        Error::Damaged { path: self.path.clone() }
    }
}
