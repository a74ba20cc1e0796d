//! What a local store can be asked, and what it answers: plain values, so that another process can
//! do it.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use nix::{errno::Errno, sys::stat::FileStat};
use object_store::{ObjectMeta, path::Path};
use serde::{Deserialize, Serialize};

use super::{Created, Error, Listing, Mismatch, Oddity, Staged, own};
use crate::record::{clock::Utc, gateway::GatewayName};

/// A question. What is to be written goes beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Put a new object, and never replace one.
    Create { object: String },
    /// Put an object in the place of the one that was there, if one was.
    Replace { object: String },
    /// Look at an object.
    Head { object: String },
    /// Read an object whole.
    Read { object: String },
    /// Find out what differs from a file of this size, and with this digest.
    Compare { object: String, size: u64, sha256: Option<[u8; 32]> },
    /// Delete an object.
    Delete { object: String },
    /// List what is below a folder, or everything.
    List { under: Option<String> },
    /// List the gateways that have folders in these.
    Gateways { folders: Vec<String> },
    /// List files that were being written.
    Staged,
    /// Remove one of these.
    RemoveStaged { path: String },
    /// Remove all of these that a gateway has.
    Sweep { gateway: GatewayName },
    /// Look at the directory as a whole.
    Inspect,
    /// Tell the directory from every other one.
    Identify,
    /// Take the lock of a gateway, and keep it.
    Lock { gateway: GatewayName },
    /// Give it back.
    Unlock { gateway: GatewayName },
}

/// An answer. What was read goes beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Response {
    Done,
    Created(Created),
    Head(Option<Entry>),
    Compared(Option<Mismatch>),
    Listed(List),
    Gateways(Vec<GatewayName>),
    Staged(Vec<Entry>),
    Removed(bool),
    Swept(usize),
    Inspected(Vec<Oddity>),
    /// Its device and its number there.
    Identified(u64, u64),
}

/// An answer, and what was read.
pub(super) type Answer = (Response, Bytes);

/// What is in a directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) objects: Vec<Entry>,
    pub(super) oddities: Vec<Oddity>,
}

/// A file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size: u64,
    /// When it was last written to, since 1970.
    modified_ns: i64,
    inode: u64,
}

impl Entry {
    pub(super) fn new(path: String, found: &FileStat) -> Self {
        let seconds = found.st_mtime.saturating_mul(1_000_000_000);
        Self {
            path,
            size: u64::try_from(found.st_size).unwrap_or(0),
            modified_ns: seconds.saturating_add(found.st_mtime_nsec),
            inode: found.st_ino,
        }
    }

    fn modified(&self) -> std::time::SystemTime {
        let since = Duration::from_nanos(self.modified_ns.unsigned_abs());
        let epoch = std::time::UNIX_EPOCH;
        let at =
            if self.modified_ns < 0 { epoch.checked_sub(since) } else { epoch.checked_add(since) };
        at.unwrap_or(epoch)
    }

    pub(super) fn meta(&self) -> Option<ObjectMeta> {
        let Self { path, size, modified_ns, inode } = self;
        Some(ObjectMeta {
            location: Path::parse(path).ok()?,
            last_modified: self.modified().into(),
            size: *size,
            e_tag: Some(format!("{inode:x}-{modified_ns:x}-{size:x}")),
            version: None,
        })
    }

    fn staged(self) -> Staged {
        Staged {
            modified: Utc::from_ms(self.modified_ns.div_euclid(1_000_000)),
            bytes: self.size,
            gateway: own::owner(&self.path),
            path: self.path,
        }
    }
}

impl From<List> for Listing {
    fn from(list: List) -> Self {
        let List { objects, oddities } = list;
        Self { objects: objects.iter().filter_map(Entry::meta).collect(), oddities }
    }
}

pub(super) fn staged(entries: Vec<Entry>) -> Vec<Staged> {
    entries.into_iter().map(Entry::staged).collect()
}

/// What was being done when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Action {
    Open,
    Write,
    Read,
    Delete,
    List,
    Sync,
    Sweep,
    Lock,
}

/// Why something was not done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    /// Something failed.
    Failed { action: Action, path: String, cause: Cause },
    /// Another process has the lock of a gateway.
    Locked { gateway: GatewayName },
}

/// Why something failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Cause {
    /// The kernel's answer.
    Os(i32),
    /// Something is in the way that is no file of a store.
    Odd(String),
    /// Anything else.
    Other(String),
}

/// Something is in the way that is no file of a store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it is {0}")]
pub(super) struct Odd(pub(super) String);

impl Failure {
    /// Makes failures of one action on one path.
    pub(super) fn of(action: Action, path: impl fmt::Display) -> impl Fn(io::Error) -> Self {
        move |error| Self::Failed { action, path: path.to_string(), cause: error.into() }
    }

    pub(super) fn is(&self, errno: Errno) -> bool {
        matches!(self, Self::Failed { cause: Cause::Os(number), .. } if *number == errno as i32)
    }

    /// What is odd, where that is the reason.
    pub(super) fn oddity(&self) -> Option<String> {
        match self {
            Self::Failed { cause: Cause::Odd(reason), .. } => Some(reason.clone()),
            _ => None,
        }
    }

    /// The error for whoever asked about an object.
    pub(super) fn into_error(self) -> Error {
        let (action, path, cause) = match self {
            Self::Failed { action, path, cause } => (action, path, cause),
            Self::Locked { gateway } => return Error::Locked { gateway: gateway.into() },
        };
        let object = || Path::parse(&path).unwrap_or_default();
        match action {
            Action::Open => Error::Directory { path: path.into(), source: cause.into() },
            Action::Sync => Error::Sync { path: path.into(), source: cause.into() },
            Action::Sweep => Error::Sweep { path: path.into(), source: cause.into() },
            Action::Lock => Error::Lock { path: path.into(), source: cause.into() },
            Action::List => Error::List { source: io::Error::from(cause).into() },
            Action::Write => Error::Put { object: object(), source: io::Error::from(cause).into() },
            Action::Read => Error::Read { object: object(), source: io::Error::from(cause).into() },
            Action::Delete => {
                Error::Delete { object: object(), source: io::Error::from(cause).into() }
            }
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        let odd = error.get_ref().and_then(|error| error.downcast_ref::<Odd>());
        match (error.raw_os_error(), odd) {
            (_, Some(Odd(reason))) => Self::Odd(reason.clone()),
            (Some(number), None) => Self::Os(number),
            // What the standard library says without the kernel: its kind decides what follows.
            (None, None) => match error.kind() {
                io::ErrorKind::AlreadyExists => Self::Os(libc::EEXIST),
                io::ErrorKind::NotFound => Self::Os(libc::ENOENT),
                io::ErrorKind::WriteZero => Self::Os(libc::ENOSPC),
                _ => Self::Other(error.to_string()),
            },
        }
    }
}

impl From<Cause> for io::Error {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Os(number) => Self::from_raw_os_error(number),
            Cause::Odd(reason) => Self::new(io::ErrorKind::InvalidInput, Odd(reason)),
            Cause::Other(text) => Self::other(text),
        }
    }
}
