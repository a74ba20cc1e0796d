//! Answering whoever asks for the snapshot, at a socket of the daemon's user alone.
//!
//! ```text
//! connect ──▶ {"schema": "flowlog.status/1", …}, and the end
//! ```
//!
//! Nothing is ever read from a client. A few are answered at a time, each within a limit, and no more than
//! some hundred a second: one that does not read, asks without an end or sends garbage holds up nobody.

use std::{
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
        },
        stat::{Mode, fchmod},
    },
};
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use super::Status;

/// Why nobody can ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another daemon listens there.
    #[error("another flowlog answers at {}; give each gateway its own name or its own status_socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is in its place.
    #[error("{} is not a socket, and flowlog does not replace it; name another path with status_socket", path.display())]
    Occupied {
        /// What is there.
        path: PathBuf,
    },
    /// The system.
    #[error("cannot {action} {} for the status", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Clients that are answered at a time.
const MOST_CLIENTS: usize = 4;
/// Clients that wait beside those.
const WAITING_CLIENTS: i32 = 16;
/// How long an answer may take to be read.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two clients.
const PAUSE: Duration = Duration::from_millis(2);
/// Pause after no client could be accepted: too many files are open.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// A socket at which the daemon answers. It is removed when this is dropped.
#[derive(Debug)]
pub struct Listening {
    task: JoinHandle<()>,
    path: PathBuf,
    /// Device and number of the file, by which it is known again.
    identity: (u64, u64),
}

impl Listening {
    /// Begins to answer. A socket is replaced that nobody listens at; that of another daemon is not.
    pub fn start(path: &Path, status: &Status) -> Result<Self, Error> {
        let path = path.to_owned();
        let listener = open(&path)?;
        let metadata = std::fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        let identity = (metadata.dev(), metadata.ino());
        let listener = std::os::unix::net::UnixListener::from(listener);
        let listener = UnixListener::from_std(listener).map_err(failed("listen at", &path))?;
        let task = tokio::spawn(serve(listener, status.clone()));
        Ok(Self { task, path, identity })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("the socket {} stays: {error}", self.path.display());
        }
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + use<'a> {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(failed("make the directory", directory))?;
    // So that of two daemons that start at once, and find the same old socket, only one replaces it.
    let _lock = lock(directory)?;
    let listen_failed = |error: Errno| failed("listen at", path)(error.into());
    let address = UnixAddr::new(path).map_err(listen_failed)?;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at", path)(error)),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(Error::Occupied { path: path.to_owned() });
        }
        Ok(_) if somebody_listens(&address) => return Err(Error::InUse { path: path.to_owned() }),
        Ok(_) => std::fs::remove_file(path).map_err(failed("replace", path))?,
    }
    let socket = new_socket().map_err(listen_failed)?;
    // Before it has a name, so that nobody else can connect for a moment.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR).map_err(listen_failed)?;
    bind(socket.as_raw_fd(), &address).map_err(listen_failed)?;
    let backlog = Backlog::new(WAITING_CLIENTS).map_err(listen_failed)?;
    listen(&socket, backlog).map_err(listen_failed)?;
    Ok(socket)
}

/// Locks a directory for a moment, which all who replace a socket in it do.
fn lock(directory: &Path) -> Result<Flock<File>, Error> {
    const TRIES: u32 = 20;
    let mut file = File::open(directory).map_err(failed("open", directory))?;
    for _ in 1..TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK)) => {
                file = again;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err((_, error)) => return Err(failed("lock", directory)(error.into())),
        }
    }
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| failed("lock", directory)(error.into()))
}

fn somebody_listens(address: &UnixAddr) -> bool {
    let Ok(socket) = new_socket() else { return true };
    // A queue that is full is somebody's too; only a refusal shows that there is nobody.
    connect(socket.as_fd().as_raw_fd(), address) != Err(Errno::ECONNREFUSED)
}

fn new_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

async fn serve(listener: UnixListener, status: Status) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < MOST_CLIENTS => match accepted {
                Ok((client, _)) => {
                    clients.spawn(answer(client, status.clone()));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => tokio::time::sleep(LONG_PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn answer(client: UnixStream, status: Status) {
    let Ok(mut answer) = serde_json::to_vec(&status.now()) else { return };
    answer.push(b'\n');
    let write = async {
        let mut rest = &answer[..];
        while !rest.is_empty() {
            client.writable().await?;
            match client.try_write(rest) {
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    // Whoever does not read has no answer.
    drop(tokio::time::timeout(PATIENCE, write).await);
}

#[cfg(test)]
mod tests;
