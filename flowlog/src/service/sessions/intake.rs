//! Taking the reports of all sources, some at once, and none before its turn.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream, StreamExt as _, stream, stream::SelectAll};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
    time::Interval,
};

use super::{
    PAUSE, incidents::Incident, recorder::Recorder, sources::Watched, tracker::ClockState,
};
use crate::{
    config::{SourceConfig, SubscriberSettings},
    record::{
        clock::{self, Offset, Utc},
        session::{Content, PeerKey, Report},
        subscriber::Subscribers,
    },
    source::{
        Failure, Health, WAITING_REPORTS,
        subscribers::{self, Files},
        watch,
    },
    telemetry::with_causes,
};

/// Reports that are written down at once.
const BATCH: usize = 64;
/// A report of a time that is further from now is not taken.
const TIMELY: Duration = Duration::from_mins(5);
/// How often sources that fell silent are looked for.
const TICK: Duration = Duration::from_secs(1);
/// The wall clock was set where it moved by more against the monotonic one.
const STEP_MS: i64 = 1_000;

type Reports = Pin<Box<dyn Stream<Item = (Duration, Report)> + Send>>;

/// The reports of all sources.
pub(super) struct Intake {
    sources: Arc<[SourceConfig]>,
    /// Why they cannot be looked at.
    health: Health,
    /// Why none of them is asked.
    failure: Option<Failure>,
    /// `None` where there are none, or while they are read.
    files: Option<Files>,
    reports: SelectAll<Reports>,
    tasks: Vec<AbortHandle>,
    ticks: Interval,
    /// `None` until the peer key was read: then the sources are asked.
    key: Option<PeerKey>,
    subscribers: Arc<Subscribers>,
    offset: Offset,
}

/// Reports, and the clock by which they were taken.
pub(super) struct Batch {
    reports: Vec<(Duration, Report)>,
    now: Utc,
    clock: ClockState,
    subscribers: Arc<Subscribers>,
}

impl Intake {
    pub(super) fn start(sources: Vec<SourceConfig>, settings: Option<SubscriberSettings>) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            sources: sources.into(),
            health: Health::default(),
            failure: None,
            files: settings.map(Files::new),
            reports: SelectAll::new(),
            tasks: vec![],
            ticks,
            key: None,
            subscribers: Arc::default(),
            offset: Offset::now(),
        }
    }

    /// The next reports; none where only time has passed. While events wait for the spool no report is taken.
    pub(super) async fn next(&mut self, is_behind: bool) -> Batch {
        let mut reports = vec![];
        tokio::select! {
            _ = self.ticks.tick() => self.read_settings().await,
            Some(report) = self.reports.next(), if !is_behind && !self.reports.is_empty() => {
                reports.push(report);
                while reports.len() < BATCH
                    && let Some(Some(report)) = self.reports.next().now_or_never()
                {
                    reports.push(report);
                }
            }
        }
        Batch {
            reports,
            now: clock::now(),
            clock: self.clock(),
            subscribers: Arc::clone(&self.subscribers),
        }
    }

    /// The sources, and how it is about each of them.
    pub(super) fn watched(&self) -> Watched {
        Watched {
            configured: Arc::clone(&self.sources),
            failures: self.health.failures(),
            failure: self.failure.clone(),
        }
    }

    fn clock(&mut self) -> ClockState {
        let offset = Offset::now();
        let before = std::mem::replace(&mut self.offset, offset);
        let step_ms = (offset.ns() - before.ns()) / 1_000_000;
        // Rounded up: an answer relies on it.
        let error = clock::quality().max_error.as_micros().div_ceil(1_000);
        ClockState {
            error_ms: u32::try_from(error).unwrap_or(u32::MAX),
            step_ms: if step_ms.abs() >= STEP_MS { step_ms } else { 0 },
        }
    }

    /// Reads the peer key, once, and the subscribers where their file has changed.
    async fn read_settings(&mut self) {
        let Some(mut files) = self.files.take() else { return };
        if self.key.is_none() {
            let path = files.key().to_owned();
            match spawn_blocking(move || subscribers::read_key(&path)).await {
                Ok(Ok(key)) => {
                    self.ask(&key);
                    self.key = Some(key);
                    self.failure = None;
                }
                Ok(Err(error)) => {
                    Incident::NoPeerKey { error: &error }.emit();
                    self.failure = Some(Failure {
                        at: clock::now(),
                        text: with_causes(&error),
                        remedy: error.remedy(),
                    });
                    self.ticks.reset_after(PAUSE * 2);
                }
                Err(_) => {}
            }
        }
        let read = spawn_blocking(move || (files.changed(), files)).await;
        if let Ok((changed, files)) = read {
            self.files = Some(files);
            if let Some(Ok((_, subscribers))) = changed {
                self.subscribers = Arc::new(subscribers);
            }
        }
    }

    /// Starts a task for each source.
    fn ask(&mut self, key: &PeerKey) {
        for source in self.sources.iter() {
            let (sender, mut receiver) = mpsc::channel(WAITING_REPORTS);
            let poll = source.poll;
            let reports = stream::poll_fn(move |context| {
                receiver.poll_recv(context).map(|report| report.map(|report| (poll, report)))
            });
            self.reports.push(Box::pin(reports));
            let task =
                tokio::spawn(watch(source.clone(), key.clone(), sender, self.health.clone()));
            self.tasks.push(task.abort_handle());
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Batch {
    /// Whether only time has passed.
    pub(super) fn is_tick(&self) -> bool {
        self.reports.is_empty()
    }

    /// Makes events of the reports, and writes them down.
    pub(super) fn record(self, recorder: &mut Recorder) {
        let Self { reports, now, clock, subscribers } = self;
        recorder.tracker.set_subscribers(subscribers);
        let mut events = vec![];
        recorder.owe(reports.iter().map(|(_, report)| report.receipt.clone()));
        for (poll, mut report) in reports {
            let is_listing = matches!(report.content, Content::Listing(_) | Content::Unchanged);
            let is_ahead = report.at > now.plus(TIMELY);
            if is_ahead || is_listing && report.at < now.minus(TIMELY) {
                Incident::Untimely.emit();
                report.at = now;
                report.content = Content::Failed { is_answered: true };
            }
            events.extend(recorder.tracker.take(report, poll, clock));
        }
        events.extend(recorder.tracker.pass_time(now));
        if let Err(error) = recorder.record(now, events) {
            Incident::NotRecorded { error: &error }.emit();
        }
        for (instance, rows) in recorder.take_late() {
            Incident::TooLate { instance: &instance, rows }.emit();
        }
    }
}
