//! Where the files are: a local directory, or an object store by URL.
//!
//! ```text
//! flows/  gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ledger/ gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ```
//!
//! A file appears whole or not at all: local files are written beside their name, synced and
//! renamed; object stores put atomically.

pub mod layout;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};
use url::Url;

use layout::{Dataset, ObjectName};

/// What the store was asked and could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL or path names no store.
    #[error("{url:?} is not a store: give a directory, or a URL such as s3://bucket/prefix")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An object cannot be written.
    #[error("cannot write {object} to the store")]
    Put {
        /// Its path in the store.
        object: Path,
        /// Why.
        source: object_store::Error,
    },
    /// An object cannot be read.
    #[error("cannot read {object} from the store")]
    Read {
        /// Its path in the store.
        object: Path,
        /// Why.
        source: object_store::Error,
    },
    /// An object cannot be deleted.
    #[error("cannot delete {object} from the store")]
    Delete {
        /// Its path in the store.
        object: Path,
        /// Why.
        source: object_store::Error,
    },
    /// The objects cannot be listed.
    #[error("cannot list the store")]
    List {
        /// Why.
        source: object_store::Error,
    },
}

/// A store of Parquet files.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    url: Url,
}

impl Store {
    /// Opens a store: a path, or a URL. Keys and endpoints of clouds come from their usual
    /// environment variables (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`,
    /// `AZURE_STORAGE_ACCOUNT_NAME`, …).
    pub fn open(location: &str) -> Result<Self, Error> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Url {
            url: location.to_owned(),
            source,
        };
        let url = parse_location(location).map_err(wrong)?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| wrong("not a local path".into()))?;
            let objects = LocalFileSystem::new_with_prefix(&path)
                .map_err(|source| wrong(source.into()))?
                .with_fsync(true)
                .with_automatic_cleanup(true);
            return Ok(Self { objects: Arc::new(objects), url });
        }
        let environment = std::env::vars().map(|(key, value)| (key.to_ascii_lowercase(), value));
        let (objects, prefix) = object_store::parse_url_opts(&url, environment)
            .map_err(|source| wrong(source.into()))?;
        Ok(Self { objects: Arc::new(PrefixStore::new(objects, prefix)), url })
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

    /// The store's URL, without credentials.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Writes, reads and deletes a small object, to see whether that can be done.
    pub async fn probe(&self, gateway: &str) -> Result<(), Error> {
        let object = Path::from(format!(".flowlog-probe-{gateway}"));
        self.objects
            .put(&object, Bytes::from_static(b"flowlog").into())
            .await
            .map_err(|source| Error::Put { object: object.clone(), source })?;
        self.objects
            .head(&object)
            .await
            .map_err(|source| Error::Read { object: object.clone(), source })?;
        self.delete(&object).await
    }

    /// Writes a file under the first free part number, and returns the name that it got.
    ///
    /// A file that is there already with the same bytes counts as written: the put that wrote it
    /// may have been reported as failed.
    pub async fn publish(&self, mut name: ObjectName, file: &Bytes) -> Result<ObjectName, Error> {
        loop {
            let object = name.path();
            let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.objects.put_opts(&object, file.clone().into(), create).await {
                Ok(_) => return Ok(name),
                Err(object_store::Error::AlreadyExists { .. }) => {
                    if self.read(&object).await? == *file {
                        return Ok(name);
                    }
                    name.part += 1;
                }
                Err(source) => return Err(Error::Put { object, source }),
            }
        }
    }

    /// Reads an object whole.
    pub async fn read(&self, object: &Path) -> Result<Bytes, Error> {
        let read = |source| Error::Read { object: object.clone(), source };
        self.objects.get(object).await.map_err(read)?.bytes().await.map_err(read)
    }

    /// Deletes an object; one that is gone already counts as deleted.
    pub async fn delete(&self, object: &Path) -> Result<(), Error> {
        match self.objects.delete(object).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(Error::Delete { object: object.clone(), source }),
        }
    }

    /// Everything in the store, in the order of the paths.
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, Error> {
        self.list_under(None).await
    }

    /// The files of one table, in the order of the paths.
    pub async fn list_dataset(&self, dataset: Dataset) -> Result<Vec<ObjectMeta>, Error> {
        self.list_under(Some(&Path::from(dataset.name()))).await
    }

    async fn list_under(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>, Error> {
        let mut objects: Vec<ObjectMeta> = self
            .objects
            .list(prefix)
            .try_collect()
            .await
            .map_err(|source| Error::List { source })?;
        objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
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
