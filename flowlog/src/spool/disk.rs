//! The disk, as far as the spool uses it: few operations, so that tests can have a disk of their own.

use std::{
    ffi::OsString,
    fmt,
    fs::File,
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nix::{
    fcntl::OFlag,
    sys::{stat::SFlag, statvfs::fstatvfs},
    unistd::geteuid,
};

use super::{Error, incidents::Incident};
use crate::durable::{self, Opened};

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a pipe, a socket, a device: nothing of ours.
    Other,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: OsString,
    /// What it stands for.
    pub kind: Kind,
    /// Bytes of a file.
    pub bytes: u64,
}

/// What the spool does with a disk. Paths lie in the spool's directory.
pub trait Disk: fmt::Debug + Send + Sync {
    /// What is in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;
    /// Opens a regular file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>>;
    /// Makes a new file, in the place of one that was there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;
    /// Gives something another name, in the place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name that is no directory.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory that only its owner can look into, unless it is there.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that there is room for, as far as the disk tells.
    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file that is read.
pub trait ReadAt: Send + Sync {
    /// How many bytes it has.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads from an offset; fewer bytes than asked for at the end only.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A file that is written.
pub trait Output: Send {
    /// Writes all of these bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes durable what was written.
    fn sync(&mut self) -> io::Result<()>;
}

/// A disk that is shared; all are taken for equal, so that what is on them can be compared.
#[derive(Clone, Debug)]
pub struct SharedDisk(pub(crate) Arc<dyn Disk>);

impl PartialEq for SharedDisk {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SharedDisk {}

impl std::ops::Deref for SharedDisk {
    type Target = dyn Disk;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// A directory of a real file system. No link within it is followed, and none of its directories may
/// belong to somebody else or be open to others.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    directory: OwnedFd,
}

impl RealDisk {
    /// Opens a directory that is there. It may be reached by a link of ours, or of root.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let link = std::fs::symlink_metadata(root).map_err(Error::io("look at", root))?;
        if link.is_symlink() && ![0, geteuid().as_raw()].contains(&link.uid()) {
            let reason = format!("it is a link of another user ({})", link.uid());
            return Err(Error::Foreign { path: root.to_owned(), reason });
        }
        let directory = std::fs::canonicalize(root)
            .and_then(|path| durable::open_directory(&path))
            .map_err(Error::io("open", root))?;
        let reason = durable::foreign(&directory).map_err(Error::io("look at", root))?;
        match reason {
            Some(reason) => Err(Error::Foreign { path: root.to_owned(), reason }),
            None => Ok(Self { root: root.to_owned(), directory }),
        }
    }

    /// Why a directory within it is not one that only we can write to.
    pub(super) fn foreign(&self, name: &str) -> io::Result<Option<String>> {
        match durable::enter(&self.directory, name) {
            Ok(directory) => durable::foreign(&directory),
            // What is none is none of others either.
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// A copy of the directory's descriptor, for a lock.
    pub(super) fn descriptor(&self) -> io::Result<File> {
        Ok(File::from(self.directory.try_clone()?))
    }

    fn relative<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        path.strip_prefix(&self.root).map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        // Step by step, so that no link is followed wherever it is. openat2 would do it at once, but a service
        // with RestrictSUIDSGID= must not call it.
        let mut directory = self.directory.try_clone()?;
        for component in self.relative(path)?.components() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            directory = durable::enter(&directory, name)?;
        }
        match durable::foreign(&directory)? {
            Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
            None => Ok(directory),
        }
    }

    /// The directory of a path, and its name there.
    fn place<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a Path)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.directory(path.parent().unwrap_or(&self.root))?, Path::new(name)))
    }
}

impl Disk for RealDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let directory = self.directory(directory)?;
        let mut listed = vec![];
        for name in durable::names(&directory)? {
            // Files come and go.
            let Some(found) = durable::look(&directory, name.as_c_str())? else { continue };
            let kind = match durable::kind(&found) {
                SFlag::S_IFREG => Kind::File,
                SFlag::S_IFDIR => Kind::Directory,
                _ => Kind::Other,
            };
            let name = OsString::from_vec(name.into_bytes());
            listed.push(Listed { name, kind, bytes: u64::try_from(found.st_size).unwrap_or(0) });
        }
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let (directory, name) = self.place(path)?;
        match durable::open_file(directory, name, OFlag::O_RDONLY)? {
            Opened::File(file, _) => Ok(Arc::new(file)),
            Opened::Other(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
            }
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let (directory, name) = self.place(path)?;
        durable::remove_file(&directory, name)?;
        Ok(Box::new(durable::create_file(directory, name)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, name) = self.place(from)?;
        let (to, new_name) = self.place(to)?;
        durable::rename(from, name, to, new_name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        if_there(durable::remove_file(directory, name)?)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        if_there(durable::remove_directory(directory, name)?)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        durable::make_directory(directory, name)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        durable::sync_directory(self.directory(path)?)
    }

    fn free(&self) -> io::Result<u64> {
        let disk = fstatvfs(&self.directory)?;
        // Some do not know their size. What is kept for root counts too, as this may be root.
        let is_known = disk.blocks() > 0;
        let free = disk.blocks_free().saturating_mul(disk.fragment_size());
        Ok(if is_known { free } else { u64::MAX })
    }
}

fn if_there(was_there: bool) -> io::Result<()> {
    if was_there { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
}

impl ReadAt for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match std::os::unix::fs::FileExt::read_at(
                self,
                &mut buffer[read..],
                offset + read as u64,
            ) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

impl Output for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// All bytes of a file that should have few.
pub(super) fn read_small(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    const MOST: u64 = 16 << 20;
    let file = disk.open(path)?;
    let length = file.bytes()?;
    if length > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What is in a directory: nothing, where there is none.
pub(super) fn list_any(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<Listed>> {
    match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        entries => entries,
    }
}

/// Removes a directory and all that is in it.
pub(super) fn remove_all(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    for entry in disk.list(directory)? {
        let path = directory.join(&entry.name);
        match entry.kind {
            Kind::Directory => remove_all(disk, &path)?,
            _ => disk.remove(&path)?,
        }
    }
    disk.remove_directory(directory)
}

/// How deep anything of flowlog lies below a directory of the spool.
const MOST_DEPTH: usize = 6;

/// Bytes of all files in a directory and in those within it. Files come and go while they are measured. A tree that
/// is deeper than flowlog's own is somebody else's: how long it takes to measure is not to be up to them.
pub(super) fn bytes_under(disk: &dyn Disk, directory: &Path) -> io::Result<u64> {
    bytes_within(disk, directory, MOST_DEPTH)
}

fn bytes_within(disk: &dyn Disk, directory: &Path, depth: usize) -> io::Result<u64> {
    if depth == 0 {
        Incident::Deep { path: directory }.emit();
        return Ok(0);
    }
    let mut bytes = 0;
    for entry in list_any(disk, directory)? {
        bytes += match entry.kind {
            Kind::Directory => bytes_within(disk, &directory.join(&entry.name), depth - 1)?,
            _ => entry.bytes,
        };
    }
    Ok(bytes)
}
