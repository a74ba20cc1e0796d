//! A real directory, whose operations fail and end as those of the disk in memory do.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::disk::{Disk as _, Output, ReadAt, RealDisk},
    disk::{ModelDisk, ROOT},
};

pub(crate) struct Real {
    pub(crate) disk: RealDisk,
    directory: tempfile::TempDir,
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory.fmt(f)
    }
}

impl Real {
    /// A directory in the memory of the machine, where there is one.
    pub(crate) fn new() -> Self {
        let parent = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let directory = tempfile::tempdir_in(parent).unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        Self { disk, directory }
    }

    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.directory.path().join(path.strip_prefix(ROOT).unwrap())
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = vec![];
        let mut left = vec![self.directory.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    left.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path();
                    found.push(Path::new(ROOT).join(path.strip_prefix(&self.directory).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(path).unwrap();
        change(&mut bytes);
        fs::write(self.path(path), bytes).unwrap();
    }

    pub(crate) fn delete(&self, path: &Path) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(crate) fn put(&self, path: &Path, bytes: Option<Vec<u8>>) {
        let path = self.path(path);
        if !path.parent().unwrap().is_dir() || path.symlink_metadata().is_ok() {
            return;
        }
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        }
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }

    pub(crate) fn open(&self, model: &ModelDisk, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let file = self.disk.open(&self.path(path))?;
        Ok(Arc::new(Counted { model: model.clone(), file }))
    }

    pub(crate) fn create(&self, model: &ModelDisk, path: &Path) -> io::Result<Box<dyn Output>> {
        let file = self.disk.create(&self.path(path))?;
        Ok(Box::new(Counted { model: model.clone(), file }))
    }
}

struct Counted<F> {
    model: ModelDisk,
    file: F,
}

impl ReadAt for Counted<Arc<dyn ReadAt>> {
    fn bytes(&self) -> io::Result<u64> {
        self.model.may(false)?;
        self.file.bytes()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.model.may(false)?;
        self.file.read_at(buffer, offset)
    }
}

impl Output for Counted<Box<dyn Output>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let outcome = self.model.may(true);
        // What fails in its middle has written a part.
        let written = if outcome.is_ok() { bytes.len() } else { bytes.len() / 2 };
        self.file.write(&bytes[..written])?;
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        self.model.may(true)?;
        self.file.sync()
    }
}
