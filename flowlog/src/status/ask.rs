//! Asking a daemon for its snapshot.

use std::{
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::UnixStream;

use super::{SCHEMA, Snapshot};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no socket.
    #[error("no flowlog answers: there is no socket {}", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// There is a socket, and nobody listens.
    #[error("no flowlog answers: nobody listens at {}, a socket that a killed flowlog left behind", path.display())]
    NobodyListens {
        /// The socket.
        path: PathBuf,
    },
    /// What is there is no socket.
    #[error("no flowlog answers: {} is {kind}, and no socket", path.display())]
    NoSocket {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Somebody listens, and does not answer.
    #[error("no flowlog answers: the process that listens at {} has sent nothing for {timeout:?}", path.display())]
    Hangs {
        /// The socket.
        path: PathBuf,
        /// How long it was waited.
        timeout: Duration,
    },
    /// What answers is no flowlog that this one understands.
    #[error("the answer at {} is not of the schema {SCHEMA}", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
    },
    /// It cannot be asked.
    #[error("cannot ask the daemon at {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Absent { .. } => {
                "start flowlog (`systemctl start flowlog`), or name the socket of the running daemon with --socket or --config"
            }
            Self::NoSocket { .. } => "name the socket of the daemon with --socket or --config",
            Self::NobodyListens { .. } => {
                "start flowlog (`systemctl start flowlog`); `journalctl -u flowlog` shows how it ended"
            }
            Self::Hangs { .. } => {
                "see `journalctl -u flowlog`; the kernel still counts, so that a restart loses nothing if the daemon has a spool"
            }
            Self::Answer { .. } => "use the `flowlog` of the daemon's version",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run this command as the daemon's user, which is root"
            }
            Self::Io { .. } => "name the socket of the daemon with --socket",
        }
    }
}

/// More than any snapshot has.
const MOST_BYTES: usize = 16 << 20;
/// Pause before a socket is tried again whose queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks the daemon that listens at a socket, and waits for its answer no longer than `timeout`.
pub async fn ask(path: &Path, timeout: Duration) -> Result<Snapshot, Error> {
    let hangs = || Error::Hangs { path: path.to_owned(), timeout };
    let answer = tokio::time::timeout(timeout, answer(path)).await.map_err(|_| hangs())??;
    let wrong = || Error::Answer { path: path.to_owned() };
    let snapshot: Snapshot = serde_json::from_slice(&answer).map_err(|_| wrong())?;
    if snapshot.schema == SCHEMA { Ok(snapshot) } else { Err(wrong()) }
}

async fn answer(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source: io::Error| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Error::Absent { path },
            io::ErrorKind::ConnectionRefused => match kind_of(&path) {
                Some(kind) => Error::NoSocket { path, kind },
                None => Error::NobodyListens { path },
            },
            _ => Error::Io { path, source },
        }
    };
    let stream = loop {
        match UnixStream::connect(path).await {
            // Others wait too.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(PAUSE).await;
            }
            connected => break connected.map_err(failed)?,
        }
    };
    let mut answer = vec![];
    let mut buffer = [0; 4096];
    while answer.len() < MOST_BYTES {
        stream.readable().await.map_err(failed)?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend(buffer.iter().take(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Error::Answer { path: path.to_owned() })
}

/// What is at a path, where that is no socket: the kernel refuses both in the same way.
fn kind_of(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    if kind.is_socket() {
        None
    } else if kind.is_dir() {
        Some("a directory")
    } else if kind.is_file() {
        Some("a file")
    } else {
        Some("a device or a pipe")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn whatever_is_in_the_place_of_the_socket_is_named_truly() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        drop(UnixListener::bind(path("left.sock")).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (name, expected) in [
            ("", "is a directory, and no socket"),
            ("file", "is a file, and no socket"),
            ("left.sock", "a socket that a killed flowlog left behind"),
            ("nothing", "there is no socket"),
        ] {
            let error = runtime.block_on(ask(&path(name), Duration::from_secs(1))).unwrap_err();
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}
