//! The thread that drains: it sleeps until an epoch ends, and its system calls may block.

use std::{
    sync::mpsc::{self as std_mpsc, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use super::{Error, windows::News};
use crate::{
    capture::Previous,
    clock,
    drain::{Closed, Drainer, Epoch},
    notify::Notifier,
    spool::{self, Epochs},
    telemetry::with_causes,
};

/// Whom the thread tells what.
struct Told {
    news: mpsc::Sender<News>,
    alive: watch::Sender<Instant>,
}

impl Told {
    fn news(&self, news: News) -> Result<(), Error> {
        self.news.blocking_send(news).map_err(|_| Error::Ended { part: "aggregation" })
    }

    fn alive(&self) {
        self.alive.send_replace(Instant::now());
    }
}

pub(super) struct DrainLoop {
    thread: JoinHandle<Result<(), Error>>,
    /// Dropped to stop the thread.
    stop: std_mpsc::Sender<()>,
    /// When the thread last did something; closed when it ends.
    alive: watch::Receiver<Instant>,
}

impl DrainLoop {
    pub(super) fn start(
        drainer: Drainer,
        epochs: Epochs,
        interval: Duration,
        news: mpsc::Sender<News>,
    ) -> Result<Self, Error> {
        let (stop, stopped) = std_mpsc::channel();
        let (alive_in, alive) = watch::channel(Instant::now());
        let thread = std::thread::Builder::new()
            .name("drain".to_owned())
            .spawn(move || {
                drain(drainer, epochs, interval, &stopped, &Told { news, alive: alive_in })
            })
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { thread, stop, alive })
    }

    /// Returns when the thread has ended by itself.
    pub(super) async fn ended(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Tells the service manager that all is well as long as epochs are drained; never returns.
    pub(super) async fn keep_alive(&self, notifier: &Notifier, interval: Duration) {
        let Some(every) = notifier.alive_interval() else { return std::future::pending().await };
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            // While the spool has no room the thread is alive, though it drains nothing.
            let at = *self.alive.borrow();
            if at.elapsed() < interval + every {
                notifier.alive();
            }
        }
    }

    /// Drains a last time and ends.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let Self { thread, stop, .. } = self;
        drop(stop);
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(Error::Ended { part: "drain" }),
        }
    }
}

/// Empties the maps of an epoch that a daemon before this one closed. Its counts are in the spool
/// already if the spool has an epoch of that number or a later one.
pub(super) fn finish_left(
    drainer: &mut Drainer,
    epochs: &mut Epochs,
    last: u64,
) -> Result<Option<spool::run::Run>, Error> {
    match drainer.left()? {
        Some(closed) => save(drainer, epochs, &closed, last),
        None => Ok(None),
    }
}

/// Makes an epoch durable unless it is, and empties its maps.
fn save(
    drainer: &mut Drainer,
    epochs: &mut Epochs,
    closed: &Closed,
    last: u64,
) -> Result<Option<spool::run::Run>, Error> {
    let epoch = drainer.read(closed)?;
    let run = if closed.number() > last {
        Some(epochs.append(&epoch, clock::quality().max_error)?)
    } else {
        None
    };
    drainer.clear(closed, &epoch)?;
    Ok(run)
}

/// Empties maps that nothing counts in any more, and removes them. Ends with the epoch of the number
/// `upto` or a later one.
pub(super) fn finish_previous(
    previous: Previous,
    epochs: &mut Epochs,
    last: u64,
    upto: u64,
) -> Result<Vec<spool::run::Run>, Error> {
    let mut runs = vec![];
    let (counts, emptied) = previous.into_counts();
    if let Some(counts) = counts {
        let mut drainer = Drainer::of_previous(*counts);
        runs.extend(finish_left(&mut drainer, epochs, last)?);
        loop {
            let closed = drainer.close_now()?;
            runs.extend(save(&mut drainer, epochs, &closed, last)?);
            if closed.number() >= upto {
                break;
            }
        }
    } else {
        tracing::error!(
            "what another version of flowlog had counted since its last drain cannot be read, and is lost"
        );
    }
    emptied.remove()?;
    Ok(runs)
}

fn drain(
    mut drainer: Drainer,
    mut epochs: Epochs,
    interval: Duration,
    stopped: &std_mpsc::Receiver<()>,
    told: &Told,
) -> Result<(), Error> {
    loop {
        told.alive();
        let end = drainer.announce(interval);
        let wait = Duration::from_nanos(end.saturating_sub(clock::monotonic_coarse()));
        let is_last = is_stopped(stopped, wait);
        let closed = if is_last { drainer.close_now()? } else { drainer.close()? };
        let epoch = drainer.read(&closed)?;
        // Where the spool has no room, the maps keep what they have: the kernel goes on counting in
        // the other set, and when that is full it accounts for what it cannot hold.
        let run = append(&mut epochs, &epoch, is_last, stopped, told)?;
        drainer.clear(&closed, &epoch)?;
        drop(epoch);
        told.news(News::Epoch(Box::new(run)))?;
        if is_last {
            return Ok(());
        }
    }
}

fn is_stopped(stopped: &std_mpsc::Receiver<()>, wait: Duration) -> bool {
    !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
}

/// Pause before an epoch is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is said that the spool takes nothing.
const REMINDER: Duration = Duration::from_mins(1);
/// How often a last epoch is tried.
const LAST_TRIES: u32 = 4;

/// Makes an epoch durable, however long that takes; when told to stop, not much longer.
fn append(
    epochs: &mut Epochs,
    epoch: &Epoch,
    mut is_last: bool,
    stopped: &std_mpsc::Receiver<()>,
    told: &Told,
) -> Result<spool::run::Run, Error> {
    let mut tries_left = LAST_TRIES;
    let mut said: Option<Instant> = None;
    loop {
        let error = match epochs.append(epoch, clock::quality().max_error) {
            Ok(run) => {
                if said.is_some() {
                    tracing::info!("the spool takes epochs again");
                }
                return Ok(run);
            }
            Err(error) => error,
        };
        if said.is_none_or(|said| said.elapsed() > REMINDER) {
            tracing::warn!("{}; the kernel holds the counts meanwhile", with_causes(&error));
            said = Some(Instant::now());
        }
        told.alive();
        if matches!(error, spool::Error::Full { .. }) {
            told.news(News::Full)?;
        }
        if is_last {
            tries_left -= 1;
            if tries_left == 0 {
                // Where there is a spool the maps are pinned.
                let (rows, is_durable) = (epoch.row_count(), epochs.is_durable());
                return Err(Error::NotSpooled { rows, is_durable, source: error });
            }
            std::thread::sleep(PAUSE);
        } else {
            is_last = is_stopped(stopped, PAUSE);
        }
    }
}
