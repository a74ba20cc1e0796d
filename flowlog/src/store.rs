//! Where the files are: a local directory, or an object store by URL.
//!
//! ```text
//! flows/  gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ledger/ gateway=gw1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet
//! ```
//!
//! A file appears whole or not at all: local files are written beside their name, synced and
//! renamed; object stores put atomically. What can go wrong is in [`Error`] and its [`Kind`]; when
//! to try again, in [`Retry`]. What is in a store and is no object of ours is an [`Oddity`]: it is
//! reported and left alone, and hides nothing else.
//!
//! A daemon uses a local directory by a process of its own ([`Store::open_isolated`]): who waits for
//! a disk that hangs cannot be ended, and must not be who counts.

mod blocking;
mod child;
mod cloud;
mod directory;
mod error;
mod frame;
mod line;
mod listing;
mod lock;
mod own;
mod put;
mod request;
mod retry;
mod worker;

use std::{
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectMeta, path::Path};
use url::Url;

use crate::record::gateway::GatewayName;
use child::Child;
use cloud::Cloud;
use directory::Directory;
use line::{Line, unexpected};
use request::{Request, Response};

pub use self::{
    blocking::{BlockingStore, OpenObject},
    child::{WORKER_COMMAND, serve},
    error::{Error, Kind, Mismatch, Source},
    listing::{Listing, Oddity, Staged},
    lock::Lock,
    put::Created,
    retry::Retry,
};

/// A store of Parquet files.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    url: Url,
}

#[derive(Clone, Debug)]
enum Backend {
    Directory(Arc<Line>),
    Cloud(Arc<Cloud>),
}

/// What a location names.
enum Location {
    Directory(Url, PathBuf),
    Cloud(Url),
}

impl Store {
    /// Opens a store: a path, or a URL. Keys and endpoints of clouds come from their usual
    /// environment variables (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`,
    /// `AZURE_STORAGE_ACCOUNT_NAME`, …).
    pub fn open(location: &str) -> Result<Self, Error> {
        Self::open_with(location, environment())
    }

    /// Opens a store with these variables instead of those of the environment.
    pub fn open_with(
        location: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        match parse_location(location)? {
            Location::Cloud(url) => Self::connect(location, url, variables),
            Location::Directory(url, path) => {
                let opened = Directory::open(&path).and_then(Line::to_thread);
                Ok(Self::local(url, opened.map_err(|source| wrong(location, source))?))
            }
        }
    }

    /// Opens a store, and makes the directory of a local one, readable by its owner only.
    pub fn create(location: &str) -> Result<Self, Error> {
        match parse_location(location)? {
            Location::Cloud(url) => Self::connect(location, url, environment()),
            Location::Directory(url, path) => {
                let opened = Directory::create(&path).and_then(Line::to_thread);
                let line = opened.map_err(|source| Error::Directory { path, source })?;
                Ok(Self::local(url, line))
            }
        }
    }

    /// Opens a store for a daemon: a local directory is used by a process of its own, so that a disk
    /// that hangs cannot keep the daemon from ending. Nothing on the disk is asked for yet; the
    /// directory is made by the first question, where there is none.
    pub fn open_isolated(location: &str) -> Result<Self, Error> {
        // This program as it is now, also when its file was replaced meanwhile.
        Self::open_isolated_by(location, FilePath::new("/proc/self/exe"))
    }

    /// Opens a store that this program uses by its command [`WORKER_COMMAND`].
    pub fn open_isolated_by(location: &str, program: &FilePath) -> Result<Self, Error> {
        match parse_location(location)? {
            Location::Cloud(url) => Self::connect(location, url, environment()),
            Location::Directory(url, path) => {
                let line = Line::to_process(Child::new(program, &path));
                Ok(Self::local(url, line.map_err(|source| Error::Process { source })?))
            }
        }
    }

    fn connect(
        location: &str,
        url: Url,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let cloud = Cloud::connect(&url, variables).map_err(|refused| wrong(location, refused))?;
        Ok(Self { backend: Backend::Cloud(Arc::new(cloud)), url })
    }

    fn local(url: Url, line: Line) -> Self {
        Self { backend: Backend::Directory(Arc::new(line)), url }
    }

    /// The store's URL, without credentials.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Takes the right to write for a gateway, so that two daemons cannot share its name. Only a
    /// local store can give it; in a cloud it is always free.
    pub async fn lock(&self, gateway: &str) -> Result<Lock, Error> {
        let gateway = parse_gateway(gateway)?;
        match &self.backend {
            Backend::Cloud(_) => Ok(Lock::none()),
            Backend::Directory(line) => Lock::take(line, gateway).await,
        }
    }

    /// Removes the temporary files of a gateway whose put was killed, and says how many there were.
    /// For whoever has the [lock](Self::lock): nobody else is to be writing. In a cloud, nothing
    /// that is visible stays behind; what does is up to a rule of the bucket.
    pub async fn sweep(&self, gateway: &str) -> Result<usize, Error> {
        let gateway = parse_gateway(gateway)?;
        let Backend::Directory(line) = &self.backend else { return Ok(0) };
        match line.ask(Request::Sweep { gateway }, Bytes::new()).await? {
            (Response::Swept(files), _) => Ok(files),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Reads an object whole.
    pub async fn read(&self, object: &Path) -> Result<Bytes, Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.read(object).await,
            Backend::Directory(line) => {
                let request = Request::Read { object: object.to_string() };
                Ok(line.ask(request, Bytes::new()).await?.1)
            }
        }
    }

    /// Reads an object whole; `None` where there is none.
    pub async fn read_present(&self, object: &Path) -> Result<Option<Bytes>, Error> {
        match self.read(object).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error @ Error::Read { .. }) if error.kind() == Kind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object; one that is gone already counts as deleted.
    pub async fn delete(&self, object: &Path) -> Result<(), Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.delete(object).await,
            Backend::Directory(line) => {
                let request = Request::Delete { object: object.to_string() };
                line.ask(request, Bytes::new()).await.map(drop)
            }
        }
    }

    /// Everything in the store, in the order of the paths. What is odd is logged; whoever reports
    /// it better asks for a [survey](Self::survey).
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, Error> {
        Ok(self.list_under(None).await?.reported())
    }

    /// Everything in the store, with what is odd there. Nothing odd hides the rest.
    pub async fn survey(&self) -> Result<Listing, Error> {
        self.list_under(None).await
    }

    /// The files below a folder, such as that of a table or of a partition, with what is odd there.
    pub async fn list_folder(&self, folder: &str) -> Result<Listing, Error> {
        self.list_under(Some(folder)).await
    }

    /// The gateways that have folders in these, which are those of tables, in the order of their names.
    pub async fn gateways(&self, tables: &[&str]) -> Result<Vec<GatewayName>, Error> {
        match &self.backend {
            Backend::Cloud(cloud) => cloud.gateways(tables).await,
            Backend::Directory(line) => {
                let folders = tables.iter().map(|folder| (*folder).to_owned()).collect();
                match line.ask(Request::Gateways { folders }, Bytes::new()).await? {
                    (Response::Gateways(gateways), _) => Ok(gateways),
                    (other, _) => Err(unexpected(&other)),
                }
            }
        }
    }

    /// Files that were being written when their writer was killed, or that are being written now.
    /// A cloud shows none.
    pub async fn staged(&self) -> Result<Vec<Staged>, Error> {
        let Backend::Directory(line) = &self.backend else { return Ok(vec![]) };
        match line.ask(Request::Staged, Bytes::new()).await? {
            (Response::Staged(entries), _) => Ok(request::staged(entries)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Removes what a killed writer left behind, unless a daemon writes for its gateway; says
    /// whether it is gone.
    pub async fn remove_staged(&self, staged: &Staged) -> Result<bool, Error> {
        let Backend::Directory(line) = &self.backend else { return Ok(false) };
        let request = Request::RemoveStaged { path: staged.path.clone() };
        match line.ask(request, Bytes::new()).await? {
            (Response::Removed(is_gone), _) => Ok(is_gone),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// What is odd about a local store as a whole: its owner, or who may write to it.
    pub async fn inspect(&self) -> Result<Vec<Oddity>, Error> {
        let Backend::Directory(line) = &self.backend else { return Ok(vec![]) };
        match line.ask(Request::Inspect, Bytes::new()).await? {
            (Response::Inspected(oddities), _) => Ok(oddities),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Whether two stores are the same local directory, by whatever URL each was opened.
    pub async fn is_same_as(&self, other: &Self) -> Result<bool, Error> {
        match (self.identity().await?, other.identity().await?) {
            (Some(one), Some(other)) => Ok(one == other),
            _ => Ok(false),
        }
    }

    /// What tells a local directory from every other one.
    async fn identity(&self) -> Result<Option<(u64, u64)>, Error> {
        let Backend::Directory(line) = &self.backend else { return Ok(None) };
        match line.ask(Request::Identify, Bytes::new()).await? {
            (Response::Identified(device, inode), _) => Ok(Some((device, inode))),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// A store of any kind of objects.
    #[cfg(all(test, feature = "capture"))]
    pub(crate) fn of<S>(objects: Arc<S>, url: Url) -> Self
    where
        S: object_store::ObjectStore + object_store::list::PaginatedListStore,
    {
        Self { backend: Backend::Cloud(Arc::new(Cloud::of(objects))), url }
    }

    async fn list_under(&self, under: Option<&str>) -> Result<Listing, Error> {
        let listing = match &self.backend {
            Backend::Cloud(cloud) => cloud.list(under).await?,
            Backend::Directory(line) => {
                let request = Request::List { under: under.map(str::to_owned) };
                match line.ask(request, Bytes::new()).await? {
                    (Response::Listed(list), _) => list.into(),
                    (other, _) => return Err(unexpected(&other)),
                }
            }
        };
        Ok(listing.without_own())
    }
}

/// The variables of the environment; others may have some that are no text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

/// A URL as it is, anything else as a path.
fn parse_location(location: &str) -> Result<Location, Error> {
    if location.is_empty() {
        return Err(wrong(location, "it is empty"));
    }
    let url = if location.contains("://") {
        Url::parse(location).map_err(|source| wrong(location, source))?
    } else {
        let path = std::path::absolute(location).map_err(|source| wrong(location, source))?;
        Url::from_directory_path(path).map_err(|()| wrong(location, "not a path"))?
    };
    if url.scheme() != "file" {
        return Ok(Location::Cloud(without_credentials(url)));
    }
    let path = url.to_file_path().map_err(|()| wrong(location, "not a local path"))?;
    Ok(Location::Directory(url, path))
}

/// The URL of a cloud without what might open it: keys come from the environment, and a password in a URL
/// would get into messages, and into what the spool remembers. Azure has a container in the user's place.
fn without_credentials(mut url: Url) -> Url {
    let user =
        if url.scheme().starts_with("abfs") { url.username().to_owned() } else { String::new() };
    url.set_query(None);
    url.set_fragment(None);
    match url.set_password(None).and_then(|()| url.set_username(&user)) {
        // A URL without a host has no place for them.
        Ok(()) | Err(()) => url,
    }
}

fn wrong(location: &str, source: impl Into<Source>) -> Error {
    Error::Url { url: location.into(), source: source.into() }
}

fn parse_gateway(gateway: &str) -> Result<GatewayName, Error> {
    gateway.parse().map_err(|source| Error::Gateway { source })
}

#[cfg(test)]
mod tests;
