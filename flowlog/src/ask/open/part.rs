//! A file of a table of which parts are read, each once.

use std::{
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use bytes::{Buf as _, Bytes, buf};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use super::Count;
use crate::{
    store::{self, OpenObject},
    table::reader::{Fault, Prefetch},
};

/// What is read at once of the end of a file: the footer, of most files, and small files as a whole.
const END: u64 = 128 << 10;
/// What is read at once where nobody asked for how much.
const STEP: u64 = 64 << 10;

/// A file of which parts are read. Clones share the file, and what is held of it.
#[derive(Clone, Debug)]
pub struct Part {
    object: Arc<OpenObject>,
    read: Arc<Count>,
    held: Arc<Mutex<Vec<(u64, Bytes)>>>,
}

impl Part {
    pub(super) fn new(object: Arc<OpenObject>, read: Arc<Count>) -> Self {
        Self { object, read, held: Arc::default() }
    }

    /// The same file, with nothing of it held.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self::new(Arc::clone(&self.object), Arc::clone(&self.read))
    }

    /// Whether each read is a request to a server.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.object.is_remote()
    }

    /// Reads the end of the file, which a footer is in. An error comes up when the footer is read.
    pub(super) fn hold_end(&self) {
        let size = self.object.size();
        let end = size.saturating_sub(END)..size;
        if let Err(error) = self.prefetch(&[end]) {
            tracing::debug!("cannot read the end of a file: {error}");
        }
    }

    fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ParquetError> {
        let size = self.object.size();
        if let Some(beyond) =
            ranges.iter().find(|range| range.start > range.end || range.end > size)
        {
            let message = format!("bytes {beyond:?} of a file that has {size}");
            return Err(ParquetError::EOF(message));
        }
        let read =
            self.object.read(ranges).map_err(|error| ParquetError::External(error.into()))?;
        let bytes = read.iter().map(|bytes| bytes.len() as u64).sum();
        self.read.bytes.fetch_add(bytes, Relaxed);
        Ok(read)
    }

    /// What is held from a place on.
    fn held_from(&self, start: u64) -> Option<Bytes> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find_map(|(begin, bytes)| {
            let skipped = usize::try_from(start.checked_sub(*begin)?).ok()?;
            (skipped < bytes.len()).then(|| bytes.slice(skipped..))
        })
    }
}

impl Prefetch for Part {
    fn prefetch(&self, ranges: &[Range<u64>]) -> Result<(), ParquetError> {
        let is_missing = |range: &&Range<u64>| {
            let held = self.held_from(range.start).map_or(0, |bytes| bytes.len() as u64);
            held < range.end.saturating_sub(range.start)
        };
        let missing: Vec<Range<u64>> = ranges.iter().filter(is_missing).cloned().collect();
        let fetched = self.fetch(&missing)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What was asked for last is asked for next.
        held.splice(0..0, missing.iter().map(|range| range.start).zip(fetched));
        Ok(())
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.object.size()
    }
}

impl ChunkReader for Part {
    type T = Stream;

    fn get_read(&self, start: u64) -> Result<Stream, ParquetError> {
        let held = self.held_from(start).unwrap_or_default().reader();
        Ok(Stream { part: self.clone(), next: start + held.get_ref().len() as u64, held })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if let Some(held) = self.held_from(start).filter(|held| held.len() >= length) {
            return Ok(held.slice(..length));
        }
        let range = start..start.saturating_add(length as u64);
        let fetched = self.fetch(std::slice::from_ref(&range))?;
        Ok(fetched.into_iter().next().unwrap_or_default())
    }
}

/// The bytes of a file from a place on.
#[derive(Debug)]
pub struct Stream {
    part: Part,
    held: buf::Reader<Bytes>,
    next: u64,
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.held.get_ref().has_remaining() && !to.is_empty() {
            let end = self.next.saturating_add(STEP).min(self.part.object.size());
            if self.next < end {
                let step = self.next..end;
                let fetched = self.part.fetch(std::slice::from_ref(&step));
                let fetched = fetched.map_err(io::Error::other)?;
                self.held = fetched.into_iter().next().unwrap_or_default().reader();
                self.next = end;
            }
        }
        self.held.read(to)
    }
}

/// The error of the store that kept a file from being read.
pub(super) fn store_error(fault: &Fault) -> Option<&store::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(fault);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<store::Error>() {
            return Some(error);
        }
        // What an `io::Error` was made of is not among its causes.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}
