//! The daemon: start order, channels, shutdown.
//!
//! ```text
//! thread      drain ──epochs──▶ spool ──▶ gather ──runs of windows──▶ publish     tasks
//! task        counting: attach when interfaces come, forget them when they go
//! task        retention, when configured
//! ```
//!
//! Counting begins first, and publishing next: only what makes counting impossible ends a start.
//! What the spool or the store cannot do now is tried again, as in a daemon that runs; until then
//! the kernel's maps hold the counts, or the spool does.
//!
//! Every epoch is in the spool before the kernel's maps are cleared, and leaves it when the store
//! has it. When the spool has no room the drain stops, and the kernel's maps fill and account for
//! what they cannot hold.
//!
//! The end has one deadline, which begins when it is told to end: each part that has not ended by
//! then is left, and the error reports where the counts are.

mod backlog;
pub mod check;
mod counting;
mod drain_loop;
mod error;
mod expiry;
#[cfg(test)]
mod model;
pub mod notify;
mod opening;
mod publish;
mod publishing;
mod recovery;
mod sessions;
mod snapshot;
mod standing;
mod start_line;
mod whereabouts;
mod windows;

use std::{future::Future, path::PathBuf, pin::pin, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    capture,
    config::Config,
    keep,
    record::{epoch::EpochNumber, policy::AttachMode},
    service::notify::Notifier,
    source,
    spool::{self, recover::Recording},
    status::{Status, judge, listen::Listening, socket_of},
    telemetry::{Counter, with_causes},
};
use counting::{Counting, CountingSettings};
use drain_loop::DrainLoop;
use publish::Target;
use publishing::{PublishSettings, Publishing};
use sessions::SessionSettings;

pub use backlog::Backlog;
pub use error::{Error, ShutdownReport};
pub use whereabouts::Whereabouts;

/// How to start.
#[derive(Clone, Default)]
pub struct Options {
    /// Start although an interface does not exist yet.
    pub wait: bool,
    /// How to attach.
    pub attach: AttachMode,
    /// Where to note where the counts are.
    pub whereabouts: Whereabouts,
    /// How the daemon is, for whoever asks.
    pub status: Status,
}

/// What was done, when it ended well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Packets that the interfaces saw.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Flow rows that were stored.
    pub flows: u64,
    /// Files that were stored.
    pub files: u64,
}

impl Summary {
    /// What the snapshot has of it.
    fn of(status: &Status) -> Self {
        let store = status.now().store;
        Self {
            packets: store.packets_total,
            bytes: store.bytes_total,
            flows: store.flows_total,
            files: store.files_total,
        }
    }
}

/// The counters of what can happen, of each room.
static COUNTERS: &[&[&Counter]] = &[
    &capture::events::COUNTERS,
    &source::events::COUNTERS,
    &source::subscribers::COUNTERS,
    &drain_loop::events::COUNTERS,
    &spool::incidents::COUNTERS,
    &windows::events::COUNTERS,
    &sessions::COUNTERS,
    &publish::COUNTERS,
    &expiry::events::COUNTERS,
    &keep::events::COUNTERS,
];

/// Epochs in the spool of which nobody took notice yet.
const WAITING_EPOCHS: usize = 64;

/// Runs until `shutdown`, then stores what is open.
///
/// Must be called within a tokio runtime of one thread, whose network namespace is the one to be
/// looked at.
pub async fn run(
    config: &Config,
    options: &Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let mut shutdown = pin!(shutdown);
    let notifier = notifier();
    let status = &options.status;
    status.watch(COUNTERS);
    snapshot::configured(status, config);
    let (drained_in, drained) = mpsc::channel(WAITING_EPOCHS);
    let Config {
        gateway,
        policy,
        interfaces,
        capture,
        store,
        times,
        spool,
        status: _,
        retention,
        sources: _,
        subscribers: _,
    } = config;
    let recording =
        Recording { gateway: gateway.to_string(), policy: policy.hash(), window: times.window };
    let signals = (status, drained_in);
    let mut drain = DrainLoop::start(spool.clone(), recording, times.drain_interval, signals)?;
    let is_durable = spool.spool.is_some();
    let target = Target { store: store.clone(), gateway: gateway.to_string(), is_durable };
    let opening = async {
        let look = drain.opened().await?;
        let early = opening::open(&target, look.last > EpochNumber::ZERO).await?;
        Ok::<_, Error>((look, early))
    };
    let (look, early) = tokio::select! {
        opened = opening => opened?,
        () = &mut shutdown => return Ok(Summary::default()),
    };
    let settings = CountingSettings {
        interfaces,
        capture,
        policy,
        interval: times.drain_interval,
        pinned_as: is_durable.then_some(gateway.as_str()),
    };
    let (mut counting, counted) = Counting::start(&settings, options, &look)?;
    options.whereabouts.counting(spool.spool.clone());
    snapshot::counting(status);
    notifier.ready();
    start_line::report(config, &counting);
    drain.begin(counted);
    let _listening = listen(config, status);

    let mut recovered = drain.recovered();
    let mut waiting = Some((drained, early));
    let mut publishing: Option<Publishing> = None;
    let settings = PublishSettings {
        target,
        retention: retention.clone(),
        spool: spool.spool.clone(),
        sessions: SessionSettings::of(config),
    };
    let publish =
        |found, (news, early)| Publishing::start(settings.clone(), options, found, news, early);
    // One for all turns: it knows what it has shown.
    let mut shown = pin!(show(status, &notifier, times.drain_interval));
    let stopped = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            () = counting.follow() => {}
            () = drain.ended() => break Ok(()),
            () = drain.keep_alive(&notifier, times.drain_interval) => {}
            () = &mut shown => {}
            found = &mut recovered, if waiting.is_some() => match found {
                Ok(found) => publishing = waiting.take().map(|waiting| publish(found, waiting)),
                // The drain has ended, and tells why.
                Err(_) => break Ok(()),
            },
            ended = ended(&mut publishing) => break ended,
        }
    };
    let deadline = Instant::now() + times.shutdown_timeout;
    snapshot::ending(status);
    notifier.stopping();
    // Detached first, so that the last epoch has everything that was ever counted.
    drop(counting);
    drain.stop();
    if let Some(publishing) = &publishing {
        publishing.stop(deadline);
    }
    if let Some(waiting) = waiting
        && let Ok(Ok(found)) = timeout_at(deadline, recovered).await
    {
        let started = publish(found, waiting);
        started.stop(deadline);
        publishing = Some(started);
    }
    let drained = drain.finish(deadline).await;
    let published = match publishing {
        Some(publishing) => publishing.finish(deadline).await,
        None => Ok(()),
    };
    options.whereabouts.forget();
    stopped?;
    conclude(times.shutdown_timeout, spool.spool.clone(), drained, published)?;
    Ok(Summary::of(status))
}

/// Answers whoever asks how the daemon is; counting does not depend on it.
fn listen(config: &Config, status: &Status) -> Option<Listening> {
    let path = config.status.status_socket.clone().unwrap_or_else(|| socket_of(&config.gateway));
    if path.as_os_str().is_empty() {
        return None;
    }
    Listening::start(&path, status)
        .inspect_err(|error| {
            tracing::warn!("{}; `flowlog status` has no answer", with_causes(error));
        })
        .ok()
}

/// Shows the service manager how the daemon is, when that changes; never returns.
async fn show(status: &Status, notifier: &Notifier, interval: Duration) {
    let mut shown = String::new();
    let mut ticks = tokio::time::interval(interval.max(LEAST_SHOWN));
    loop {
        ticks.tick().await;
        let headline = judge::headline(&status.now(), false);
        if headline != shown {
            notifier.status(&headline);
            shown = headline;
        }
    }
}

/// The service manager is shown no more often how the daemon is.
const LEAST_SHOWN: Duration = Duration::from_secs(1);

/// The service manager, if it can be told anything: counting does not depend on it.
fn notifier() -> Notifier {
    Notifier::from_environment().unwrap_or_else(|error| {
        tracing::error!("{}", with_causes(&error));
        Notifier::default()
    })
}

async fn ended(publishing: &mut Option<Publishing>) -> Result<(), Error> {
    match publishing {
        Some(publishing) => publishing.ended().await,
        None => std::future::pending().await,
    }
}

/// The whole of what could not be done within the time for shutting down.
fn conclude(
    timeout: Duration,
    spool: Option<PathBuf>,
    drained: Result<(), Error>,
    published: Result<(), Error>,
) -> Result<(), Error> {
    let is_drained = drained.is_ok();
    let unfinished = |unstored, is_gathered, store| {
        let report = ShutdownReport { timeout, unstored, is_gathered, spool, is_drained, store };
        Err(Error::Unfinished(report))
    };
    match (drained, published) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()) | Err(Error::NotDrained | Error::NotRecovered), published) => match published {
            Ok(()) => unfinished(Backlog::default(), true, None),
            Err(Error::NotGathered) => unfinished(Backlog::default(), false, None),
            Err(Error::NotPublished { windows, rows, is_gathered, source, .. }) => {
                unfinished(Backlog { windows, rows }, is_gathered, source)
            }
            Err(other) if is_drained => Err(other),
            Err(other) => {
                tracing::error!("{}", with_causes(&other));
                unfinished(Backlog::default(), true, None)
            }
        },
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(other)) => {
            tracing::error!("{}", with_causes(&other));
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::COUNTERS;

    #[test]
    fn each_counter_is_reported_once_and_by_a_name_of_its_own() {
        let counters: Vec<_> = COUNTERS.iter().copied().flatten().collect();
        let names: BTreeSet<_> = counters.iter().map(|counter| counter.reading().0).collect();
        assert_eq!(names.len(), counters.len());
    }
}
