//! A process of its own that uses a local store, so that a disk that hangs holds that process and
//! nothing else: who waits for such a disk cannot be ended, not even by SIGKILL.
//!
//! It lives as long as whoever asks, and ends when that is gone and what it was doing is done. It
//! has the lock of the gateway, so that a put that comes late cannot undo one of the next daemon.

use std::{
    collections::BTreeSet,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};

use super::{
    directory::Directory,
    frame,
    request::{Action, Answer, Failure, Request, Response},
    worker::{LineFailure, Worker},
};
use crate::record::gateway::GatewayName;

/// The command of `flowlog` that such a process runs.
pub const WORKER_COMMAND: &str = "store-worker";
/// How long one that was told to end may take, when nothing is being done.
const ENDING: Duration = Duration::from_millis(900);

/// The first frame of the one who asks.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    number: u64,
    request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    number: u64,
    outcome: Result<Response, Failure>,
}

/// The process, as the one who asks sees it.
#[derive(Debug)]
pub(super) struct Child {
    program: PathBuf,
    directory: PathBuf,
    /// The one that runs, if one does.
    running: Option<Running>,
    /// The locks that it is to have.
    locks: BTreeSet<GatewayName>,
}

#[derive(Debug)]
struct Running {
    process: std::process::Child,
    stream: UnixStream,
    /// How many questions it was asked.
    asked: u64,
}

impl Child {
    /// One for a directory, which it makes where there is none. It starts with the first question.
    pub(super) fn new(program: &Path, directory: &Path) -> Self {
        let (program, directory) = (program.to_owned(), directory.to_owned());
        Self { program, directory, running: None, locks: BTreeSet::new() }
    }

    /// The process; started anew where it ended, with the locks that it had.
    fn running(&mut self) -> Result<&mut Running, LineFailure> {
        if self.running.is_none() {
            let mut running =
                Running::start(&self.program, &self.directory).map_err(LineFailure::Process)?;
            for gateway in &self.locks {
                if let Err(failure) = running.ask(Request::Lock { gateway: gateway.clone() }, &[]) {
                    drop(running.end());
                    return Err(failure);
                }
            }
            self.running = Some(running);
        }
        self.running.as_mut().ok_or(LineFailure::Process(io::ErrorKind::NotConnected.into()))
    }
}

impl Worker for Child {
    fn answer(&mut self, request: Request, file: &Bytes) -> Result<Answer, LineFailure> {
        let answer = self.running()?.ask(request.clone(), file);
        match (&request, &answer) {
            (Request::Lock { gateway }, Ok(_)) => {
                self.locks.insert(gateway.clone());
            }
            (Request::Unlock { gateway }, _) => {
                self.locks.remove(gateway);
            }
            _ => {}
        }
        if let Err(LineFailure::Process(_)) = &answer
            && let Some(running) = self.running.take()
        {
            let ended = running.end();
            tracing::debug!(?ended, "the process that uses the store is gone");
        }
        answer
    }

    fn close(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.end());
        }
    }
}

impl Running {
    fn start(program: &Path, directory: &Path) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command
            .arg0("flowlog")
            .arg(WORKER_COMMAND)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Whoever waits for the end of our output is not to wait for a disk.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .current_dir("/")
            // What the terminal sends to end us is not to end a put that is under way.
            .process_group(0);
        let process = command.spawn()?;
        let running = Self { process, stream, asked: 0 };
        frame::write(&running.stream, &Greeting { directory: directory.to_owned() }, &[])?;
        Ok(running)
    }

    fn ask(&mut self, request: Request, file: &[u8]) -> Result<Answer, LineFailure> {
        self.asked += 1;
        let number = self.asked;
        let question = Question { number, request };
        frame::write(&self.stream, &question, file).map_err(LineFailure::Process)?;
        let reply = frame::read::<Reply>(&self.stream).map_err(LineFailure::Process)?;
        let ended = || io::Error::other("the process that uses the store ended");
        let (reply, bytes) = reply.ok_or_else(|| LineFailure::Process(ended()))?;
        if reply.number != number {
            let other = io::Error::other("an answer to another question");
            return Err(LineFailure::Process(other));
        }
        reply.outcome.map(|response| (response, bytes)).map_err(LineFailure::Store)
    }

    /// Lets it end, and waits for that a while.
    fn end(mut self) -> io::Result<Option<std::process::ExitStatus>> {
        drop(self.stream);
        let patience = Instant::now() + ENDING;
        loop {
            match self.process.try_wait()? {
                None if Instant::now() < patience => std::thread::sleep(Duration::from_millis(2)),
                // One that hangs is left to itself.
                ended => return Ok(ended),
            }
        }
    }
}

/// Answers what the process that started this one asks, until that is gone. The socket to it is the
/// standard input.
pub fn serve() -> io::Result<()> {
    close_inherited();
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    if stream.peer_addr().is_err() {
        return Err(io::Error::other("this command is for flowlog's own use"));
    }
    // What ends the daemon, or the terminal, is not to end a put that is under way.
    for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: a signal that is ignored runs no code, and nothing here waits for one.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    nix::sys::prctl::set_name(c"flowlog-store")?;
    let Some((greeting, _)) = frame::read::<Greeting>(&stream)? else { return Ok(()) };
    let mut directory = None;
    let ended = answer_all(&stream, &greeting.directory, &mut directory);
    if let Some(directory) = &mut directory {
        directory.unlock_all();
    }
    ended
}

/// Closes whatever else was left open: a process that hangs is not to keep it.
fn close_inherited() {
    // SAFETY: the first thing that this process does: nothing in it knows these descriptors.
    let failed = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) } != 0;
    if failed {
        // Whoever started it opens everything with O_CLOEXEC.
        tracing::debug!("cannot close what is open: {}", io::Error::last_os_error());
    }
}

fn answer_all(
    stream: &UnixStream,
    path: &Path,
    directory: &mut Option<Directory>,
) -> io::Result<()> {
    while let Some((Question { number, request }, file)) = frame::read(stream)? {
        let answer = open(directory, path).and_then(|directory| directory.answer(request, &file));
        drop(file);
        let (outcome, bytes) = match answer {
            Ok((response, bytes)) => (Ok(response), bytes),
            Err(failure) => (Err(failure), Bytes::new()),
        };
        frame::write(stream, &Reply { number, outcome }, &bytes)?;
    }
    Ok(())
}

fn open<'d>(
    directory: &'d mut Option<Directory>,
    path: &Path,
) -> Result<&'d mut Directory, Failure> {
    if let Some(directory) = directory {
        return Ok(directory);
    }
    let opened = Directory::create(path).map_err(Failure::of(Action::Open, path.display()))?;
    Ok(directory.insert(opened))
}
