//! From days to files of the store: put, and put again until the store takes them.

use std::{collections::BTreeMap, time::Duration};

use object_store::path::Path;
use tokio::task::spawn_blocking;

use super::{
    fold::DayFiles,
    recorder::{DayOf, Days},
};
use crate::{
    record::clock::DAY,
    store::{self, Store},
    table::{
        self, COVERAGE, ObjectName, SESSIONS, coverage,
        digest::sha256,
        metadata::{EventFile, Events, Facts},
        sessions,
    },
};

/// Most parts of a day that are looked at.
const MOST_PARTS: u32 = 1_000;

/// Puts days.
#[derive(Debug)]
pub(super) struct DayPublisher {
    days: Days,
    /// Which part of a day is ours, once that is known.
    parts: BTreeMap<DayOf, u32>,
}

/// Why a day is not in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It cannot be encoded.
    #[error(transparent)]
    Table(#[from] table::Error),
    /// The encoding was given up.
    #[error("the encoding of a day of sessions ended early")]
    Ended,
}

impl DayPublisher {
    pub(super) const fn new(days: Days) -> Self {
        Self { days, parts: BTreeMap::new() }
    }

    /// Puts every day that has changed; the error is the first one, after all were tried.
    pub(super) async fn publish(&mut self, store: &Store) -> Result<(), Error> {
        let mut outcome = Ok(());
        for of in self.days.changed() {
            let Some(files) = self.days.files(&of) else { continue };
            if let Err(error) = self.put(store, &of, files).await {
                self.days.again(&of);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    async fn put(&mut self, store: &Store, of: &DayOf, files: DayFiles) -> Result<(), Error> {
        let part = match self.parts.get(of) {
            Some(part) => *part,
            None => self.place(store, of, &files.events).await?,
        };
        let gateway = of.gateway.clone();
        let encoded = spawn_blocking(move || encode(&gateway, part, &files));
        let [sessions, coverage] = encoded.await.map_err(|_| Error::Ended)??;
        // The coverage goes last: it tells that the sessions are there.
        store.replace(&path(&SESSIONS, of, part), &sessions).await?;
        store.replace(&path(&COVERAGE, of, part), &coverage).await?;
        self.parts.insert(of.clone(), part);
        Ok(())
    }

    /// The part of the day that these events are to go to: one of which they have all, or else the next one.
    async fn place(&self, store: &Store, of: &DayOf, ours: &[Events]) -> Result<u32, Error> {
        for part in 0..MOST_PARTS {
            let mut is_ours = true;
            for table in [&SESSIONS, &COVERAGE] {
                if let Some(file) = store.read_present(&path(table, of, part)).await? {
                    let theirs = Facts::of(&file).and_then(|facts| facts.events);
                    is_ours &= theirs.is_some_and(|theirs| has_all(ours, &theirs));
                }
            }
            if is_ours {
                return Ok(part);
            }
        }
        Ok(MOST_PARTS)
    }
}

fn path(table: &'static table::Table, of: &DayOf, part: u32) -> Path {
    let name = ObjectName::new(table, &of.gateway, of.day, DAY);
    ObjectName { part, ..name }.path()
}

/// Whether some events are all among others.
fn has_all(ours: &[Events], theirs: &[Events]) -> bool {
    theirs.iter().all(|(segment, first, last)| {
        ours.iter().any(|(of, from, to)| of == segment && from <= first && last <= to)
    })
}

fn encode(gateway: &str, part: u32, files: &DayFiles) -> Result<[bytes::Bytes; 2], table::Error> {
    let DayFiles { day, events, sessions, coverage } = files;
    let first = events.first().map(|(segment, first, _)| format!("{segment}:{first}"));
    let lineage = format!("{gateway} {day} {part} {}", first.unwrap_or_default());
    let described =
        EventFile { lineage: &sha256(lineage.as_bytes())[..16], gateway, start: *day, events };
    Ok([
        sessions::encode(sessions, |rows| described.pairs(&SESSIONS, rows as u64))?,
        coverage::encode(coverage, |rows| described.pairs(&COVERAGE, rows as u64))?,
    ])
}

/// Shortest and longest pause after a failure.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
