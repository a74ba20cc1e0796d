//! A file that is read again when it changes.

use std::{fs, io, path::PathBuf, thread, time::Duration};

use super::whole::{self, Identity};
use crate::record::clock::Utc;

/// A file that did not change for so long is whole.
const SETTLED: Duration = Duration::from_millis(50);
/// So often is a file read that changes meanwhile.
const ATTEMPTS: usize = 10;

/// A file that somebody else writes, at best by giving a whole one its name.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    last: Option<Identity>,
}

/// What a look at a file gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is as it was.
    Same,
    /// It is another one than before.
    Changed {
        /// The whole of it.
        content: Vec<u8>,
        /// When it was written.
        modified: Utc,
    },
}

impl File {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, last: None }
    }

    /// Looks at it, and reads it where it changed. After an error it is read again.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        let looked = self.read();
        if looked.is_err() {
            self.last = None;
        }
        looked
    }

    /// The next look reads it again.
    pub(super) const fn forget(&mut self) {
        self.last = None;
    }

    fn read(&mut self) -> io::Result<Look> {
        if self.last == Some(Identity::of(&fs::metadata(&self.path)?)) {
            return Ok(Look::Same);
        }
        for _ in 0..ATTEMPTS {
            let (content, identity) = self.content()?;
            // Whoever writes to the file itself is not half-way then.
            thread::sleep(SETTLED);
            if identity == Identity::of(&fs::metadata(&self.path)?) {
                self.last = Some(identity);
                let (seconds, ns) = identity.modified;
                let ns = seconds.saturating_mul(1_000_000_000).saturating_add(ns);
                return Ok(Look::Changed { content, modified: Utc::from_ns(ns) });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is being written all the time"))
    }

    fn content(&self) -> io::Result<(Vec<u8>, Identity)> {
        let (file, metadata) = whole::open(&self.path)?;
        Ok((whole::read(&file)?, Identity::of(&metadata)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::whole::MOST_BYTES, *};

    fn content(file: &mut File) -> Vec<u8> {
        match file.look().unwrap() {
            Look::Changed { content, .. } => content,
            Look::Same => panic!("it is as it was"),
        }
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, next) = (directory.path().join("file"), directory.path().join("next"));
        let mut file = File::new(path.clone());
        assert_eq!(file.look().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "one").unwrap();
        assert_eq!(content(&mut file), b"one");
        assert_eq!(file.look().unwrap(), Look::Same);
        // Of the same length, in its place.
        fs::write(&next, "two").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(content(&mut file), b"two");
        fs::remove_file(&path).unwrap();
        assert!(file.look().is_err());
        fs::write(&path, "two").unwrap();
        assert_eq!(content(&mut file), b"two");
    }

    #[test]
    fn a_pipe_a_directory_and_a_file_that_is_too_long_are_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(File::new(path).look().is_err());
        assert!(File::new(directory.path().to_owned()).look().is_err());
        let path = directory.path().join("long");
        fs::File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert_eq!(File::new(path).look().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
