//! What a store could not do, what kind of failure that is, and what would help.

use std::{error::Error as StdError, io, path::PathBuf};

use object_store::path::Path;

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
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
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
    /// The store said that it has an object, and has not.
    #[error("the store took {object} and does not have it: {found}")]
    Unconfirmed {
        /// Its path in the store.
        object: Path,
        /// What is there instead.
        found: Found,
    },
    /// The store replaces objects that it was told not to.
    #[error("the store ignores If-None-Match, so that files could be overwritten")]
    Unconditional,
    /// A change to a local store cannot be made durable.
    #[error("cannot sync {}", path.display())]
    Sync {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a killed put left behind cannot be removed.
    #[error("cannot remove what was left behind under {}", path.display())]
    Sweep {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock of a gateway cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon writes for this gateway.
    #[error("another flowlog writes as gateway {gateway:?} to this store")]
    Locked {
        /// The gateway.
        gateway: String,
    },
}

/// What a store has instead of an object that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Found {
    /// No object.
    #[error("nothing has that name")]
    Nothing,
    /// An object of another size.
    #[error("it has {is} bytes instead of {should_be}")]
    Size {
        /// What is there.
        is: u64,
        /// What was put.
        should_be: u64,
    },
    /// An object of that size with other bytes.
    #[error("its bytes are others")]
    Bytes,
}

/// A kind of failure: it decides how soon to try again, and what to tell the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The store is away, slow, throttles or fails by itself.
    Away,
    /// Credentials have expired, and may be renewed.
    Expired,
    /// The store has not what it said it has.
    Unfaithful,
    /// There is no such object.
    Missing,
    /// The credentials do not allow it.
    Denied,
    /// There are no credentials.
    NoCredentials,
    /// There is no such bucket or container.
    NoBucket,
    /// No space or quota is left.
    Full,
    /// The clock of this machine or of the store is wrong.
    Clock,
    /// Another daemon has the gateway's lock.
    Locked,
    /// The store is configured in a way that cannot work.
    Setup,
}

impl Kind {
    /// Whether it is expected to pass without anybody doing anything.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Away | Self::Expired | Self::Unfaithful)
    }

    /// What somebody could do about it.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Away | Self::Unfaithful | Self::Missing => None,
            Self::Expired => Some(
                "keys from an instance, a role or a web identity are renewed; \
                 with keys from the environment, restart with new ones",
            ),
            Self::Denied => Some("see docs/stores.md for the permissions that it takes"),
            Self::NoCredentials => {
                Some("set the usual variables of the cloud, such as AWS_ACCESS_KEY_ID")
            }
            Self::NoBucket => Some("make the bucket or container, or correct the URL"),
            Self::Full => Some("free some space, or raise the quota"),
            Self::Clock => Some("set the clock: stores refuse requests that are minutes off"),
            Self::Locked => Some("end the other one, or give this one another gateway name"),
            Self::Setup => Some("correct the URL, the region or the endpoint"),
        }
    }
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. } | Self::Unconditional => Kind::Setup,
            Self::Put { source, .. } => match kind_of(source) {
                // Only a bucket can be missing where something is put.
                Kind::Missing => Kind::NoBucket,
                kind => kind,
            },
            Self::Read { source, .. } | Self::Delete { source, .. } | Self::List { source } => {
                kind_of(source)
            }
            Self::Unconfirmed { .. } => Kind::Unfaithful,
            Self::Locked { .. } => Kind::Locked,
            Self::Directory { source, .. }
            | Self::Sync { source, .. }
            | Self::Sweep { source, .. }
            | Self::Lock { source, .. } => kind_of_io(source).unwrap_or(Kind::Away),
        }
    }

    /// Whether it is expected to pass without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.kind().is_passing()
    }

    /// What somebody could do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        self.kind().remedy()
    }
}

/// Words of the clouds' answers. They are looked for before the status: S3 says 400 for a token that has
/// expired, and Azure 403.
const WORDS: [(Kind, &[&str]); 5] = [
    (
        Kind::Expired,
        &[
            "ExpiredToken",
            "RequestExpired",
            "TokenRefreshRequired",
            "Signature not valid in the specified time frame",
            "token is expired",
        ],
    ),
    (Kind::Clock, &["RequestTimeTooSkewed", "Request date header too old"]),
    (
        Kind::NoBucket,
        &["NoSuchBucket", "ContainerNotFound", "FilesystemNotFound", "bucket does not exist"],
    ),
    (Kind::Full, &["QuotaExceeded", "InsufficientStorage", "507 Insufficient"]),
    // The metadata service of a cloud is asked last, when there are no keys.
    (Kind::NoCredentials, &["169.254.169.254", "metadata.google.internal"]),
];

fn kind_of(error: &object_store::Error) -> Kind {
    if let Some(kind) = causes(error).find_map(|cause| kind_of_io(cause.downcast_ref()?)) {
        return kind;
    }
    // The type that has status and body is private to object_store; what it shows has both.
    let text = error.to_string();
    let said = |(_, words): &&(Kind, &[&str])| words.iter().any(|word| text.contains(word));
    if let Some((kind, _)) = WORDS.iter().find(said) {
        return *kind;
    }
    match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => Kind::Denied,
        object_store::Error::NotFound { .. } => Kind::Missing,
        // The object changed meanwhile; the next attempt sees to what.
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Kind::Away
        }
        object_store::Error::InvalidPath { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => Kind::Setup,
        _ => match status(&text) {
            Some(401 | 403) => Kind::Denied,
            Some(408 | 429) => Kind::Away,
            Some(300..500) => Kind::Setup,
            _ if text.contains("redirect without LOCATION") => Kind::Setup,
            _ => Kind::Away,
        },
    }
}

fn kind_of_io(error: &io::Error) -> Option<Kind> {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Kind::Denied),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Kind::Full),
        _ => None,
    }
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}
