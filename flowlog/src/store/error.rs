//! What a store could not do, what kind of failure that is, and what would help.

mod kind;

use std::{error::Error as StdError, io, path::PathBuf, time::Duration};

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::request::Odd;
use crate::record::{gateway::InvalidName, location::Location};
use kind::{causes, kind_of};

pub use kind::Kind;

/// Why something was not done, as a library or the kernel says it.
pub type Source = Box<dyn StdError + Send + Sync>;

/// What the store was asked and could not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL or path names no store.
    #[error("{url:?} is not a store: give a directory, or a URL such as s3://bucket/prefix")]
    Url {
        /// What was given.
        url: Location,
        /// Why.
        source: Source,
    },
    /// A name is none that a gateway has.
    #[error(transparent)]
    Gateway {
        /// Which one.
        source: InvalidName,
    },
    /// The directory cannot be opened, nor made where it is missing.
    #[error("cannot open the directory {}", path.display())]
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
        source: Source,
    },
    /// An object cannot be read.
    #[error("cannot read {object} from the store")]
    Read {
        /// Its path in the store.
        object: Path,
        /// Why.
        source: Source,
    },
    /// An object cannot be deleted.
    #[error("cannot delete {object} from the store")]
    Delete {
        /// Its path in the store.
        object: Path,
        /// Why.
        source: Source,
    },
    /// The objects cannot be listed.
    #[error("cannot list the store")]
    List {
        /// Why.
        source: Source,
    },
    /// The list of the objects does not end.
    #[error("the store's list of its objects starts again and again, and never ends")]
    Endless,
    /// The store said that it has an object, and has not.
    #[error("the store reported that it took {object}, and does not have it: {found}")]
    Unconfirmed {
        /// Its path in the store.
        object: Path,
        /// What is there instead.
        found: Mismatch,
    },
    /// The store replaces objects that it was told not to.
    #[error("the store ignores If-None-Match, so that files could be overwritten")]
    Unconditional,
    /// The server cannot put on a condition.
    #[error("the server refuses conditional puts (If-None-Match, If-Match)")]
    NotConditional {
        /// How it refuses.
        source: Source,
    },
    /// A local store does not answer.
    #[error("the disk of the store does not answer within {patience:?}")]
    Hung {
        /// How long it was waited for.
        patience: Duration,
    },
    /// The process that uses a local store cannot be asked.
    #[error("the process that uses the store does not work")]
    Process {
        /// Why.
        source: io::Error,
    },
    /// A change to a local store cannot be made durable.
    #[error("cannot sync {}", path.display())]
    Sync {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a killed put left behind cannot be removed.
    #[error("cannot remove unfinished files under {}", path.display())]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mismatch {
    /// No object.
    #[error("no object has that name")]
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
    #[error("its content differs")]
    Bytes,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. }
            | Self::Gateway { .. }
            | Self::Unconditional
            | Self::NotConditional { .. } => Kind::Setup,
            Self::Put { source, .. } => match kind_of(&**source) {
                Kind::Missing if source.is::<io::Error>() => Kind::Away,
                // Only a bucket can be missing where something is put.
                Kind::Missing => Kind::NoBucket,
                kind => kind,
            },
            Self::Read { source, .. } | Self::Delete { source, .. } | Self::List { source } => {
                kind_of(&**source)
            }
            Self::Unconfirmed { .. } | Self::Endless => Kind::Unfaithful,
            Self::Locked { .. } => Kind::Locked,
            Self::Hung { .. } | Self::Process { .. } => Kind::Away,
            Self::Directory { source, .. }
            | Self::Sync { source, .. }
            | Self::Sweep { source, .. }
            | Self::Lock { source, .. } => kind_of(source),
        }
    }

    /// Whether it is expected to pass without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.kind().is_passing()
    }

    /// What somebody could do about it. There is always something.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Gateway { .. } => Some("give a name that a folder can have"),
            Self::Unconditional | Self::NotConditional { .. } => Some(
                "use a server that supports conditional puts (If-None-Match and If-Match), so that \
                 no file is overwritten; docs/stores.md names some",
            ),
            Self::Endless => {
                Some("see whether the server, or a proxy before it, lists objects right")
            }
            Self::Process { .. } => Some("see the log, and free memory where there is none"),
            _ if self.is_odd() => {
                Some("move it out of the store, and put a real directory or file in its place")
            }
            _ if self.is_local() => match self.kind() {
                Kind::Denied => Some(
                    "let the user that runs flowlog write to the directory (chown, chmod), and \
                     mount its disk writable",
                ),
                Kind::Setup => Some("correct the path: a directory is expected there"),
                kind => kind.remedy(),
            },
            _ => self.kind().remedy(),
        }
    }

    /// Whether an object that was read in parts was replaced or deleted meanwhile.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        use object_store::Error::Precondition;
        let Self::Read { source, .. } = self else { return false };
        self.kind() == Kind::Missing || matches!(source.downcast_ref(), Some(Precondition { .. }))
    }

    /// Whether something is in the way that is no file of a store: a link, a FIFO.
    #[must_use]
    pub fn is_odd(&self) -> bool {
        causes_of(self).any(<dyn StdError>::is::<Odd>)
    }

    /// Whether the kernel says it of a local file.
    fn is_local(&self) -> bool {
        match self {
            Self::Put { source, .. }
            | Self::Read { source, .. }
            | Self::Delete { source, .. }
            | Self::List { source }
            | Self::Url { source, .. } => source.is::<io::Error>(),
            Self::Directory { .. } | Self::Sync { .. } | Self::Sweep { .. } | Self::Lock { .. } => {
                true
            }
            _ => false,
        }
    }
}

fn causes_of(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    causes(error)
        .flat_map(|cause| {
            // What an `io::Error` was made of is not among its causes.
            let within = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            [Some(cause), within.map(|within| -> &(dyn StdError + 'static) { within })]
        })
        .flatten()
}
