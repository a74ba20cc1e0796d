//! The stores that files go to: the configured one, and those that a file went to before.

use std::{collections::HashMap, fmt};

use super::{Early, Target};
use crate::{
    record::location::Location,
    store::{self, Store},
};

/// How a store is opened.
pub(crate) type Opener = fn(&str) -> Result<Store, store::Error>;

/// Stores that were opened, by gateway, as it is locked, and by URL.
pub(super) struct Targets {
    target: Target,
    opener: Opener,
    early: Option<Early>,
    /// The URL of the configured store, once that is known.
    configured: Option<Location>,
    opened: HashMap<(String, Location), Opened>,
}

/// A store, and the right to write to it as a gateway.
struct Opened {
    store: Store,
    _lock: store::Lock,
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Targets {
    pub(super) fn new(target: Target, early: Option<Early>, opener: Opener) -> Self {
        Self { target, opener, early, configured: None, opened: HashMap::new() }
    }

    /// The store that a gateway's files go to, at this URL or where it is configured; and its URL.
    /// It is opened, locked, swept and probed at the first time.
    pub(super) async fn open(
        &mut self,
        url: Option<&Location>,
        gateway: &str,
    ) -> Result<(Store, Location), store::Error> {
        let known = url.cloned().or_else(|| self.configured.clone());
        if let Some(url) = &known
            && let Some(opened) = self.opened.get(&(gateway.to_owned(), url.clone()))
        {
            return Ok((opened.store.clone(), url.clone()));
        }
        let early = if url.is_none() { self.early.take() } else { None };
        let early = match early {
            Some(early) if gateway == self.target.gateway => early,
            _ => {
                let location = known.as_ref().unwrap_or(&self.target.store);
                let store = (self.opener)(location.in_clear())?;
                let lock = store.lock(gateway).await?;
                Early { store, lock, is_probed: false }
            }
        };
        let Early { store, lock, is_probed } = early;
        for oddity in store.inspect().await? {
            tracing::warn!("the store {oddity}");
        }
        let swept = store.sweep(gateway).await?;
        if swept > 0 {
            tracing::info!(
                files = swept,
                "deleted unfinished files that a killed flowlog left in the store"
            );
        }
        if !is_probed {
            store.probe(gateway).await?;
        }
        let is_configured = known.is_none();
        let url = Location::from(store.url().to_string());
        if is_configured {
            self.configured = Some(url.clone());
        }
        let opened = Opened { store: store.clone(), _lock: lock };
        self.opened.insert((gateway.to_owned(), url.clone()), opened);
        Ok((store, url))
    }
}
