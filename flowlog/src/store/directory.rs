//! A local directory as a store.
//!
//! The directory is opened once; whatever is in it is reached from there, folder by folder, and
//! no link is followed. A file is written beside its name, synced, and given its name; then every
//! folder above it is synced. What is asked and answered are plain [values](super::request), so that
//! another process can do it: see [`Line`](super::line::Line).

mod folders;
mod list;
mod lock;
mod read;
mod staged;
mod write;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path as FilePath, PathBuf},
};

use bytes::Bytes;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::stat::{FileStat, Mode, SFlag, fstat, stat},
};
use object_store::path::Path;

use super::{
    Oddity,
    request::{Action, Answer, Failure, Request, Response},
};
use crate::{
    durable::{self, Opened},
    record::gateway::GatewayName,
};
use lock::LockFile;

/// A local directory that is a store.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it is, for whoever mounts another disk there.
    path: PathBuf,
    /// Whether it is made where it is missing.
    is_made: bool,
    root: OwnedFd,
    locks: BTreeMap<GatewayName, LockFile>,
}

impl Directory {
    /// Opens a directory that is there.
    pub(super) fn open(path: &FilePath) -> io::Result<Self> {
        let root = durable::open_root(path)?;
        Ok(Self { path: path.to_owned(), is_made: false, root, locks: BTreeMap::new() })
    }

    /// Opens a directory, and makes it where there is none: for its owner only.
    pub(super) fn create(path: &FilePath) -> io::Result<Self> {
        durable::make_directories(path)?;
        Ok(Self { is_made: true, ..Self::open(path)? })
    }

    /// Does what is asked. `file` is what is to be written.
    pub(super) fn answer(&mut self, request: Request, file: &[u8]) -> Result<Answer, Failure> {
        self.follow_mounts()?;
        let response = match request {
            Request::Create { object } => Response::Created(self.put_new(&parse(&object)?, file)?),
            Request::Replace { object } => {
                self.replace(&parse(&object)?, file)?;
                Response::Done
            }
            Request::Head { object } => Response::Head(self.head(&parse(&object)?)?),
            Request::Read { object } => {
                let file = self.read(&parse(&object)?)?;
                return Ok((Response::Done, Bytes::from(file)));
            }
            Request::Compare { object, size, sha256 } => {
                Response::Compared(self.compare(&parse(&object)?, size, sha256)?)
            }
            Request::Delete { object } => {
                self.delete(&parse(&object)?)?;
                Response::Done
            }
            Request::List { under } => Response::Listed(self.list(under.as_deref())?),
            Request::Gateways { folders } => Response::Gateways(self.gateways(&folders)?),
            Request::Staged => Response::Staged(self.staged()?),
            Request::RemoveStaged { path } => Response::Removed(self.remove_staged(&path)?),
            Request::Sweep { gateway } => Response::Swept(self.sweep(&gateway)?),
            Request::Inspect => Response::Inspected(self.inspect()?),
            Request::Identify => {
                let failed = Failure::of(Action::Open, self.path.display());
                let found = fstat(&self.root).map_err(|error| failed(error.into()))?;
                Response::Identified(found.st_dev, found.st_ino)
            }
            Request::Lock { gateway } => {
                self.lock(gateway)?;
                Response::Done
            }
            Request::Unlock { gateway } => {
                self.unlock(&gateway);
                Response::Done
            }
        };
        Ok((response, Bytes::new()))
    }

    /// Gives every lock back.
    pub(super) fn unlock_all(&mut self) {
        for (gateway, lock) in std::mem::take(&mut self.locks) {
            lock.release(self.root.as_fd(), &gateway);
        }
    }

    /// Opens the directory anew where its path leads to another one by now: the disk was mounted
    /// again, or somebody moved the old one away.
    fn follow_mounts(&mut self) -> Result<(), Failure> {
        let path = self.path.display().to_string();
        let failed = Failure::of(Action::Open, path);
        let old = fstat(&self.root).map_err(|error| failed(error.into()))?;
        match stat(&self.path) {
            Ok(now) if durable::is_same(&now, &old) => return Ok(()),
            Err(Errno::ENOENT) if self.is_made => {
                durable::make_directories(&self.path).map_err(&failed)?;
            }
            Ok(_) => {}
            Err(error) => return Err(failed(error.into())),
        }
        self.root = durable::open_root(&self.path).map_err(&failed)?;
        for gateway in std::mem::take(&mut self.locks).into_keys() {
            self.lock(gateway)?;
        }
        Ok(())
    }

    /// What is odd about the directory as a whole.
    fn inspect(&self) -> Result<Vec<Oddity>, Failure> {
        let failed = Failure::of(Action::Open, self.path.display());
        let found = fstat(&self.root).map_err(|error| failed(error.into()))?;
        let mode = Mode::from_bits_truncate(found.st_mode);
        let ours = nix::unistd::geteuid().as_raw();
        let mut oddities = vec![];
        let path = self.path.display();
        let mut odd = |reason| oddities.push(Oddity { path: path.to_string(), reason });
        if found.st_uid != ours && found.st_uid != 0 {
            odd(format!(
                "belongs to user {}, who can change and delete the stored files; give it to the user \
                 that runs flowlog: chown {ours} {path}",
                found.st_uid
            ));
        }
        if mode.contains(Mode::S_IWOTH) && !mode.contains(Mode::S_ISVTX) {
            odd(format!(
                "every user of this machine can change and delete the stored files: chmod o-w {path}"
            ));
        }
        Ok(oddities)
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// An object's path, of which no part leads anywhere else.
fn parse(object: &str) -> Result<Path, Failure> {
    let wrong = |error: object_store::path::Error| {
        Failure::of(Action::Read, object)(io::Error::other(error.to_string()))
    };
    Path::parse(object).map_err(wrong)
}

fn is_file(found: &FileStat) -> bool {
    durable::kind(found) == SFlag::S_IFREG
}

/// What somebody calls a thing that is not a file.
fn kind_of(found: &FileStat) -> &'static str {
    match durable::kind(found) {
        SFlag::S_IFLNK => "a symbolic link, which is not followed",
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFBLK | SFlag::S_IFCHR => "a device",
        _ => "not a file",
    }
}

/// Opens a file of a folder, and nothing else than a file.
fn open_file(folder: BorrowedFd<'_>, name: &str, flags: OFlag) -> io::Result<(File, FileStat)> {
    match durable::open_file(folder, name, flags)? {
        Opened::File(file, found) => Ok((file, found)),
        Opened::Other(found) => Err(odd(kind_of(&found))),
    }
}

/// Something is in the way that is no file of a store.
fn odd(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, super::request::Odd(reason.to_owned()))
}
