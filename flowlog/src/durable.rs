//! Locks, private directories and files that are whole or not there, on a local file system.
//!
//! The spool, a store in a directory and the pins do with a disk what is here, and nothing of it in another
//! way. Directories are open, and a name is looked for in one of them: no link is followed, and a path that
//! leads elsewhere meanwhile changes nothing.

mod lock;

use std::{
    ffi::CString,
    fs::{DirBuilder, File},
    io::{self, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::Path,
};

use nix::{
    NixPath,
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, fsync, geteuid, unlinkat},
};

pub(crate) use lock::{Lock, Refusal};

/// How a directory is opened: the last part of its path may be no link.
const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Makes a directory that only its owner can look into, and its parents.
pub(crate) fn make_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a directory in another one, unless it is there.
pub(crate) fn make_directory(above: impl AsFd, name: &(impl NixPath + ?Sized)) -> io::Result<()> {
    match mkdirat(above, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory; the last part of its path may be no link.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, DIRECTORY, Mode::empty())?)
}

/// Opens a directory that may be reached by a link, for whoever names it means where the link leads.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, DIRECTORY.difference(OFlag::O_NOFOLLOW), Mode::empty())?)
}

/// Opens a directory to make files in it, which needs no right to list it.
#[cfg(feature = "capture")]
pub(crate) fn open_to_write(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

/// Opens a directory of another one.
pub(crate) fn enter(above: impl AsFd, name: &(impl NixPath + ?Sized)) -> io::Result<OwnedFd> {
    Ok(openat(above, name, DIRECTORY, Mode::empty())?)
}

/// Why a directory is not one that only we can write to.
pub(crate) fn foreign(directory: impl AsFd) -> io::Result<Option<String>> {
    let status = fstat(directory)?;
    let others = status.st_mode & 0o022;
    Ok(if status.st_uid != geteuid().as_raw() {
        Some(format!("it belongs to another user ({})", status.st_uid))
    } else if others != 0 {
        Some(format!("others may write to it (mode {:o})", status.st_mode & 0o7777))
    } else {
        None
    })
}

/// The names in an open directory, without itself and the one above.
pub(crate) fn names(directory: impl AsFd) -> io::Result<Vec<CString>> {
    // An open directory of its own: reading moves on in it.
    let mut directory = Dir::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let mut names = vec![];
    for entry in directory.iter() {
        let entry = match entry {
            Ok(entry) => entry,
            // The directory went meanwhile.
            Err(Errno::ENOENT) => break,
            Err(error) => return Err(error.into()),
        };
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Makes durable which names a directory has.
pub(crate) fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    loop {
        match fsync(&directory) {
            Err(Errno::EINTR) => {}
            synced => return Ok(synced?),
        }
    }
}

/// What is there by a name; a link is looked at itself.
pub(crate) fn look(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
) -> io::Result<Option<FileStat>> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What kind of thing was found.
pub(crate) const fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode).intersection(SFlag::S_IFMT)
}

/// Whether two looks are at one file or directory.
pub(crate) const fn is_same(one: &FileStat, other: &FileStat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino
}

/// What was found where a file was to be opened.
pub(crate) enum Opened {
    /// A file, open.
    File(File, FileStat),
    /// Something else, which was left alone.
    Other(FileStat),
}

/// Opens a file, and nothing else than a file.
pub(crate) fn open_file(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
    flags: OFlag,
) -> io::Result<Opened> {
    let is_file = |found: &FileStat| kind(found) == SFlag::S_IFREG;
    // Not even opened: a device may do something then.
    let other = || look(&directory, name).map(|found| found.filter(|found| !is_file(found)));
    if let Some(found) = other()? {
        return Ok(Opened::Other(found));
    }
    // Somebody may put something else in its place: without O_NONBLOCK, opening a FIFO waits for another end.
    let safe = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match openat(&directory, name, flags | safe, FOR_OWNER) {
        Ok(file) => File::from(file),
        Err(error) => return other()?.map(Opened::Other).ok_or_else(|| error.into()),
    };
    let found = fstat(&file)?;
    Ok(if is_file(&found) { Opened::File(file, found) } else { Opened::Other(found) })
}

/// What a file is made with.
const FOR_OWNER: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Makes a file that is not there, for its owner alone.
pub(crate) fn create_file(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
) -> io::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    Ok(File::from(openat(directory, name, flags, FOR_OWNER)?))
}

/// Makes a file that is not there, and its contents durable; its name is not durable yet. Where that fails
/// there is none.
pub(crate) fn write_file(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
    contents: &[u8],
) -> io::Result<()> {
    let mut file = create_file(&directory, name)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        // The failure that counts is the one before; what stays is found by its name.
        remove_file(directory, name).unwrap_or_default();
    }
    written
}

/// Gives something another name, in the place of a file that has it.
pub(crate) fn rename(
    from: impl AsFd,
    name: &(impl NixPath + ?Sized),
    to: impl AsFd,
    new_name: &(impl NixPath + ?Sized),
) -> io::Result<()> {
    Ok(renameat(from, name, to, new_name)?)
}

/// Removes a name that is no directory; reports whether it was there.
pub(crate) fn remove_file(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
) -> io::Result<bool> {
    remove(directory, name, UnlinkatFlags::NoRemoveDir)
}

/// Removes an empty directory; reports whether it was there.
pub(crate) fn remove_directory(
    above: impl AsFd,
    name: &(impl NixPath + ?Sized),
) -> io::Result<bool> {
    remove(above, name, UnlinkatFlags::RemoveDir)
}

fn remove(
    directory: impl AsFd,
    name: &(impl NixPath + ?Sized),
    flags: UnlinkatFlags,
) -> io::Result<bool> {
    match unlinkat(directory, name, flags) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("above/below");
        make_directories(&path).unwrap();
        let root = open_directory(&path).unwrap();
        make_directory(&root, "folder").unwrap();
        make_directory(&root, "folder").unwrap();
        write_file(&root, "file", b"flows").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for (made, expected) in [("..", 0o700), (".", 0o700), ("folder", 0o700), ("file", 0o600)] {
            assert_eq!(mode(&path.join(made)), expected, "{made}");
        }
        assert_eq!(foreign(&root).unwrap(), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(foreign(&root).unwrap().is_some_and(|reason| reason.contains("770")));
    }

    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), directory.path().join("link")).unwrap();
        let root = open_directory(directory.path()).unwrap();
        assert!(open_directory(&directory.path().join("link")).is_err());
        assert!(enter(&root, "link").is_err());
        assert!(write_file(&root, "link", b"flows").is_err());
        assert!(matches!(open_file(&root, "link", OFlag::O_RDONLY), Ok(Opened::Other(_))));
        assert_eq!(kind(&look(&root, "link").unwrap().unwrap()), SFlag::S_IFLNK);
        assert!(open_root(&directory.path().join("link")).is_ok());
        assert!(remove_file(&root, "link").unwrap() && !remove_file(&root, "link").unwrap());
        assert!(elsewhere.path().exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_whole_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let root = open_directory(directory.path()).unwrap();
        write_file(&root, "file", b"flows").unwrap();
        let refused = write_file(&root, "file", b"others").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        rename(&root, "file", &root, "renamed").unwrap();
        assert_eq!(names(&root).unwrap(), [c"renamed".to_owned()]);
        assert_eq!(std::fs::read(directory.path().join("renamed")).unwrap(), b"flows");
    }
}
