//! What retention remembers of a local store from one run to the next.
//!
//! A clock that has jumped also dates what is recorded, and the files of a local store. So the last
//! instant without a doubt is kept beside them, and when retention first saw a file whose time cannot
//! be read. A cloud has a clock of its own, and refuses a gateway whose clock is minutes off.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{
    keep::events::Event,
    record::clock::Utc,
    store::{self, Kind, Store},
    telemetry::with_causes,
};

/// Hidden from whoever lists the store, as all of flowlog's own files are.
const NAME: &str = ".flowlog-retention.json";

/// What retention remembers of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The last instant at which there was no doubt about the clock, milliseconds of UTC.
    trusted_ms: Option<i64>,
    /// When files were first seen whose time cannot be read, milliseconds of UTC, by path.
    #[serde(default)]
    found_ms: BTreeMap<String, i64>,
}

impl Memory {
    /// Reads what a store's retention remembers: nothing in a cloud.
    pub async fn read(store: &Store) -> Self {
        if !is_local(store) {
            return Self::default();
        }
        let read = match store.read(&Path::from(NAME)).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) if error.kind() == Kind::Missing => Ok(Self::default()),
            Err(error) => Err(with_causes(&error)),
        };
        read.unwrap_or_else(|error| {
            Event::Forgotten { name: NAME, error: &error }.emit();
            Self::default()
        })
    }

    /// Writes it, unless it is what was read.
    pub async fn write(&self, store: &Store, was: &Self) -> Result<(), store::Error> {
        if self == was || !is_local(store) {
            return Ok(());
        }
        // Only numbers and texts: always possible.
        let json = serde_json::to_vec(self).unwrap_or_default();
        store.replace(&Path::from(NAME), &Bytes::from(json)).await
    }

    /// The last instant without a doubt about the clock.
    #[must_use]
    pub fn trusted(&self) -> Option<Utc> {
        self.trusted_ms.map(Utc::from_ms)
    }

    /// There is no doubt about an instant.
    pub const fn trust(&mut self, instant: Utc) {
        self.trusted_ms = Some(instant.ms());
    }

    /// When a file was first seen whose time cannot be read.
    #[must_use]
    pub fn found(&self, path: &str) -> Option<Utc> {
        self.found_ms.get(path).copied().map(Utc::from_ms)
    }

    /// A file whose time cannot be read was seen.
    pub fn find(&mut self, path: &str, at: Utc) {
        self.found_ms.entry(path.to_owned()).or_insert_with(|| at.ms());
    }

    /// Forgets files that are gone, and finds made by a clock that was ahead of `now`.
    pub fn keep_found(&mut self, now: Utc, is_there: impl Fn(&str) -> bool) {
        self.found_ms.retain(|path, at| Utc::from_ms(*at) <= now && is_there(path));
    }
}

fn is_local(store: &Store) -> bool {
    store.url().scheme() == "file"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_remembers_and_shows_nothing_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().to_str().unwrap()).unwrap();
        let was = Memory::read(&store).await;
        assert_eq!(was, Memory::default());
        let mut memory = was.clone();
        memory.trust(Utc::from_ms(5));
        memory.find("flows/x", Utc::from_ms(7));
        memory.find("flows/x", Utc::from_ms(9));
        memory.write(&store, &was).await.unwrap();
        let again = Memory::read(&store).await;
        assert_eq!(again, memory);
        assert_eq!(again.trusted(), Some(Utc::from_ms(5)));
        assert_eq!(again.found("flows/x"), Some(Utc::from_ms(7)));
        assert!(store.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_memory_that_cannot_be_read_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().to_str().unwrap()).unwrap();
        std::fs::write(directory.path().join(NAME), "{").unwrap();
        assert_eq!(Memory::read(&store).await, Memory::default());
    }
}
