//! The line to a local store: one question at a time, done by a thread or by another process.
//!
//! Whoever gives a question up, for its time is over or for it is not needed any more, does not stop
//! what is being done: the next question waits until it is over. So a put that was given up is never
//! done after a later one. A question that was given up before its turn is never asked.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    Error,
    child::Child,
    directory::Directory,
    request::{Answer, Request, Response},
    worker::{LineFailure, Worker},
};
use crate::record::gateway::GatewayName;

/// How long a line that is idle may take to close.
const CLOSING: Duration = Duration::from_secs(1);
/// How long another process may take with a question; larger files may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take with a list of files.
const LIST_PATIENCE: Duration = Duration::from_mins(5);
/// How many bytes of a file a disk is expected to write in a second, at least.
const SLOWEST: u64 = 1 << 20;

/// A line to a local store.
#[derive(Debug)]
pub(super) struct Line {
    jobs: mpsc::Sender<Message>,
    /// Whose turn it is.
    turn: Arc<Semaphore>,
    /// What bounds the time of an answer, where another process gives it.
    is_bounded: bool,
}

#[derive(Debug)]
enum Message {
    Ask(Box<Job>),
    /// Gives a lock back.
    Unlock(GatewayName, mpsc::Sender<()>),
    Close(mpsc::Sender<()>),
}

#[derive(Debug)]
struct Job {
    request: Request,
    file: Bytes,
    answer: oneshot::Sender<Result<Answer, LineFailure>>,
    turn: OwnedSemaphorePermit,
}

impl Worker for Directory {
    fn answer(&mut self, request: Request, file: &Bytes) -> Result<Answer, LineFailure> {
        Self::answer(self, request, file).map_err(LineFailure::Store)
    }

    fn close(&mut self) {
        self.unlock_all();
    }
}

impl Line {
    /// A line to a thread of this process.
    pub(super) fn to_thread(directory: Directory) -> std::io::Result<Self> {
        Self::to(directory, false)
    }

    /// A line to a process of its own.
    pub(super) fn to_process(child: Child) -> std::io::Result<Self> {
        Self::to(child, true)
    }

    fn to(worker: impl Worker, is_bounded: bool) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work(worker, &waiting))?;
        Ok(Self { jobs, turn: Arc::new(Semaphore::new(1)), is_bounded })
    }

    /// Whether another process answers.
    pub(super) const fn is_isolated(&self) -> bool {
        self.is_bounded
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, request: Request, file: Bytes) -> Result<Answer, Error> {
        let patience = patience(&request, file.len());
        let answer = self.ask_for_long(request, file);
        if !self.is_bounded {
            return answer.await;
        }
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Hung { patience }),
        }
    }

    async fn ask_for_long(&self, request: Request, file: Bytes) -> Result<Answer, Error> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| ended())?;
        let (answer, answered) = oneshot::channel();
        let job = Job { request, file, answer, turn };
        self.jobs.send(Message::Ask(Box::new(job))).map_err(|_| ended())?;
        match answered.await.map_err(|_| ended())? {
            Ok(answer) => Ok(answer),
            Err(LineFailure::Store(failure)) => Err(failure.into_error()),
            Err(LineFailure::Process(source)) => Err(Error::Process { source }),
        }
    }

    /// Gives the lock of a gateway back, when what is being done is done.
    pub(super) fn unlock(&self, gateway: GatewayName) {
        self.notify(|done| Message::Unlock(gateway, done));
    }

    /// Sends the worker a message; waits until it is done where nothing else is being done.
    fn notify(&self, message: impl FnOnce(mpsc::Sender<()>) -> Message) {
        let is_idle = self.turn.available_permits() > 0;
        let (done, is_done) = mpsc::channel();
        if self.jobs.send(message(done)).is_ok() && is_idle {
            // One that hangs is left to itself.
            is_done.recv_timeout(CLOSING).unwrap_or_default();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.notify(Message::Close);
    }
}

fn work(mut worker: impl Worker, waiting: &mpsc::Receiver<Message>) {
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Ask(job) => {
                let Job { request, file, answer, turn } = *job;
                if answer.is_closed() {
                    continue;
                }
                let taken = match &request {
                    Request::Lock { gateway } => Some(gateway.clone()),
                    _ => None,
                };
                let answered = worker.answer(request, &file);
                // Whoever has the answer finds the line idle.
                drop(turn);
                // Whoever gave it up does not miss the answer, nor keeps what it took.
                if let (Err(Ok(_)), Some(gateway)) = (answer.send(answered), taken) {
                    unlock(&mut worker, gateway);
                }
            }
            Message::Unlock(gateway, done) => {
                unlock(&mut worker, gateway);
                // Who gave up waiting needs no word.
                done.send(()).unwrap_or_default();
            }
            Message::Close(done) => {
                worker.close();
                // Who gave up waiting needs no word.
                done.send(()).unwrap_or_default();
                return;
            }
        }
    }
}

fn unlock(worker: &mut impl Worker, gateway: GatewayName) {
    if let Err(failure) = worker.answer(Request::Unlock { gateway }, &Bytes::new()) {
        tracing::debug!("cannot unlock the store: {failure:?}");
    }
}

/// How long an answer may take.
fn patience(request: &Request, bytes: usize) -> Duration {
    let seconds = u64::try_from(bytes).unwrap_or(u64::MAX) / SLOWEST;
    match request {
        Request::List { .. }
        | Request::Staged
        | Request::Sweep { .. }
        | Request::Gateways { .. } => LIST_PATIENCE,
        // Read back from the disk, where it is compared.
        Request::Compare { size, .. } => PATIENCE + Duration::from_secs(size / SLOWEST),
        _ => PATIENCE + Duration::from_secs(seconds),
    }
}

/// The thread is gone: it panicked.
fn ended() -> Error {
    Error::Process { source: std::io::Error::other("the thread that uses the store ended") }
}

/// An answer of another kind than the question: a fault of this program, or another program.
pub(super) fn unexpected(response: &Response) -> Error {
    let source = std::io::Error::other(format!("an answer to another question: {response:?}"));
    Error::Process { source }
}
