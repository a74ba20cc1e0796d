//! A gateway in a model: its kernel, its daemon, its disk and its stores.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use fastrand::Rng;
use flowlog_common::flow::{Direction, FlowKeyV4};
use tokio::sync::watch;

use super::{
    events::Events,
    store::{self, ModelStore},
};
use crate::{
    record::{
        clock::{MonotonicNs, Offset, Utc},
        epoch::{Epoch, EpochNumber},
    },
    service::{
        publish::{Target, Worker},
        windows::{Shared, provisional, try_part, try_windows},
    },
    spool::{
        self, Epochs, HourFile, Spool,
        disk::SharedDisk,
        model::{
            disk::{ModelDisk, ROOT},
            real::Real,
        },
        recover::{Recording, recover},
        run::Run,
        tests::{epoch, key},
        windows::Windows,
    },
    store::Store,
};

const SECOND: i64 = 1_000_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
/// When the histories begin: 2026-03-01, 09:50.
const BEGINS: i64 = 1_772_358_600 * SECOND;

/// An epoch that was counted.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) opened: i64,
    pub(super) closed: i64,
    /// Whether a daemon was told that it is safe.
    pub(super) is_drained: bool,
}

/// What outlives the daemon, and not a power loss.
#[derive(Debug)]
struct Kernel {
    number: u64,
    opened: i64,
    uid: u32,
    /// Closed, and its maps not cleared.
    left: Option<Arc<Epoch>>,
}

struct Daemon {
    spool: Arc<Spool>,
    epochs: Epochs,
    windows: Windows,
    shared: Shared,
    worker: Worker,
    /// Windows that could not be stored yet.
    waiting: Vec<Vec<Run>>,
    watch: watch::Sender<Option<Store>>,
}

/// All of it.
pub(super) struct World {
    pub(super) random: Rng,
    pub(super) disk: ModelDisk,
    pub(super) stores: BTreeMap<&'static str, ModelStore>,
    pub(super) gateway: &'static str,
    pub(super) store: &'static str,
    pub(super) limit: u64,
    pub(super) now: i64,
    pub(super) truth: BTreeMap<u32, Truth>,
    /// Whether the maps are cleared before their epoch is safe.
    pub(super) clears_early: bool,
    /// Nothing where a history has no events.
    pub(super) events: Option<Events>,
    kernel: Option<Kernel>,
    daemon: Option<Daemon>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    pub(super) fn new(seed: u64, is_real: bool) -> Self {
        fastrand::seed(seed);
        let disk = if is_real { ModelDisk::on(Real::new()) } else { ModelDisk::default() };
        let stores = ["mem://one/", "mem://two/"].map(|url| (url, store::make(url, &disk)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self {
            random: Rng::with_seed(seed),
            disk,
            stores: stores.into(),
            gateway: "gw1",
            store: "mem://one/",
            limit: u64::MAX,
            now: BEGINS,
            truth: BTreeMap::new(),
            clears_early: false,
            events: None,
            kernel: None,
            daemon: None,
            runtime,
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        self.daemon.is_some()
    }

    pub(super) fn advance(&mut self, ns: i64) {
        self.now += ns;
    }

    fn uid(&mut self) -> u32 {
        let uid = u32::try_from(self.truth.len()).unwrap() + 1;
        let truth = Truth { opened: self.now, closed: self.now, is_drained: false };
        self.truth.insert(uid, truth);
        uid
    }

    /// A process that was killed does nothing any more.
    pub(super) fn bury(&mut self) {
        if self.disk.is_dead() {
            self.end();
        }
    }

    pub(super) fn kill(&mut self) {
        self.disk.kill();
        self.end();
    }

    fn end(&mut self) {
        self.daemon = None;
        self.events.iter_mut().for_each(Events::end);
    }

    pub(super) fn lose_power(&mut self) {
        self.kill();
        self.disk.lose_power(&mut self.random);
        self.kernel = None;
    }

    pub(super) fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        self.disk.revive();
        let disk = SharedDisk(Arc::new(self.disk.clone()));
        let Ok(spool) = Spool::on(disk, Path::new(ROOT), self.limit) else { return };
        let spool = Arc::new(spool);
        let guess = spool.last_number_by_names().get();
        let goes_on = self.kernel.is_some();
        if !goes_on {
            let uid = self.uid();
            self.kernel = Some(Kernel { number: guess + 2, opened: self.now, uid, left: None });
        }
        let recording = Recording {
            gateway: self.gateway.to_owned(),
            policy: "policy".to_owned(),
            window: Duration::from_mins(1),
        };
        let Ok(recovered) = recover(&spool, recording) else { return };
        let target =
            Target { store: self.store.into(), gateway: self.gateway.to_owned(), is_durable: true };
        let mut daemon = Daemon {
            spool,
            epochs: recovered.epochs,
            windows: Windows::default(),
            shared: Shared::new(recovered.files),
            worker: Worker::new(target, None, store::open),
            waiting: vec![],
            watch: watch::channel(None).0,
        };
        let last = daemon.epochs.last().get();
        let Some(kernel) = &mut self.kernel else { return };
        if kernel.left.as_ref().is_some_and(|left| left.number.get() <= last) {
            kernel.left = None;
        }
        // What the names told was a guess.
        let before = kernel.number;
        kernel.number = kernel.number.max(last + if goes_on { 1 } else { 2 });
        if goes_on {
            let number = EpochNumber::new(kernel.number);
            daemon.epochs.renumbered(EpochNumber::new(before), number, Utc::from_ns(kernel.opened));
        }
        daemon.epochs.counting_since(Utc::from_ns(self.now));
        for run in recovered.found {
            daemon.waiting.extend(daemon.windows.add(run));
        }
        let spool = Arc::clone(&daemon.spool);
        self.daemon = Some(daemon);
        if let Some(events) = &mut self.events {
            events.start(&spool, self.gateway);
        }
        self.gather();
        self.bury();
    }

    /// Ends the epoch that is counted in, and makes it durable, unless the one before is not yet.
    pub(super) fn drain(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        if self.kernel.as_ref().is_some_and(|kernel| kernel.left.is_none()) {
            self.close();
        }
        let (Some(daemon), Some(kernel)) = (&mut self.daemon, &mut self.kernel) else { return };
        let Some(left) = kernel.left.take() else { return };
        if !self.clears_early {
            kernel.left = Some(Arc::clone(&left));
        }
        match daemon.epochs.append(&left, Duration::ZERO) {
            Ok(run) => {
                if let Some(truth) = self.truth.get_mut(&uid_of(&left)) {
                    truth.is_drained = true;
                }
                kernel.left = None;
                daemon.waiting.extend(daemon.windows.add(run));
            }
            Err(spool::Error::Full { .. }) if !daemon.shared.let_all_go() => {
                daemon.waiting.extend(daemon.windows.finish());
            }
            Err(_) => {}
        }
        if let Some(events) = &mut self.events {
            events.append(self.now);
        }
        self.gather();
        self.bury();
    }

    fn close(&mut self) {
        self.advance(1);
        let now = self.now;
        let next = self.uid();
        let Some(kernel) = &mut self.kernel else { return };
        if let Some(truth) = self.truth.get_mut(&kernel.uid) {
            truth.closed = now;
        }
        kernel.left = Some(Arc::new(counted(kernel, now)));
        (kernel.number, kernel.opened, kernel.uid) = (kernel.number + 1, now, next);
    }

    /// Makes runs of the windows that are over.
    fn gather(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let waiting = std::mem::take(&mut daemon.waiting);
        (daemon.waiting, _) = try_windows(&daemon.shared, waiting);
    }

    /// Publishes what can be published.
    pub(super) fn publish(&mut self, open: Option<&HourFile>) -> bool {
        self.gather();
        let Some(daemon) = &mut self.daemon else { return true };
        daemon.worker.forget_pauses();
        self.events.iter_mut().for_each(Events::release);
        let pass = daemon.worker.pass(&daemon.shared, open, &daemon.watch);
        let is_done = self.runtime.block_on(pass).is_ok_and(|again| again.is_none());
        self.bury();
        is_done
    }

    /// Nothing is wrong with the disk any more.
    pub(super) fn events_must_work(&mut self) {
        if let Some(events) = &mut self.events {
            events.must_work(self.now);
        }
    }

    /// Ends the daemon as SIGTERM does.
    pub(super) fn stop(&mut self) {
        self.drain();
        self.gather();
        let open = self.daemon.as_mut().and_then(|daemon| {
            let open = daemon.windows.finish()?;
            let mut parts = daemon.shared.lock().parts_of(open);
            let open = parts.pop()?;
            for mut part in parts {
                try_part(&daemon.shared, &mut part).unwrap_or_default();
            }
            provisional(&daemon.shared, &open, &daemon.spool.scratch()).unwrap_or_default()
        });
        for _ in 0..6 {
            if self.publish(open.as_ref()) {
                break;
            }
        }
        self.end();
    }
}

fn uid_of(epoch: &Epoch) -> u32 {
    epoch.flows_v4.keys.first().map_or(0, |key| u32::from_be_bytes(key.remote) & 0x00ff_ffff)
}

/// What the maps hold: a flow of this epoch only, and one that all of them have.
fn counted(kernel: &Kernel, now: i64) -> Epoch {
    let [_, high, middle, low] = kernel.uid.to_be_bytes();
    let own = FlowKeyV4 { remote: [10, high, middle, low], ..key(9) };
    let flows = [(own, 0, Direction::Up), (key(1), 0, Direction::Up)];
    let mut counted = epoch(0, 0, &flows);
    let ns = |instant: i64| u64::try_from(instant).unwrap();
    for counters in &mut counted.flows_v4.values {
        (counters.first_ns, counters.last_ns) = (ns(kernel.opened), ns(kernel.opened));
    }
    let observed = &mut counted.totals[0].0;
    observed.from = MonotonicNs::from_ns(ns(kernel.opened));
    observed.to = MonotonicNs::from_ns(ns(now));
    counted.number = EpochNumber::new(kernel.number);
    counted.opened = Utc::from_ns(kernel.opened);
    counted.closed = Utc::from_ns(now);
    counted.offset = Offset::from_ns(0);
    counted
}
