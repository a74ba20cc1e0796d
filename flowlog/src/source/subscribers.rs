//! The key of the pseudonyms, and the subscribers of peers: two files, which are read again when they change.

mod events;

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

pub use events::COUNTERS;
use events::Event;

use super::whole::{self, Identity};
use crate::{
    config::SubscriberSettings,
    record::{
        session::{BadKey, PeerKey},
        subscriber::{BadLine, Subscribers},
    },
};

/// Why the key or the subscribers are not known. No name is repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file of the key has no key.
    #[error("{} has no key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: BadKey,
    },
    /// The file of subscribers has a line that cannot be used.
    #[error("cannot use {}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        source: BadLine,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                let path = path.display();
                format!(
                    "copy it from another gateway of the store, or make a key for the first one with `head -c 32 /dev/urandom > {path} && chmod 600 {path}`; a file of subscribers is yours to write"
                )
            }
            Self::Read { path, .. } => format!("let flowlog's user read {}", path.display()),
            Self::Key { path, .. } => {
                format!("make a key with `head -c 32 /dev/urandom > {}`", path.display())
            }
            Self::Line { .. } => "correct the line".to_owned(),
        }
    }
}

/// Reads the key and the subscribers.
pub fn read(settings: &SubscriberSettings) -> Result<(PeerKey, Subscribers), Error> {
    let SubscriberSettings { peer_key_file, file } = settings;
    let key = read_key(peer_key_file)?;
    let subscribers = match file {
        Some(file) => read_subscribers(file, Some(&key))?,
        None => Subscribers::default(),
    };
    Ok((key, subscribers))
}

/// Reads the key of the pseudonyms.
pub fn read_key(path: &Path) -> Result<PeerKey, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    // One byte more than a key has, with room for it: what grows leaves a copy behind.
    let mut bytes = Vec::with_capacity(8 << 10);
    let (file, metadata) = whole::open(path).map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        Event::KeyExposed { path }.emit();
    }
    file.take(4 << 10 | 1).read_to_end(&mut bytes).map_err(failed)?;
    PeerKey::new(bytes).map_err(|source| Error::Key { path: path.to_owned(), source })
}

/// Reads a file of subscribers.
pub fn read_subscribers(path: &Path, key: Option<&PeerKey>) -> Result<Subscribers, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let (file, _) = whole::open(path).map_err(failed)?;
    let text = String::from_utf8(whole::read(&file).map_err(failed)?);
    let text =
        text.map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")))?;
    Subscribers::parse(&text, key).map_err(|source| Error::Line { path: path.to_owned(), source })
}

/// Both files, which are looked at again and again. Looking may wait for a disk.
#[derive(Debug)]
pub struct Files {
    settings: SubscriberSettings,
    last: Option<[Option<Identity>; 2]>,
}

impl Files {
    /// They are read at the first look.
    #[must_use]
    pub const fn new(settings: SubscriberSettings) -> Self {
        Self { settings, last: None }
    }

    /// The file of the key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.settings.peer_key_file
    }

    /// The key and the subscribers, where a file changed since the last look. An error is reported once; what was read
    /// before it stays in force.
    pub fn changed(&mut self) -> Option<Result<(PeerKey, Subscribers), Error>> {
        let now = self.identities();
        if self.last == Some(now) {
            return None;
        }
        let read = read(&self.settings);
        // A file that is being written is read again.
        self.last = (self.identities() == now).then_some(now);
        if let Err(error) = &read {
            Event::Failed { error }.emit();
        }
        Some(read)
    }

    fn identities(&self) -> [Option<Identity>; 2] {
        let SubscriberSettings { peer_key_file, file } = &self.settings;
        [Some(peer_key_file), file.as_ref()]
            .map(|path| fs::metadata(path?).ok().map(|metadata| Identity::of(&metadata)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::{clock::Utc, session::Source},
        telemetry::with_causes,
    };

    #[test]
    fn both_files_are_read_again_when_one_changes_and_a_bad_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (key, file) = (directory.path().join("peer.key"), directory.path().join("s.csv"));
        let settings = SubscriberSettings { peer_key_file: key.clone(), file: Some(file.clone()) };
        let mut files = Files::new(settings);
        let missing = files.changed().unwrap().unwrap_err();
        assert!(missing.remedy().contains("head -c 32 /dev/urandom"), "{missing}");
        assert!(files.changed().is_none(), "reported once");

        fs::write(&key, [7; 32]).unwrap();
        fs::write(&file, "peer,subscriber,from,to\nopenvpn:ada,m-1,,\n").unwrap();
        let (key, subscribers) = files.changed().unwrap().unwrap();
        let ada = key.peer(Source::Openvpn, "ada");
        assert!(subscribers.at(ada, Utc::from_ms(0)).is_some());
        assert!(files.changed().is_none());

        fs::write(&file, "peer,subscriber,from,to\nopenvpn:ada,m 1,,\n").unwrap();
        let bad = files.changed().unwrap().unwrap_err();
        assert!(with_causes(&bad).contains("line 2"), "{}", with_causes(&bad));
        assert!(!with_causes(&bad).contains("ada"));
        assert!(files.changed().is_none());
    }

    #[test]
    fn a_file_of_subscribers_that_is_too_long_is_refused_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.csv");
        fs::write(&path, "peer,subscriber,from,to\n").unwrap();
        assert!(read_subscribers(&path, None).is_ok());
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(whole::MOST_BYTES + 1).unwrap();
        assert!(matches!(read_subscribers(&path, None), Err(Error::Read { .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peer.key");
        for length in [0, 15, 4_097, 100_000] {
            fs::write(&path, vec![7; length]).unwrap();
            assert!(matches!(read_key(&path), Err(Error::Key { .. })), "{length}");
        }
        assert!(matches!(read_key(directory.path()), Err(Error::Read { .. })));
    }
}
