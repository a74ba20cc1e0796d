//! Where the files are: a local directory, or an object store by URL.
//!
//! ```text
//! flows/  gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ledger/ gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ```
//!
//! A file appears whole or not at all: local files are written beside their name, synced and
//! renamed; object stores put atomically. What can go wrong is in [`Error`] and its [`Kind`]; when
//! to try again, in [`Retry`].

mod cloud;
mod error;
pub mod layout;
mod listing;
mod local;
mod put;
mod retry;

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path,
    prefix::PrefixStore,
};
use url::Url;

use crate::gateway::GatewayName;
use layout::{Dataset, Partition};

pub use self::{
    error::{Error, Found, Kind},
    listing::{Listing, Oddity, Staged},
    local::Lock,
    put::Created,
    retry::Retry,
};

/// A store of Parquet files.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Url,
    /// The directory, where it is one.
    directory: Option<PathBuf>,
}

impl Store {
    /// Opens a store: a path, or a URL. Keys and endpoints of clouds come from their usual
    /// environment variables (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`,
    /// `AZURE_STORAGE_ACCOUNT_NAME`, …).
    pub fn open(location: &str) -> Result<Self, Error> {
        // Others may have variables that are no text.
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::open_with(location, variables)
    }

    /// Opens a store with these variables instead of those of the environment.
    pub fn open_with(
        location: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Url {
            url: location.to_owned(),
            source,
        };
        let url = parse_location(location).map_err(wrong)?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| wrong("not a local path".into()))?;
            let directory = path.canonicalize().map_err(|source| wrong(source.into()))?;
            let objects = LocalFileSystem::new_with_prefix(&directory)
                .map_err(|source| wrong(source.into()))?
                .with_fsync(true)
                .with_automatic_cleanup(true);
            return Ok(Self { objects: Arc::new(objects), url, directory: Some(directory) });
        }
        let (objects, prefix) =
            cloud::connect(&url, variables).map_err(|source| wrong(source.into()))?;
        let objects = Arc::new(PrefixStore::new(objects, prefix));
        Ok(Self { objects, url, directory: None })
    }

    /// Makes the directory of a local store, readable by its owner only. Others need nothing.
    pub fn create(location: &str) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt as _;

        if let Ok(url) = parse_location(location)
            && url.scheme() == "file"
            && let Ok(path) = url.to_file_path()
        {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|source| Error::Directory { path, source })?;
        }
        Self::open(location)
    }

    /// Opens a store for a daemon: a local directory is used by a process of its own, so that a disk
    /// that hangs cannot keep the daemon from ending. Nothing on the disk is asked for yet; the
    /// directory is made by the first question, where there is none.
    pub fn open_isolated(location: &str) -> Result<Self, Error> {
        Self::create(location)
    }

    /// The store's URL, without credentials.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Takes the right to write for a gateway, so that two daemons cannot share its name. Only a
    /// local store can give it; in a cloud it is always free.
    #[expect(clippy::unused_async, reason = "the directory may be another process's")]
    pub async fn lock(&self, gateway: &str) -> Result<Lock, Error> {
        match &self.directory {
            Some(directory) => Lock::take(directory, gateway),
            None => Ok(Lock::none()),
        }
    }

    /// Removes the temporary files of a gateway whose put was killed, and says how many there were.
    /// For whoever has the [lock](Self::lock): nobody else is to be writing. In a cloud, nothing
    /// that is visible stays behind; what does is up to a rule of the bucket.
    pub async fn sweep(&self, gateway: &str) -> Result<usize, Error> {
        let Some(directory) = self.directory.clone() else { return Ok(0) };
        let (path, gateway) = (directory.clone(), gateway.to_owned());
        tokio::task::spawn_blocking(move || local::sweep(&directory, &gateway))
            .await
            .map_err(|error| Error::Sweep { path, source: io::Error::other(error) })?
    }

    /// Reads an object whole.
    pub async fn read(&self, object: &Path) -> Result<Bytes, Error> {
        let read = |source| Error::Read { object: object.clone(), source };
        self.objects.get(object).await.map_err(read)?.bytes().await.map_err(read)
    }

    /// Reads an object whole; `None` where there is none.
    pub async fn read_present(&self, object: &Path) -> Result<Option<Bytes>, Error> {
        match self.read(object).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Read { source: object_store::Error::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object; one that is gone already counts as deleted.
    pub async fn delete(&self, object: &Path) -> Result<(), Error> {
        match self.objects.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(Error::Delete { object: object.clone(), source }),
        }
        self.sync(object, local::sync_nearest).await
    }

    /// Everything in the store, in the order of the paths.
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, Error> {
        self.list_under(None).await
    }

    /// The files of one table, in the order of the paths.
    pub async fn list_dataset(&self, dataset: Dataset) -> Result<Vec<ObjectMeta>, Error> {
        self.list_under(Some(&Path::from(dataset.name()))).await
    }

    /// Everything in the store, with what is odd there. Nothing odd hides the rest.
    pub async fn survey(&self) -> Result<Listing, Error> {
        Ok(Listing { objects: self.list_under(None).await?, oddities: vec![] })
    }

    /// The files of one table and gateway, with what is odd there.
    pub async fn list_gateway(
        &self,
        dataset: Dataset,
        gateway: &GatewayName,
    ) -> Result<Listing, Error> {
        let prefix = Path::from(format!("{}/gateway={gateway}", dataset.name()));
        Ok(Listing { objects: self.list_under(Some(&prefix)).await?, oddities: vec![] })
    }

    /// The gateways that have files in the store, in the order of their names.
    pub async fn gateways(&self) -> Result<Vec<GatewayName>, Error> {
        let mut gateways: Vec<GatewayName> = vec![];
        for object in self.list().await? {
            let mut folders = object.location.as_ref().split('/').skip(1);
            let name = folders.next().and_then(|folder| folder.strip_prefix("gateway="));
            gateways.extend(name.and_then(|name| name.parse().ok()));
        }
        gateways.sort_unstable();
        gateways.dedup();
        Ok(gateways)
    }

    /// Files that were being written when their writer was killed, or that are being written now.
    /// A cloud shows none.
    #[expect(clippy::unused_async, reason = "the directory may be another process's")]
    pub async fn staged(&self) -> Result<Vec<Staged>, Error> {
        Ok(vec![])
    }

    /// Removes what a killed writer left behind, unless a daemon writes for its gateway; says
    /// whether it is gone.
    #[expect(clippy::unused_async, reason = "the directory may be another process's")]
    pub async fn remove_staged(&self, _staged: &Staged) -> Result<bool, Error> {
        Ok(false)
    }

    /// What is odd about a local store as a whole: its owner, or who may write to it.
    #[expect(clippy::unused_async, reason = "the directory may be another process's")]
    pub async fn inspect(&self) -> Result<Vec<Oddity>, Error> {
        Ok(vec![])
    }

    /// The files of an hour of a table, in the order of the paths.
    pub async fn list_partition(&self, partition: &Partition) -> Result<Vec<ObjectMeta>, Error> {
        self.list_under(Some(&Path::from(partition.folder()))).await
    }

    async fn list_under(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>, Error> {
        let mut objects: Vec<ObjectMeta> = self
            .objects
            .list(prefix)
            .try_collect()
            .await
            .map_err(|source| Error::List { source })?;
        objects.retain(|object| !object.location.as_ref().starts_with(local::OWN_PREFIX));
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// Makes durable what became of an object in a local store.
    async fn sync(
        &self,
        object: &Path,
        directories: fn(&std::path::Path, &std::path::Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(root) = self.directory.clone() else { return Ok(()) };
        let path = root.join(object.as_ref());
        let synced = tokio::task::spawn_blocking(move || directories(&root, &path)).await;
        synced.map_err(|error| Error::Sync {
            path: object.as_ref().into(),
            source: io::Error::other(error),
        })?
    }
}

/// A URL as it is, anything else as a path.
fn parse_location(location: &str) -> Result<Url, Box<dyn std::error::Error + Send + Sync>> {
    if location.is_empty() {
        return Err("it is empty".into());
    }
    if location.contains("://") {
        return Ok(Url::parse(location)?);
    }
    Ok(Url::from_directory_path(std::path::absolute(location)?).map_err(|()| "not a path")?)
}

#[cfg(test)]
mod tests;
