//! What a local directory needs beside `LocalFileSystem`: syncs that it leaves out, leftovers of a
//! killed put, and a lock.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::Error;

/// Names beginning so are flowlog's own and no data: they are never listed.
pub(super) const OWN_PREFIX: &str = ".flowlog-";

/// Makes an object that was put durable, with every directory above it up to the store's own.
///
/// `LocalFileSystem` syncs the directories that one put makes. A process that is killed between making
/// a directory and syncing it leaves that to the next one, which finds the directory there.
pub(super) fn sync_above(root: &Path, object: &Path) -> Result<(), Error> {
    for directory in directories_above(root, object) {
        sync_directory(directory)?;
    }
    Ok(())
}

/// Makes a deletion durable, which `LocalFileSystem` does not. Deleting takes empty directories along,
/// so that the first one that is left is the one with an entry less.
pub(super) fn sync_nearest(root: &Path, object: &Path) -> Result<(), Error> {
    for directory in directories_above(root, object) {
        if sync_directory(directory)? {
            break;
        }
    }
    Ok(())
}

fn directories_above<'a>(root: &'a Path, object: &'a Path) -> impl Iterator<Item = &'a Path> {
    object.ancestors().skip(1).take_while(move |path| path.starts_with(root))
}

/// Whether there is such a directory.
fn sync_directory(directory: &Path) -> Result<bool, Error> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Sync { path: directory.to_owned(), source }),
    }
}

/// Removes what puts of a gateway left behind when they were killed, and says how many files that
/// were. `LocalFileSystem` writes to `NAME#NUMBER` before it renames.
pub(super) fn sweep(root: &Path, gateway: &str) -> Result<usize, Error> {
    let own = format!("{OWN_PREFIX}probe-{gateway}");
    let mut removed = remove_staged(root, &|name| name.starts_with(&own))?;
    for dataset in entries(root)?.into_iter().filter(|path| is_directory(path)) {
        removed += sweep_below(&dataset.join(format!("gateway={gateway}")))?;
    }
    Ok(removed)
}

fn sweep_below(directory: &Path) -> Result<usize, Error> {
    let mut removed = remove_staged(directory, &|_| true)?;
    for below in entries(directory)?.into_iter().filter(|path| is_directory(path)) {
        removed += sweep_below(&below)?;
    }
    Ok(removed)
}

fn remove_staged(directory: &Path, is_ours: &dyn Fn(&str) -> bool) -> Result<usize, Error> {
    let is_staged = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            let number = name.rsplit_once('#').map_or("", |(_, number)| number);
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && is_ours(name)
        }) && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
    };
    let staged: Vec<_> = entries(directory)?.into_iter().filter(is_staged).collect();
    for path in &staged {
        fs::remove_file(path).map_err(|source| Error::Sweep { path: path.clone(), source })?;
    }
    if !staged.is_empty() {
        sync_directory(directory)?;
    }
    Ok(staged.len())
}

/// What is in a directory; nothing where there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        listed => listed.map_err(|source| Error::Sweep { path: directory.to_owned(), source }),
    }
}

/// Links are not followed: they may lead out of the store.
fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// The right to write for a gateway, for as long as it is kept. The kernel gives it back when a
/// process ends, however it does.
#[derive(Debug)]
pub struct Lock {
    /// Kept open: the lock goes with it.
    file: Option<(PathBuf, File)>,
}

impl Lock {
    /// Where nothing can be locked: in a cloud.
    pub(super) const fn none() -> Self {
        Self { file: None }
    }

    pub(super) fn take(root: &Path, gateway: &str) -> Result<Self, Error> {
        let path = root.join(format!("{OWN_PREFIX}{gateway}.lock"));
        loop {
            let opened = File::options().create(true).truncate(false).write(true).open(&path);
            let file = match opened {
                Ok(file) => file,
                Err(source) => return Err(Error::Lock { path, source }),
            };
            match file.try_lock() {
                // Whoever had it may have deleted it meanwhile, and somebody else have made another.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Self { file: Some((path, file)) }),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked { gateway: gateway.to_owned() });
                }
                Err(TryLockError::Error(source)) => return Err(Error::Lock { path, source }),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.file {
            // What stays is found unlocked.
            fs::remove_file(path).unwrap_or_default();
        }
    }
}

/// Whether a file is still what its name stands for.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let there = path.metadata().map(place);
    file.metadata().map(place).is_ok_and(|open| there.is_ok_and(|there| open == there))
}
