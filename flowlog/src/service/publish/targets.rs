//! The stores that files go to: the configured one, and those that a file went to before.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{Early, Target};
use crate::{
    record::location::Location,
    store::{self, Kind, Store},
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
#[derive(Clone)]
struct Opened {
    store: Store,
    url: Location,
    _lock: Arc<store::Lock>,
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

    /// The store that a gateway's files go to, at this URL or where it is configured; and its URL, which is the
    /// same however often the store is opened, and by whichever of its names.
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
            return Ok((opened.store.clone(), opened.url.clone()));
        }
        let (store, url) = match self.early_for(url, gateway) {
            Some(early) => self.prepare(early, gateway).await?,
            None => self.open_another(known.as_ref(), gateway).await?,
        };
        if known.is_none() {
            self.configured = Some(url.clone());
        }
        Ok((store, url))
    }

    /// The store of which the gateway had the right to write before anything was counted.
    fn early_for(&mut self, url: Option<&Location>, gateway: &str) -> Option<Early> {
        let is_this =
            |early: &mut Early| url.is_none_or(|url| url.in_clear() == early.store.url().as_str());
        if gateway == self.target.gateway { self.early.take_if(is_this) } else { None }
    }

    /// Opens a store, unless it was opened already under another name: nobody else is to have its lock, not
    /// even this process.
    async fn open_another(
        &mut self,
        location: Option<&Location>,
        gateway: &str,
    ) -> Result<(Store, Location), store::Error> {
        let store = (self.opener)(location.unwrap_or(&self.target.store).in_clear())?;
        let url = Location::from(store.url().to_string());
        let key = (gateway.to_owned(), url.clone());
        if let Some(opened) = self.opened.get(&key) {
            return Ok((opened.store.clone(), opened.url.clone()));
        }
        let lock = match store.lock(gateway).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == Kind::Locked => {
                let Some(same) = self.same_as(&store, gateway).await? else { return Err(error) };
                let opened = (same.store.clone(), same.url.clone());
                self.opened.insert(key, same);
                return Ok(opened);
            }
            Err(error) => return Err(error),
        };
        self.prepare(Early { store, lock, is_probed: false }, gateway).await
    }

    /// What is open as a gateway and is the same directory as a store, which has another URL: a link, or another
    /// spelling.
    async fn same_as(&self, store: &Store, gateway: &str) -> Result<Option<Opened>, store::Error> {
        for ((of, _), opened) in &self.opened {
            if of == gateway && opened.store.is_same_as(store).await? {
                return Ok(Some(opened.clone()));
            }
        }
        Ok(None)
    }

    /// Finds out whether a store that is locked can be used: it is swept and probed.
    async fn prepare(
        &mut self,
        Early { store, lock, is_probed }: Early,
        gateway: &str,
    ) -> Result<(Store, Location), store::Error> {
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
        let url = Location::from(store.url().to_string());
        let opened = Opened { store: store.clone(), url: url.clone(), _lock: Arc::new(lock) };
        self.opened.insert((gateway.to_owned(), url.clone()), opened);
        Ok((store, url))
    }
}

#[cfg(test)]
mod tests;
