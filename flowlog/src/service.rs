//! The daemon: start order, channels, shutdown.
//!
//! ```text
//! thread      drain ──epochs──▶ spool ──▶ gather ──runs of windows──▶ publish     tasks
//! task        capture: attach when interfaces come, forget them when they go
//! task        retention, when configured
//! ```
//!
//! Every epoch is in the spool before the kernel's maps are cleared, and leaves it when the store
//! has it. When the spool has no room the drain stops, and the kernel's maps fill and account for
//! what they cannot hold.

mod drain_loop;
mod error;
mod publish;
mod windows;

use std::{future::Future, sync::Arc, time::Instant};

use tokio::sync::{mpsc, watch};

use crate::{
    capture::{
        self, AttachMode, Capture, Loaded, MapSizes, Pins, Previous, Program, presence::Presence,
        watch::LinkWatch,
    },
    clock,
    config::{Config, InterfacePattern, Retention},
    drain::Drainer,
    notify::Notifier,
    retain,
    spool::{
        Spool,
        recover::{Recording, Recovered, recover},
    },
    store::{self, Store},
    telemetry::with_causes,
};
use drain_loop::DrainLoop;
use publish::{Publisher, Target};
use windows::Shared;

pub use error::Error;

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
const MAX_INTERFACES: u16 = MapSizes::MAX_INTERFACES;
/// Epochs in the spool of which nobody took notice yet.
const WAITING_EPOCHS: usize = 64;

/// Runs until `shutdown`, then stores what is open.
///
/// Must be called within a tokio runtime of one thread, whose network namespace is the one to be
/// looked at.
pub async fn run(
    config: &Config,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let spool = open_spool(config)?;
    let recording = Recording {
        gateway: config.gateway.clone(),
        policy: config.policy.hash(),
        window: config.window,
    };
    let Recovered { mut epochs, files, mut found, last } = recover(&spool, recording)?;
    let notifier = Notifier::from_environment()?;
    // What outlives the daemon is of use to those only who know what was spooled of it.
    let pins = if spool.is_durable() {
        Some(Pins::new(capture::reachable(&config.pins)?, config.gateway.clone()))
    } else {
        None
    };
    let Loaded { program, maps, found: left } =
        Program::load(MapSizes::configured(config), &config.policy, pins.as_ref())?;
    let presence = Arc::new(Presence::restore(MAX_INTERFACES, Arc::clone(&maps.control)));
    let mut drainer = Drainer::new(maps, Arc::clone(&presence), last_number(last, &left.previous))?;
    found.extend(drain_loop::finish_left(&mut drainer, &mut epochs, last)?);
    let number = drainer.number();
    drainer.number_after(last_of(&left.previous));
    epochs.renumbered(number, drainer.number());
    let mut capture = Capture::new(program, options.attach, presence);
    // Listening begins before the first look, so that nothing happens in between.
    let watch = LinkWatch::new()?;
    first_scan(&mut capture, config, options)?;
    epochs.counting_since(clock::now());
    let mut previous = left.previous;
    previous.sort_by_key(Previous::last_epoch);
    while !previous.is_empty() {
        let next = previous.remove(0);
        // No number is left out before those of the maps that are counted in.
        let upto = if previous.is_empty() { drainer.number() - 1 } else { 0 };
        found.extend(drain_loop::finish_previous(next, &mut epochs, last, upto)?);
    }
    notifier.ready();

    let shared = Shared::new(files);
    let (news_in, news) = mpsc::channel(WAITING_EPOCHS);
    let drain = DrainLoop::start(drainer, epochs, config.drain_interval, news_in)?;
    let gather = tokio::spawn(windows::gather(shared.clone(), found, news, spool.scratch()));
    let target = Target {
        store: config.store.clone(),
        gateway: config.gateway.clone(),
        is_durable: spool.is_durable(),
    };
    let stopping = shared.clone();
    let mut publisher = Publisher::start(target, shared);
    let store = publisher.store();
    let retention = config.retention.clone().map(|retention| {
        let (spool, gateway) = (Arc::clone(&spool), config.gateway.clone());
        tokio::spawn(keep_expiring(store, spool, retention, gateway))
    });

    let stopped = {
        let follow = follow_interfaces(&mut capture, &watch, &config.interfaces);
        let alive = drain.keep_alive(&notifier, config.drain_interval);
        tokio::select! {
            () = shutdown => Ok(()),
            outcome = follow => outcome.map_err(Error::from),
            () = drain.ended() => Ok(()),
            () = alive => Ok(()),
            ended = publisher.ended() => ended,
        }
    };
    notifier.stopping();
    stopping.stop(Instant::now() + config.shutdown_timeout);
    // Detached first, so that the last epoch has everything that was ever counted.
    drop(capture);
    drop(watch);
    if let Some(retention) = retention {
        retention.abort();
    }
    let last_drain = drain.stop().await;
    let open = gather.await.map_err(|_| Error::Ended { part: "aggregation" })??;
    let summary = publisher.finish(open, config.shutdown_timeout).await;
    stopped?;
    last_drain?;
    summary
}

fn open_spool(config: &Config) -> Result<Arc<Spool>, Error> {
    Ok(Arc::new(match &config.spool {
        Some(directory) => Spool::open(directory, config.spool_max_bytes)?,
        None => Spool::temporary()?,
    }))
}

/// The number after which new maps begin.
///
/// Maps of other sizes are drained later, and their epochs have the numbers before. Where nothing goes
/// on, or not all of it can be read, a number is left out: that is how the ledger comes to know of the
/// gap, also when this daemon does not live to write it down, since the maps keep their number.
fn last_number(last: u64, previous: &[Previous]) -> u64 {
    let before = last_of(previous);
    let is_whole = !previous.is_empty() && previous.iter().all(|found| found.counts().is_some());
    last.max(before) + u64::from(!is_whole)
}

/// The last number that an epoch in maps of other sizes may have.
fn last_of(previous: &[Previous]) -> u64 {
    previous.iter().map(Previous::last_epoch).max().unwrap_or(0)
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
            tracing::error!("{}", with_causes(&error));
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

/// Deletes what has expired, again and again.
async fn keep_expiring(
    mut store: watch::Receiver<Option<Store>>,
    spool: Arc<Spool>,
    retention: Retention,
    gateway: String,
) {
    let Ok(Some(store)) = store.wait_for(Option::is_some).await.map(|store| store.clone()) else {
        return;
    };
    let mut ticks = tokio::time::interval(retention.interval);
    loop {
        ticks.tick().await;
        let now = clock::now();
        match spool.expire_damaged(|written| retain::is_over(&retention.keep, written, now)) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "damaged runs in the spool expired"),
            Err(error) => tracing::error!("retention: {}", with_causes(&error)),
        }
        if let Err(error) = expire(&store, &retention, &gateway).await {
            tracing::error!("retention: {}", with_causes(&error));
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
