//! The thread that drains: it sleeps until an epoch ends, and its system calls may block.

use std::{
    sync::mpsc::{self as std_mpsc, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::Error;
use crate::{
    clock,
    drain::{self, Drainer, Epoch},
};

pub(super) struct DrainLoop {
    thread: JoinHandle<Result<(), drain::Error>>,
    /// Dropped to stop the thread.
    stop: std_mpsc::Sender<()>,
    /// Closed when the thread ends.
    alive: watch::Receiver<()>,
}

impl DrainLoop {
    pub(super) fn start(
        drainer: Drainer,
        interval: Duration,
        epochs: mpsc::Sender<Epoch>,
    ) -> Result<Self, Error> {
        let (stop, stopped) = std_mpsc::channel();
        let (alive_in, alive) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || {
                let outcome = drain(drainer, interval, &stopped, &epochs);
                drop(alive_in);
                outcome
            })
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { thread, stop, alive })
    }

    /// Returns when the thread has ended by itself.
    pub(super) async fn ended(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Drains a last time and ends.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let Self { thread, stop, .. } = self;
        drop(stop);
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            _ => Err(Error::Ended { part: "drain" }),
        }
    }
}

fn drain(
    mut drainer: Drainer,
    interval: Duration,
    stopped: &std_mpsc::Receiver<()>,
    epochs: &mpsc::Sender<Epoch>,
) -> Result<(), drain::Error> {
    loop {
        let end = drainer.announce(interval);
        let wait = Duration::from_nanos(end.saturating_sub(clock::monotonic_coarse()));
        let is_last = match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        };
        let closed = if is_last { drainer.close_now()? } else { drainer.close()? };
        let epoch = drainer.read(&closed)?;
        drainer.clear(&closed, &epoch)?;
        if epochs.blocking_send(epoch).is_err() {
            tracing::error!("an epoch is lost: aggregation ended before");
            return Ok(());
        }
        if is_last {
            return Ok(());
        }
    }
}
