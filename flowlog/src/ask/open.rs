//! The one way from a question to rows about persons.
//!
//! Whoever reads tables to answer a question does it by a [`Consultation`]: it finds the objects that can have an
//! answer, opens them by [`Consultation::open`] alone, and counts the objects and bytes that were read for it. So
//! there is one place that can refuse, decrypt, or keep a journal of who asked.
//!
//! A consultation is used by threads that wait, see [`BlockingStore`]:
//!
//! ```no_run
//! # use flowlog::{ask::open::{Consultation, Times}, record::clock::Utc, store::Store, table::{FLOWS, reader::Value}};
//! # async fn ask(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
//! let consultation = Consultation::begin(store)?;
//! let count = tokio::task::spawn_blocking(move || {
//!     let times = Times::new(Utc::from_ms(1_795_341_300_000), Utc::from_ms(1_795_341_301_000));
//!     let mut count = 0;
//!     for gateway in consultation.gateways(&[&FLOWS])? {
//!         for object in consultation.objects(&FLOWS, &gateway, times)?.known {
//!             let reader = consultation.open(&FLOWS, &object)?;
//!             let at = Some(Value::Time(times.from));
//!             let reader = reader.select(&["member_ip"])?.between("flow_end", at, None)?;
//!             for rows in reader.having("remote_ip", "192.0.2.1")?.prefetched()?.batches()? {
//!                 count += rows?.count();
//!             }
//!         }
//!     }
//!     Ok::<_, flowlog::ask::open::Error>(count)
//! });
//! # count.await??; Ok(()) }
//! ```

mod find;
mod part;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use object_store::{ObjectMeta, path::Path};
use serde::Serialize;

pub use self::{
    find::{Objects, Times, UnknownGateway},
    part::Part,
};
use crate::{
    store::{self, BlockingStore, Store},
    table::{
        Reader, Table,
        reader::{self, Footer},
    },
};

/// Why a question gets no rows of an object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] reader::Error),
}

impl Error {
    /// Whether the object was replaced or deleted between the list and the read: the next list has what is there now.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        let store = match self {
            Self::Store(error) => Some(error),
            Self::File(error) => part::store_error(&error.fault),
        };
        store.is_some_and(store::Error::is_replaced)
    }
}

/// The reads for one question, or for several in a row.
#[derive(Debug)]
pub struct Consultation {
    store: BlockingStore,
    read: Arc<Count>,
    /// Footers that were read, by the object and what tells it from others of its name.
    footers: Mutex<HashMap<(Path, String), Footer>>,
}

/// What was read, so far.
#[derive(Debug, Default)]
struct Count {
    objects: AtomicU64,
    bytes: AtomicU64,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Objects that were opened.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// More footers than these are forgotten: about 100 KiB each.
const MOST_FOOTERS: usize = 256;

impl Consultation {
    /// Begins one; within a runtime, which does the requests of a cloud.
    pub fn begin(store: &Store) -> Result<Self, store::Error> {
        let store = store.blocking()?;
        Ok(Self { store, read: Arc::default(), footers: Mutex::default() })
    }

    /// How many threads may read at a time: those that wait for a server are many.
    #[must_use]
    pub fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if self.store.is_remote() { processors.max(REQUESTS_AT_ONCE) } else { processors }
    }

    /// Opens an object of a table for a question. Nothing else gives rows of a table to whoever asks about persons.
    pub fn open(&self, table: &'static Table, listed: &ObjectMeta) -> Result<Reader<Part>, Error> {
        let object = self.store.open(listed)?;
        self.read.objects.fetch_add(1, Relaxed);
        let key = object.tag().map(|tag| (listed.location.clone(), tag.to_owned()));
        let part = Part::new(Arc::new(object), Arc::clone(&self.read));
        if let Some(footer) = key.as_ref().and_then(|key| self.footer(table, key)) {
            return Ok(Reader::of(footer, &listed.location, part));
        }
        part.hold_end();
        let reader = Reader::open(table, &listed.location, part)?;
        if let Some(key) = key {
            self.keep_footer(key, reader.footer().clone());
        }
        Ok(reader)
    }

    /// Reads an object of a table that is not about persons, such as a ledger, as a whole.
    pub fn read_whole(&self, listed: &ObjectMeta) -> Result<Bytes, store::Error> {
        let object = self.store.open(listed)?;
        self.read.objects.fetch_add(1, Relaxed);
        let whole = 0..object.size();
        let read = object.read(std::slice::from_ref(&whole))?.into_iter().next();
        self.read.bytes.fetch_add(object.size(), Relaxed);
        Ok(read.unwrap_or_default())
    }

    /// What was read so far.
    #[must_use]
    pub fn read(&self) -> Read {
        let Count { objects, bytes } = &*self.read;
        Read { objects: objects.load(Relaxed), bytes: bytes.load(Relaxed) }
    }

    fn footer(&self, table: &Table, key: &(Path, String)) -> Option<Footer> {
        let footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        footers.get(key).filter(|footer| footer.table() == table).cloned()
    }

    fn keep_footer(&self, key: (Path, String), footer: Footer) {
        let mut footers = self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if footers.len() >= MOST_FOOTERS {
            footers.clear();
        }
        footers.insert(key, footer);
    }
}

/// Requests to a server that are under way at once.
const REQUESTS_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests;
