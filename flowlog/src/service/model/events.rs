//! Events beside the epochs of a model: what was safe is read back once, or is named, and nothing else is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use fastrand::Rng;

use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    spool::{
        Error, Spool,
        events::{EventHeader, EventLog, NewEvent},
        model::disk::{ModelDisk, ROOT},
    },
};

const TABLE: &str = "sessions";

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// A daemon was told that it is safe.
    Safe(Identity),
    /// Its append failed, or the daemon did not live to hear of it.
    Open,
    /// Its append failed, and that is for good.
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    segment: String,
    number: u64,
    gateway: String,
}

/// What somebody knows who has seen all that happened to a spool. A copy of the spool has a copy of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    fates: BTreeMap<u64, Fate>,
    released: u64,
    /// Up to here a release may be durable that was not confirmed.
    may_be_released: u64,
    /// Lost events that somebody wrote down for good.
    reported: EpochSet,
    /// Files that were damaged or deleted.
    damaged: BTreeSet<PathBuf>,
}

pub(super) struct Events {
    random: Rng,
    log: Option<EventLog>,
    pub(super) truth: Truth,
    /// Events whose append failed in this process.
    failed: Vec<u64>,
    next: u64,
    /// All events that ever were safe, also in a spool that was set back.
    given: BTreeMap<Identity, u64>,
    /// What is wrong.
    pub(super) wrong: Option<String>,
}

fn body(event: u64) -> Vec<u8> {
    let length = usize::try_from(event * 37 % 90).unwrap();
    let mut body = event.to_le_bytes().to_vec();
    body.resize(8 + length, u8::try_from(event % 251).unwrap());
    body
}

impl Events {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            // Its own numbers, so that those of the rest do not depend on it.
            random: Rng::with_seed(seed ^ 0x00e7_e475),
            log: None,
            truth: Truth::default(),
            failed: vec![],
            next: 1,
            given: BTreeMap::new(),
            wrong: None,
        }
    }

    /// The process is no more.
    pub(super) fn end(&mut self) {
        self.log = None;
        self.failed.clear();
    }

    /// Somebody changes or deletes a file.
    pub(super) fn damage(&mut self, path: &Path) {
        self.truth.damaged.insert(path.to_owned());
    }

    /// A daemon starts, and reads what there is.
    pub(super) fn start(&mut self, spool: &Arc<Spool>, gateway: &str) {
        self.end();
        let Ok(mut log) = spool.events(TABLE, gateway) else { return };
        log.segment_bytes = self.random.u64(1..2_000);
        self.log = Some(log);
        if self.check(true).is_err() {
            self.end();
        }
    }

    /// Something happens to a member or two.
    pub(super) fn append(&mut self, now: i64) {
        let Some(log) = &mut self.log else { return };
        let gateway = log.gateway().to_owned();
        let events: Vec<u64> = (self.next..).take(self.random.usize(1..4)).collect();
        self.next += events.len() as u64;
        let bodies: Vec<Vec<u8>> = events.iter().map(|event| body(*event)).collect();
        let time = Utc::from_ns(now);
        let new: Vec<NewEvent<'_>> =
            bodies.iter().map(|body| NewEvent { time, kind: 3, body }).collect();
        let Ok(numbers) = log.append(&new) else {
            self.truth.fates.extend(events.iter().map(|event| (*event, Fate::Open)));
            self.failed.extend(events);
            return;
        };
        let segment = log.end().unwrap().segment.clone();
        for event in self.failed.drain(..) {
            self.truth.fates.insert(event, Fate::Never);
        }
        for (number, event) in numbers.zip(events) {
            let gateway = gateway.clone();
            self.safe(event, Identity { segment: segment.clone(), number, gateway });
        }
    }

    /// The store comes to have some, and somebody writes down what is lost.
    pub(super) fn release(&mut self) {
        let Some(log) = &mut self.log else { return };
        if self.random.u8(..4) == 0 {
            let lost =
                log.lost().iter().fold(EpochSet::default(), |all, lost| all.union(&lost.numbers));
            // Where that fails it may be so, and is written down all the same.
            log.reported(&lost).unwrap_or_default();
            self.truth.reported = self.truth.reported.union(&lost);
        }
        let through = self.random.u64(log.released()..=log.last());
        self.truth.may_be_released = self.truth.may_be_released.max(through);
        log.release(through).unwrap_or_default();
        self.truth.released = log.released();
        if self.random.u8(..4) == 0 {
            self.check(false).unwrap_or_default();
        }
    }

    fn safe(&mut self, event: u64, identity: Identity) {
        if let Some(other) = self.given.insert(identity.clone(), event)
            && other != event
        {
            self.wrong(format!("{identity:?} is both event {other} and event {event}"));
        }
        self.truth.fates.insert(event, Fate::Safe(identity));
    }

    fn wrong(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }

    /// Reads all events, and compares them with what happened. An error is one of the disk.
    fn check(&mut self, is_start: bool) -> Result<(), Error> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut found: Vec<(EventHeader, Vec<u8>)> = vec![];
        log.read(0, |header, body| {
            found.push((header, body.to_vec()));
            Ok::<_, Error>(())
        })?;
        let (released, last) = (log.released(), log.last());
        let missing =
            log.missing().union(&self.truth.reported).minus(&EpochSet::range(1, released));
        if released < self.truth.released || released > self.truth.may_be_released {
            self.wrong(format!("released up to {released}, of {}", self.truth.released));
        }
        self.truth.released = released;
        let mut numbers = missing.clone();
        let mut seen = BTreeSet::new();
        for (header, bytes) in found {
            let number = EpochSet::range(header.number, header.number);
            if numbers.meets(&number) {
                self.wrong(format!("{header:?} is named as lost, or there twice"));
            }
            numbers = numbers.union(&number);
            let event = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if bytes != body(event) || !seen.insert(event) {
                self.wrong(format!(
                    "{header:?} has the body of no event, or of one that was there"
                ));
            }
            self.compare(event, header, is_start);
        }
        if numbers != EpochSet::range(released + 1, last) {
            self.wrong(format!("events {numbers} are accounted for, of {released} to {last}"));
        }
        let fates = self.truth.fates.clone();
        for (event, fate) in fates {
            match fate {
                Fate::Safe(identity) if identity.number > released && !seen.contains(&event) => {
                    self.must_be_lost(event, &identity, &missing);
                }
                Fate::Open if is_start && !seen.contains(&event) => {
                    self.truth.fates.insert(event, Fate::Never);
                }
                _ => {}
            }
        }
        let is_damaged = !self.truth.damaged.is_empty();
        if !missing.is_empty() && !is_damaged {
            self.wrong(format!("events {missing} are named as lost, and nothing was damaged"));
        }
        Ok(())
    }

    fn compare(&mut self, event: u64, header: EventHeader, is_start: bool) {
        let EventHeader { segment, number, gateway, .. } = header;
        let found = Identity { segment, number, gateway };
        match self.truth.fates.get(&event) {
            Some(Fate::Safe(known)) if *known == found => {}
            Some(Fate::Open) if is_start => self.safe(event, found),
            fate => {
                let wrong = format!("event {event} is read as {found:?}, and was {fate:?}");
                self.wrong(wrong);
            }
        }
    }

    /// An event is lost that was safe: it must be named, and its segment must have been damaged.
    fn must_be_lost(&mut self, event: u64, identity: &Identity, missing: &EpochSet) {
        let number = identity.number;
        if !missing.meets(&EpochSet::range(number, number)) {
            self.wrong(format!("event {event} is missing without a word: {identity:?}"));
        }
        let is_of = |path: &&PathBuf| path.to_string_lossy().contains(&identity.segment);
        if !self.truth.damaged.iter().any(|path| is_of(&path)) {
            self.wrong(format!(
                "event {event} is lost, and its segment was not damaged: {identity:?}"
            ));
        }
    }

    /// All is well: the log is open, and takes events.
    pub(super) fn must_work(&mut self, now: i64) {
        let before = self.given.len();
        self.append(now);
        if self.given.len() == before {
            self.wrong(format!("no event can be appended: {:?}", self.log));
        }
        if let Err(error) = self.check(false) {
            self.wrong(format!("events cannot be read: {error:?}"));
        }
    }

    /// Whether a path is one of events.
    pub(super) fn owns(path: &Path) -> bool {
        path.starts_with(Path::new(ROOT).join("events"))
    }

    /// A stranger comes to the events.
    pub(super) fn stray(&mut self, disk: &ModelDisk) {
        let names = ["notes.txt", "1.unfinished", "sessions/notes.txt", "sessions/2.unfinished"];
        let path = Path::new(ROOT).join("events").join(names[self.random.usize(..names.len())]);
        let content = self.random.bool().then(|| b"stray".to_vec());
        disk.put(&path, content);
    }
}
