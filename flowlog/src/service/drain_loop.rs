//! The thread that drains: it sleeps until an epoch ends, and its system calls may block.
//!
//! ```text
//! open the spool ── counting begins ── recover ── what daemons before left in maps ── epoch by epoch
//! ```
//!
//! Until the spool takes an epoch, the kernel's maps hold it.

mod draining;
pub(super) mod events;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self as std_mpsc, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Error,
    counting::Drainable,
    recovery::{self, FirstLook},
    snapshot,
    windows::DrainEvent,
};
use crate::{
    config::SpoolSettings,
    service::notify::Notifier,
    spool::{
        self, Files, Spool,
        recover::{Recording, Recovered},
        run::Run,
    },
    status::Status,
};
use draining::Draining;
use events::Event;

/// How long counting waits for a spool to be opened: to hear that another daemon has it.
const OPENING: Duration = Duration::from_millis(400);

/// What was in the spool, for those who go on with it.
pub(super) struct InSpool {
    pub(super) spool: Arc<Spool>,
    pub(super) files: Files,
    /// Epochs of which nothing was made yet.
    pub(super) found: Vec<Run>,
}

pub(super) struct DrainLoop {
    thread: Option<JoinHandle<Result<(), Error>>>,
    /// Dropped to stop the thread.
    stop: Option<std_mpsc::Sender<()>>,
    counted: Option<std_mpsc::Sender<Drainable>>,
    /// How the first try to open the spool ended.
    opened: Option<oneshot::Receiver<Result<FirstLook, spool::Error>>>,
    recovered: Option<oneshot::Receiver<InSpool>>,
    /// When the thread last did something; closed when it ends.
    alive: watch::Receiver<Instant>,
    is_draining: Arc<AtomicBool>,
}

impl DrainLoop {
    /// Begins to open the spool, for what is recorded; the kernel is drained as often as `interval`.
    pub(super) fn start(
        settings: SpoolSettings,
        recording: Recording,
        interval: Duration,
        (status, events): (&Status, mpsc::Sender<DrainEvent>),
    ) -> Result<Self, Error> {
        let (stop, stopped) = std_mpsc::channel();
        let (counted_in, counted) = std_mpsc::channel();
        let (opened_in, opened) = oneshot::channel();
        let (recovered_in, recovered) = oneshot::channel();
        let (alive_in, alive) = watch::channel(Instant::now());
        let is_draining = Arc::new(AtomicBool::new(false));
        let signals = Signals { stopped, events, alive: alive_in, status: status.clone() };
        let draining = Arc::clone(&is_draining);
        let thread = std::thread::Builder::new().name("drain".to_owned()).spawn(move || {
            let Some(spool) = open(&settings, &recording.gateway, &signals, opened_in)? else {
                return counted.try_recv().map_or(Ok(()), |_| Err(Error::NotRecovered));
            };
            // Nothing of the spool is touched by a daemon that does not come to count.
            let Ok(counted) = counted.recv() else { return Ok(()) };
            let Some(recovered) = recover(&recording, &signals, &spool)? else {
                return Err(Error::NotRecovered);
            };
            let Recovered { epochs, files, found, last: _ } = recovered;
            draining.store(true, Ordering::Relaxed);
            if recovered_in.send(InSpool { spool, files, found }).is_err() {
                return Ok(());
            }
            Draining { epochs, signals: &signals }.run(counted, interval)
        });
        let thread = thread.map_err(|source| Error::Thread { source })?;
        Ok(Self {
            thread: Some(thread),
            stop: Some(stop),
            counted: Some(counted_in),
            opened: Some(opened),
            recovered: Some(recovered),
            alive,
            is_draining,
        })
    }

    /// Waits until the spool is open, but not for long. Fails where it never can be opened.
    pub(super) async fn opened(&mut self) -> Result<FirstLook, Error> {
        let Some(opened) = &mut self.opened else { return Ok(FirstLook::default()) };
        match tokio::time::timeout(OPENING, opened).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(Error::Ended { part: "drain" }),
            // The disk is slow; counting is not to wait for it.
            Err(_) => Ok(FirstLook::default()),
        }
    }

    /// Drains what is counted from now on, as soon as the spool is recovered.
    pub(super) fn begin(&mut self, counted: Drainable) {
        if let Some(to) = self.counted.take() {
            // Where the thread has ended, `Self::ended` tells.
            drop(to.send(counted));
        }
    }

    /// Who hears what was in the spool; nobody does where the thread ends before.
    pub(super) fn recovered(&mut self) -> oneshot::Receiver<InSpool> {
        self.recovered.take().unwrap_or_else(|| oneshot::channel().1)
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
            // While the spool has no room, or is recovered, the kernel counts all the same.
            let at = *self.alive.borrow();
            let is_recovering = !self.is_draining.load(Ordering::Relaxed);
            if is_recovering || at.elapsed() < interval + every {
                notifier.alive();
            }
        }
    }

    /// Tells the thread to drain a last time and to end.
    pub(super) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until the thread has ended, but no longer than until an instant.
    pub(super) async fn finish(mut self, deadline: tokio::time::Instant) -> Result<(), Error> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        match tokio::time::timeout_at(deadline, joined).await {
            Ok(Ok(Ok(outcome))) => outcome,
            Ok(_) => Err(Error::Ended { part: "drain" }),
            Err(_) => Err(Error::NotDrained),
        }
    }
}

impl Drop for DrainLoop {
    /// After a failed start: what the thread has is removed before the process ends.
    fn drop(&mut self) {
        self.stop = None;
        self.counted = None;
        let Some(thread) = self.thread.take() else { return };
        let patience = Instant::now() + Duration::from_secs(1);
        while !thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the thread hears and reports.
struct Signals {
    stopped: std_mpsc::Receiver<()>,
    events: mpsc::Sender<DrainEvent>,
    alive: watch::Sender<Instant>,
    status: Status,
}

impl Signals {
    fn notify(&self, event: DrainEvent) -> Result<(), Error> {
        self.events.blocking_send(event).map_err(|_| Error::Ended { part: "aggregation" })
    }

    fn alive(&self) {
        self.alive.send_replace(Instant::now());
    }

    /// Whether the thread was told to stop within this time.
    fn is_stopped(&self, wait: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// Pause before a spool that cannot be opened or read is tried again.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);

/// Opens the spool, however long that takes; `None` where it was told to stop.
fn open(
    settings: &SpoolSettings,
    gateway: &str,
    signals: &Signals,
    opened: oneshot::Sender<Result<FirstLook, spool::Error>>,
) -> Result<Option<Arc<Spool>>, Error> {
    let mut opened = Some(opened);
    let mut report = |outcome| opened.take().map(|opened| opened.send(outcome));
    let mut warned = false;
    loop {
        match recovery::open(settings) {
            Ok(spool) => {
                report(Ok(FirstLook {
                    last: spool.last_number_by_names(),
                    former_gateway: spool.former_gateway(gateway),
                }));
                return Ok(Some(spool));
            }
            Err(error) if settings.spool.is_some() && recovery::may_pass(&error) => {
                warn_once(&mut warned, &error, signals);
                report(Ok(FirstLook::default()));
            }
            Err(error) => {
                return match report(Err(error)) {
                    // Who starts the daemon has it.
                    Some(Ok(())) => Ok(None),
                    Some(Err(Err(error))) => Err(error.into()),
                    _ => Err(Error::Ended { part: "spool" }),
                };
            }
        }
        if signals.is_stopped(SPOOL_PAUSE) {
            return Ok(None);
        }
    }
}

/// Reads what is in the spool, however often that takes; `None` where it was told to stop.
fn recover(
    recording: &Recording,
    signals: &Signals,
    spool: &Arc<Spool>,
) -> Result<Option<Recovered>, Error> {
    let mut warned = false;
    loop {
        match recovery::recover(recording, spool) {
            Ok(recovered) => {
                snapshot::recovered(&signals.status);
                return Ok(Some(recovered));
            }
            Err(error) if spool.is_durable() && recovery::may_pass(&error) => {
                warn_once(&mut warned, &error, signals);
            }
            Err(error) => return Err(error.into()),
        }
        if signals.is_stopped(SPOOL_PAUSE) {
            return Ok(None);
        }
    }
}

fn warn_once(warned: &mut bool, error: &spool::Error, signals: &Signals) {
    snapshot::spool_failed(&signals.status, error);
    if !std::mem::replace(warned, true) {
        Event::SpoolAway { error, pause: SPOOL_PAUSE }.emit();
    }
}
