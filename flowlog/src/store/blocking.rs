//! A store for threads that wait: of a large object they read the parts that they need, several threads at a time.
//!
//! A directory is read by the threads themselves. The requests of a cloud are done by the runtime in which the
//! threads were started; its own threads must not wait here.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectMeta, path::Path};
use tokio::runtime::Handle;

use super::{Backend, Error, Listing, Store, cloud::Cloud, directory::Directory, parse_location};
use crate::record::gateway::GatewayName;

/// A store for threads that wait.
#[derive(Debug)]
pub struct BlockingStore {
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Directory(Directory),
    Cloud(Arc<Cloud>, Handle),
}

impl Store {
    /// The store for threads that wait. Called within a runtime, which does the requests of a cloud.
    pub fn blocking(&self) -> Result<BlockingStore, Error> {
        let origin = match &self.backend {
            Backend::Cloud(cloud) => Origin::Cloud(Arc::clone(cloud), Handle::current()),
            Backend::Directory(_) => {
                let super::Location::Directory(_, path) = parse_location(self.url.as_str())? else {
                    return Err(super::wrong(self.url.as_str(), "not a local path"));
                };
                let opened = Directory::open(&path);
                Origin::Directory(opened.map_err(|source| Error::Directory { path, source })?)
            }
        };
        Ok(BlockingStore { origin })
    }
}

impl BlockingStore {
    /// Whether each read is a request to a server, so that it pays to wait for many at once.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.origin, Origin::Cloud(..))
    }

    /// The files below a folder, with what is odd there.
    pub fn list_folder(&self, folder: &str) -> Result<Listing, Error> {
        let listing = match &self.origin {
            Origin::Cloud(cloud, runtime) => runtime.block_on(cloud.list(Some(folder)))?,
            Origin::Directory(directory) => {
                directory.list(Some(folder)).map_err(super::request::Failure::into_error)?.into()
            }
        };
        Ok(listing.without_own())
    }

    /// The gateways that have folders in these, in the order of their names.
    pub fn gateways(&self, folders: &[&str]) -> Result<Vec<GatewayName>, Error> {
        match &self.origin {
            Origin::Cloud(cloud, runtime) => runtime.block_on(cloud.gateways(folders)),
            Origin::Directory(directory) => {
                let folders: Vec<String> = folders.iter().map(|f| (*f).to_owned()).collect();
                directory.gateways(&folders).map_err(super::request::Failure::into_error)
            }
        }
    }

    /// The names of the folders in a folder, in their order.
    pub fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        match &self.origin {
            Origin::Cloud(cloud, runtime) => runtime.block_on(cloud.folders(folder)),
            Origin::Directory(directory) => {
                directory.folders(folder).map_err(super::request::Failure::into_error)
            }
        }
    }

    /// Opens an object of a list. While it is open its parts are those of one and the same file: where another one
    /// took its place, a directory reads on in the old one, and a cloud refuses ([`Error::is_replaced`]).
    pub fn open(&self, listed: &ObjectMeta) -> Result<OpenObject, Error> {
        let object = listed.location.clone();
        match &self.origin {
            Origin::Cloud(cloud, runtime) => Ok(OpenObject {
                object,
                size: listed.size,
                tag: listed.e_tag.clone(),
                content: Content::Cloud(Arc::clone(cloud), runtime.clone()),
            }),
            Origin::Directory(directory) => {
                let (file, meta) =
                    directory.open_object(&object).map_err(super::request::Failure::into_error)?;
                let content = Content::File(file);
                Ok(OpenObject { object, size: meta.size, tag: meta.e_tag, content })
            }
        }
    }
}

/// An object that is open.
#[derive(Debug)]
pub struct OpenObject {
    object: Path,
    size: u64,
    tag: Option<String>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Cloud(Arc<Cloud>, Handle),
}

impl OpenObject {
    /// Its path in the store.
    #[must_use]
    pub const fn object(&self) -> &Path {
        &self.object
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What tells it from every other object that had its name.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether each read is a request to a server.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        matches!(self.content, Content::Cloud(..))
    }

    /// Reads some parts, each of which ends within the object.
    pub fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        match &self.content {
            Content::File(file) => ranges.iter().map(|range| self.read_file(file, range)).collect(),
            Content::Cloud(cloud, runtime) => {
                runtime.block_on(cloud.read_ranges(&self.object, self.tag.as_deref(), ranges))
            }
        }
    }

    fn read_file(&self, file: &File, range: &Range<u64>) -> Result<Bytes, Error> {
        let read = || {
            let length = range.end.saturating_sub(range.start);
            let length = usize::try_from(length).map_err(io::Error::other)?;
            let mut bytes = vec![];
            bytes.try_reserve_exact(length).map_err(io::Error::other)?;
            bytes.resize(length, 0);
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        };
        read().map_err(|source: io::Error| Error::Read {
            object: self.object.clone(),
            source: source.into(),
        })
    }
}
