//! A gateway over a midnight.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use fastrand::Rng;

use super::super::{
    publish::DayPublisher,
    recorder::Recorder,
    tracker::{
        ClockState,
        tests::{peer, report, second},
    },
};
use crate::{
    record::{
        redacted::Address,
        session::{Content, Entry, Outer},
    },
    service::model::store::{self, ModelStore, Trouble},
    spool::{
        Spool,
        disk::SharedDisk,
        model::disk::{Fault, ModelDisk, ROOT},
    },
    store::Store,
};

/// How the process dies, once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    Never,
    /// At an operation of the disk.
    OfDisk {
        step: u64,
        loses_power: bool,
    },
    /// At a request to the store, before it is done or when it is.
    OfStore {
        step: u64,
        is_done: bool,
    },
}

/// Seconds between two looks.
const POLL: i64 = 5;
/// The looks: before midnight, and after it.
const SECONDS: (i64, i64) = (86_400 - 25, 86_400 + 40);
/// How often all that has changed is put.
const PUT: i64 = 10;
const URL: &str = "mem://midnight/";

/// A gateway, and all that somebody knows who saw it.
pub(super) struct History {
    pub(super) disk: ModelDisk,
    pub(super) store: ModelStore,
    runtime: tokio::runtime::Runtime,
    daemon: Option<(Recorder, DayPublisher)>,
    death: Death,
    absence: i64,
    /// Until here nobody starts a daemon.
    back: i64,
    pub(super) deaths: usize,
    /// What could not be written down or put.
    pub(super) failures: usize,
    /// The looks that are durable, by their seconds.
    pub(super) looks: BTreeMap<i64, Vec<Entry>>,
    /// Seconds of two looks between which no daemon lived.
    pub(super) absences: Vec<(i64, i64)>,
    is_absent: bool,
    /// Operations of the disk and requests to the store, until all is well.
    pub(super) steps: (u64, u64),
}

/// Who is there at a second: one who stays, one who goes, one who comes at midnight, one whose endpoint changes at
/// midnight, and one who is there for a moment on either side of it.
fn there(at: i64) -> Vec<Entry> {
    let midnight = 86_400;
    let begins = SECONDS.0 - 1_000;
    let mut there = vec![peer(1, begins, &["10.0.0.1/32", "2001:db8:1::/56"])];
    let mut add = |number: u8, since: i64, prefix: &str| there.push(peer(number, since, &[prefix]));
    if at < midnight - 5 {
        add(2, begins, "10.0.0.2/32");
    }
    if at >= midnight {
        add(3, midnight, "10.0.0.3/32");
    }
    add(4, begins, "10.0.0.4/32");
    if (midnight - 10..midnight).contains(&at) {
        add(5, midnight - 10, "10.0.0.5/32");
    }
    if (midnight + 5..midnight + 15).contains(&at) {
        add(6, midnight + 3, "10.0.0.5/32");
    }
    if at >= midnight {
        let outer = Outer { address: Address::from([203, 0, 113, 4]), port: Some(2) };
        there.iter_mut().filter(|entry| is_fourth(entry)).for_each(|of| of.outer = Some(outer));
    }
    there
}

fn is_fourth(entry: &Entry) -> bool {
    entry.key == peer(4, 0, &[]).key
}

impl History {
    pub(super) fn new(death: Death, absence: i64) -> Self {
        let disk = ModelDisk::default();
        let store = store::make(URL, &disk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        match death {
            Death::Never => {}
            Death::OfDisk { step, .. } => disk.set_fault(step, Fault::Kill),
            Death::OfStore { step, is_done: false } => store.set_trouble(step, Trouble::Before),
            Death::OfStore { step, is_done: true } => store.set_trouble(step, Trouble::After),
        }
        Self {
            disk,
            store,
            runtime,
            daemon: None,
            death,
            absence,
            back: 0,
            deaths: 0,
            failures: 0,
            looks: BTreeMap::new(),
            absences: vec![],
            is_absent: false,
            steps: (0, 0),
        }
    }

    /// Looks and puts until after midnight; then all is well, and the day before is over.
    pub(super) fn play(&mut self) {
        let mut at = SECONDS.0;
        while at <= SECONDS.1 {
            if at >= self.back {
                self.start();
                self.look(at);
                if at % PUT == 0 {
                    self.put(at);
                }
            }
            at += POLL;
        }
        self.steps = (self.disk.operations(), self.store.requests());
        self.disk.revive();
        self.store.be_sound();
        for _ in 0..2 {
            self.start();
            self.look(at);
            self.put(at);
            at += POLL;
        }
        assert!(self.daemon.is_some());
    }

    fn start(&mut self) {
        if self.daemon.is_some() {
            return;
        }
        let disk = SharedDisk(Arc::new(self.disk.clone()));
        let opened = Spool::on(disk, Path::new(ROOT), u64::MAX)
            .ok()
            .and_then(|spool| Recorder::open(&Arc::new(spool), "gw1").ok());
        match opened {
            Some(recorder) => {
                let publisher = DayPublisher::new(recorder.days().clone());
                self.daemon = Some((recorder, publisher));
            }
            // The daemon tries it again.
            None => self.failures += 1,
        }
    }

    fn look(&mut self, at: i64) {
        let Some((recorder, _)) = &mut self.daemon else { return self.bury(at) };
        if recorder.is_behind() {
            // No report is taken meanwhile; time passes.
            let passed = recorder.tracker.pass_time(second(at));
            let written = recorder.record(second(at), passed);
            self.failures += usize::from(written.is_err());
            if written.is_err() || recorder.is_behind() {
                return self.bury(at);
            }
            // What waited is durable now.
            self.know();
            return;
        }
        let entries = there(at);
        let report = report(at, Content::Listing(entries));
        let clock = ClockState::default();
        let mut events = recorder.tracker.take(report, Duration::from_secs(5), clock);
        events.extend(recorder.tracker.pass_time(second(at)));
        let written = recorder.record(second(at), events);
        self.failures += usize::from(written.is_err());
        if written.is_ok() {
            self.know();
        }
        self.bury(at);
    }

    /// Notes the look that the events in the spool end with.
    fn know(&mut self) {
        let Some((recorder, _)) = &self.daemon else { return };
        let Some(at) = recorder.days().looked_at("gw1") else { return };
        let at = (at.ms() - second(0).ms()) / 1_000;
        let last = self.looks.last_key_value().map(|(last, _)| *last);
        if last == Some(at) {
            return;
        }
        if let Some(last) = last.filter(|_| self.is_absent) {
            self.absences.push((last, at));
        }
        self.is_absent = false;
        self.looks.insert(at, there(at));
    }

    fn put(&mut self, at: i64) {
        let Some((recorder, publisher)) = &mut self.daemon else { return };
        let store: Store = store::open(URL).unwrap();
        let put = self.runtime.block_on(publisher.publish(&store));
        self.failures += usize::from(put.is_err());
        match (put, self.death) {
            (Ok(()), _) => {
                let released = recorder.release();
                self.failures += usize::from(released.is_err());
            }
            (Err(_), Death::OfStore { .. }) => self.disk.kill(),
            (Err(_), _) => {}
        }
        self.bury(at);
    }

    /// A process that was killed is no more; what is durable is what the next one finds.
    fn bury(&mut self, at: i64) {
        if !self.disk.is_dead() {
            return;
        }
        self.daemon = None;
        self.deaths += 1;
        self.is_absent = true;
        self.back = at + self.absence;
        if let Death::OfDisk { loses_power: true, step } = self.death {
            self.disk.lose_power(&mut Rng::with_seed(step));
        }
        self.disk.revive();
        // The last look may be durable although nobody was told so.
        self.start();
        self.know_after_death();
        self.daemon = None;
    }

    fn know_after_death(&mut self) {
        let is_absent = std::mem::replace(&mut self.is_absent, false);
        self.know();
        self.is_absent = is_absent;
    }
}
