//! The daemon: start order, channels, shutdown.
//!
//! ```text
//! thread      drain ──epochs──▶ aggregate ──windows──▶ publish        tasks
//! task        capture: attach when interfaces come, forget them when they go
//! task        retention, when configured
//! ```
//!
//! The channels are bounded: when the store is away, the drain stops, and the kernel's maps fill
//! and account for what they cannot hold.

mod drain_loop;
mod publish;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    aggregate::{Aggregator, window::Window},
    capture::{self, AttachMode, Capture, MapSizes, Program, presence::Presence, watch::LinkWatch},
    clock,
    config::{Config, InterfacePattern, Retention},
    drain::{self, Drainer, Epoch},
    encode::{self, Provenance},
    retain,
    store::{self, Store},
};
use drain_loop::DrainLoop;
use publish::Publisher;

/// Why the daemon stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A named interface does not exist, and nobody said to wait for it.
    #[error("there is no interface {pattern}; name one that exists, or wait for it with --wait")]
    NoInterface {
        /// The interface.
        pattern: InterfacePattern,
    },
    /// Capturing packets.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// Draining the kernel's maps.
    #[error(transparent)]
    Drain(#[from] drain::Error),
    /// Encoding a window.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The store cannot be used.
    #[error("the store {url} cannot be used")]
    Store {
        /// The store.
        url: String,
        /// Why.
        source: store::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the drain thread")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// A part of the daemon ended before it was told to.
    #[error("the {part} ended unexpectedly")]
    Ended {
        /// Which part.
        part: &'static str,
    },
    /// The time for shutting down was over before everything was stored.
    #[error(
        "not everything could be stored within the {timeout:?} that a shutdown may take: {windows} windows with {rows} flow rows are lost"
    )]
    NotPublished {
        /// How long it was tried.
        timeout: Duration,
        /// Windows that are not in the store.
        windows: usize,
        /// Their rows.
        rows: usize,
        /// What the store said last.
        source: Option<store::Error>,
    },
}

/// How to start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Start although an interface does not exist yet.
    pub wait: bool,
    /// How to attach.
    pub attach: AttachMode,
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

/// Interface names that one run can tell apart.
const MAX_INTERFACES: u16 = 256;
/// Epochs that wait for aggregation.
const WAITING_EPOCHS: usize = 4;
/// Windows that wait for the store: an hour of the default length.
const WAITING_WINDOWS: usize = 12;

/// Runs until `shutdown`, then stores what is open.
///
/// Must be called within a tokio runtime of one thread, whose network namespace is the one to be
/// looked at.
pub async fn run(
    config: &Config,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let store = open_store(config).await?;
    let sizes = MapSizes {
        flows_v4: config.max_flows_v4,
        flows_v6: config.max_flows_v6,
        overflow: config.max_overflow,
        interfaces: MAX_INTERFACES,
    };
    let (program, maps) = Program::load(sizes, &config.policy)?;
    let presence = Arc::new(Presence::new(MAX_INTERFACES));
    let drainer = Drainer::new(maps, Arc::clone(&presence))?;
    let mut capture = Capture::new(program, options.attach, presence);
    // Listening begins before the first look, so that nothing happens in between.
    let watch = LinkWatch::new()?;
    first_scan(&mut capture, config, options)?;

    let (epochs_in, epochs) = mpsc::channel(WAITING_EPOCHS);
    let (windows_in, windows) = mpsc::channel(WAITING_WINDOWS);
    let drain = DrainLoop::start(drainer, config.drain_interval, epochs_in)?;
    let aggregate = tokio::spawn(aggregate(Aggregator::new(config.window), epochs, windows_in));
    let from = Provenance { gateway: config.gateway.clone(), policy: config.policy.hash() };
    let publisher = Publisher::start(store.clone(), from, windows);
    let retention = config
        .retention
        .clone()
        .map(|retention| tokio::spawn(keep_expiring(store, retention, config.gateway.clone())));

    let stopped = {
        let follow = follow_interfaces(&mut capture, &watch, &config.interfaces);
        tokio::select! {
            () = shutdown => Ok(()),
            outcome = follow => outcome.map_err(Error::from),
            () = drain.ended() => Ok(()),
        }
    };
    // Detached first, so that the last epoch has everything that was ever counted.
    drop(capture);
    drop(watch);
    if let Some(retention) = retention {
        retention.abort();
    }
    // Together: where the store is away, it is the publisher's giving up that frees the drain.
    let (last_drain, summary) =
        tokio::join!(drain.stop(), publisher.finish(config.shutdown_timeout));
    if aggregate.await.is_err() {
        return Err(Error::Ended { part: "aggregation" });
    }
    stopped?;
    last_drain?;
    summary
}

async fn open_store(config: &Config) -> Result<Store, Error> {
    let failed = |source| Error::Store { url: config.store.clone(), source };
    let store = Store::create(&config.store).map_err(failed)?;
    store.probe(&config.gateway).await.map_err(failed)?;
    Ok(store)
}

fn first_scan(capture: &mut Capture, config: &Config, options: Options) -> Result<(), Error> {
    let changes = capture.scan(&config.interfaces)?;
    report(&changes);
    if let Some(error) = changes.failed.into_iter().next() {
        return Err(error.into());
    }
    let is_missing =
        |pattern: &&InterfacePattern| pattern.is_name() && !capture.is_attached(pattern);
    match config.interfaces.iter().find(is_missing) {
        Some(pattern) if !options.wait => Err(Error::NoInterface { pattern: pattern.clone() }),
        _ => Ok(()),
    }
}

/// Attaches to interfaces that appear and forgets those that go; ends only in an error.
async fn follow_interfaces(
    capture: &mut Capture,
    watch: &LinkWatch,
    patterns: &[InterfacePattern],
) -> Result<(), capture::Error> {
    loop {
        watch.changed().await?;
        let changes = capture.scan(patterns)?;
        report(&changes);
        for error in changes.failed {
            tracing::error!("{}", crate::telemetry::with_causes(&error));
        }
    }
}

fn report(changes: &capture::Changes) {
    for name in &changes.attached {
        tracing::info!(interface = name, "attached");
    }
    for name in &changes.detached {
        tracing::info!(interface = name, "gone");
    }
}

async fn aggregate(
    mut aggregator: Aggregator,
    mut epochs: mpsc::Receiver<Epoch>,
    windows: mpsc::Sender<Window>,
) {
    while let Some(epoch) = epochs.recv().await {
        for window in aggregator.add(&epoch, clock::quality().max_error) {
            if windows.send(window).await.is_err() {
                return;
            }
        }
    }
    if let Some(window) = aggregator.finish()
        && windows.send(window).await.is_err()
    {
        tracing::error!("the last window is lost: publishing ended before");
    }
}

/// Deletes what has expired, again and again.
async fn keep_expiring(store: Store, retention: Retention, gateway: String) {
    let mut ticks = tokio::time::interval(retention.interval);
    loop {
        ticks.tick().await;
        if let Err(error) = expire(&store, &retention, &gateway).await {
            tracing::error!("retention: {}", crate::telemetry::with_causes(&error));
        }
    }
}

async fn expire(store: &Store, retention: &Retention, gateway: &str) -> Result<(), store::Error> {
    let plan = retain::plan(&store.list().await?, &retention.keep, clock::now(), Some(gateway));
    for object in &plan.foreign {
        tracing::debug!(%object, "retention keeps what is not a file of flowlog");
    }
    retain::run(store, &plan, |expired| {
        tracing::info!(partition = expired.partition.folder(), "expired");
    })
    .await
}
