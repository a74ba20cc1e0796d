//! Disks that fill up, and what is on them.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory that is soon full.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one with these options of tmpfs.
    pub fn new(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(status.success(), "cannot mount; these tests need root");
        Self(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        let full = loop {
            if let Err(error) = ballast.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    }

    /// Gives it back.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(status.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}

/// A disk that can hang, as one does whose cable was pulled: whoever writes to it waits, and cannot be
/// ended.
pub struct HangingDisk {
    mounted: tempfile::TempDir,
    _image: tempfile::NamedTempFile,
}

impl HangingDisk {
    /// Makes a file system in a file, and mounts it.
    pub fn new() -> Self {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(32 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(image.path()));
        let mounted = tempfile::tempdir().unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(image.path()).arg(mounted.path()));
        Self { mounted, _image: image }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// Lets whoever writes to it wait.
    pub fn hang(&self) {
        run(Command::new("fsfreeze").arg("-f").arg(self.path()));
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        run(Command::new("fsfreeze").arg("-u").arg(self.path()));
    }
}

impl Default for HangingDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        // After a failed assertion it may still hang, and what waits for it with it.
        let thaw = Command::new("fsfreeze").arg("-u").arg(self.path()).output();
        assert!(thaw.is_ok() || std::thread::panicking());
        let status = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(status.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}

fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}; these tests need root: {ended:?}");
}

/// All files below a directory, in the order of their paths; none where there is no directory.
/// Files may come and go meanwhile.
pub fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
