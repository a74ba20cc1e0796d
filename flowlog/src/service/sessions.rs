//! Sessions: reports of sources become events in the spool, and these the files of days in the store.
//!
//! ```text
//! sources ──reports──▶ tracker ──events──▶ spool ──▶ fold ──days──▶ store
//!                                          └ durable ┘             └ durable ┘
//! ```
//!
//! A report counts once its events are in the spool. The file of the current day grows; when the day is over its
//! events leave the spool, all but those that began the next day, which have all that is open.

mod event;
mod fold;
mod incidents;
mod intake;
mod publish;
mod recorder;
mod sources;
#[cfg(test)]
mod tests;
mod tracker;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout_at},
};

use super::Error;
use crate::{
    config::{Config, SourceConfig, SubscriberSettings},
    record::clock,
    spool::Spool,
    status::Status,
    store::Store,
};
use incidents::Incident;
use intake::Intake;
use publish::{DayPublisher, PAUSES};
use recorder::{Days, Recorder};

pub(super) use incidents::COUNTERS;
pub(super) use sources::Watched;

/// Pause before something is tried again that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Who tells of sessions, and how often their days are put.
#[derive(Clone, Debug)]
pub(super) struct SessionSettings {
    pub(super) gateway: String,
    pub(super) sources: Vec<SourceConfig>,
    pub(super) subscribers: Option<SubscriberSettings>,
    pub(super) interval: Duration,
}

impl SessionSettings {
    /// Those of a configuration.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            gateway: config.gateway.to_string(),
            sources: config.sources.clone(),
            subscribers: config.subscribers.clone(),
            interval: config.times.window,
        }
    }
}

/// The tasks between the sources and the store.
pub(super) struct Sessions {
    recording: JoinHandle<()>,
    publishing: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// Asks for the release of what is in the store, and is answered when that is done.
type Release = oneshot::Sender<()>;

impl Sessions {
    /// Starts them; what the spool or the store cannot do now is tried again.
    pub(super) fn start(
        settings: SessionSettings,
        spool: Arc<Spool>,
        store: watch::Receiver<Option<Store>>,
        status: Status,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (release, released) = mpsc::channel(1);
        let (days_in, days) = oneshot::channel();
        let interval = settings.interval;
        let recording =
            tokio::spawn(record(settings, (spool, status), days_in, released, stopped.clone()));
        let publishing = tokio::spawn(publish_days(days, store, interval, release, stopped));
        Self { recording, publishing, stop }
    }

    /// Puts what there is, until an instant; the rest is in the spool.
    pub(super) async fn finish(self, deadline: Instant) -> Result<(), Error> {
        let Self { mut recording, mut publishing, stop } = self;
        stop.send_replace(true);
        let ended = timeout_at(deadline, &mut publishing).await;
        let recorded = timeout_at(deadline, &mut recording).await;
        publishing.abort();
        recording.abort();
        match (ended, recorded) {
            (Ok(Ok(())), Ok(Ok(()))) => Ok(()),
            (Err(_), _) | (_, Err(_)) => {
                Incident::NotFinished.emit();
                Ok(())
            }
            _ => Err(Error::Ended { part: "recording of sessions" }),
        }
    }
}

/// Returns when the daemon is to end.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // Whoever would stop it is gone: that is an end, too.
    stopped.wait_for(|stopped| *stopped).await.map(drop).unwrap_or_default();
}

/// Takes reports until the end.
async fn record(
    settings: SessionSettings,
    (spool, status): (Arc<Spool>, Status),
    days: oneshot::Sender<Days>,
    mut releases: mpsc::Receiver<Release>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut recorder = loop {
        let (spool, gateway) = (Arc::clone(&spool), settings.gateway.clone());
        match spawn_blocking(move || Recorder::open(&spool, &gateway)).await {
            Ok(Ok(recorder)) => break recorder,
            Ok(Err(error)) => Incident::NotOpened { error: &error }.emit(),
            Err(_) => return,
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = until_stopped(&mut stopped) => return,
        }
    };
    // Whoever publishes may have ended already.
    drop(days.send(recorder.days().clone()));
    let mut intake = Intake::start(settings.sources, settings.subscribers);
    loop {
        let is_stopped = *stopped.borrow();
        tokio::select! {
            batch = intake.next(recorder.is_behind()), if !is_stopped => {
                // Once a second.
                let watched = batch.is_tick().then(|| intake.watched());
                let status = status.clone();
                let Some(back) = blocking(recorder, move |recorder| {
                    batch.record(recorder);
                    if let Some(watched) = watched {
                        let seen = watched.seen(recorder, clock::now());
                        status.update(|snapshot| snapshot.sources = seen);
                    }
                }).await else { return };
                recorder = back;
            }
            release = releases.recv() => {
                let Some(answer) = release else { return };
                let Some(back) = blocking(recorder, |recorder| {
                    if let Err(error) = recorder.release() {
                        Incident::NotReleased { error: &error }.emit();
                    }
                }).await else { return };
                recorder = back;
                // Nobody waits for it any more where publishing has ended.
                answer.send(()).unwrap_or_default();
            }
            () = until_stopped(&mut stopped), if !is_stopped => {}
        }
    }
}

/// Does something with the recorder on a thread that may wait for the disk.
async fn blocking(
    mut recorder: Recorder,
    work: impl FnOnce(&mut Recorder) + Send + 'static,
) -> Option<Recorder> {
    let done = spawn_blocking(move || {
        work(&mut recorder);
        recorder
    });
    done.await.ok()
}

/// Puts days until the end, and once more then.
async fn publish_days(
    days: oneshot::Receiver<Days>,
    store: watch::Receiver<Option<Store>>,
    interval: Duration,
    release: mpsc::Sender<Release>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(days) = days.await else { return };
    let mut publisher = DayPublisher::new(days);
    let mut pause = None;
    loop {
        let next = pause.unwrap_or(interval);
        tokio::select! {
            () = sleep(next) => {}
            () = until_stopped(&mut stopped) => {}
        }
        let is_last = *stopped.borrow();
        let known = store.borrow().clone();
        if let Some(known) = known {
            match publisher.publish(&known).await {
                Ok(()) => {
                    pause = None;
                    let (answer, done) = oneshot::channel();
                    if release.send(answer).await.is_ok() {
                        // Where recording has ended, nothing is released.
                        drop(done.await);
                    }
                }
                Err(error) => {
                    let again = pause.map_or(PAUSES.0, |pause: Duration| pause * 2).min(PAUSES.1);
                    Incident::NotPublished { error: &error, pause: again }.emit();
                    pause = Some(again);
                }
            }
        }
        if is_last {
            return;
        }
    }
}
