//! Everything that retention looks at before it decides.

use std::collections::HashSet;

use super::{Date, RetentionPlan, Rule, Scope, guard, memory::Memory};
use crate::{
    record::clock::Utc,
    store::{self, Listing, Staged, Store},
    table::ObjectName,
};

/// What there is of a store.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Its objects, and what is odd about it.
    pub listing: Listing,
    /// Files that were being written.
    pub staged: Vec<Staged>,
    /// What was remembered the last time.
    pub memory: Memory,
    /// Whether the times of the objects are those of a clock that is not this machine's.
    pub has_own_clock: bool,
}

impl Inventory {
    /// Looks at a store.
    pub async fn of(store: &Store) -> Result<Self, store::Error> {
        Ok(Self {
            listing: store.survey().await?,
            staged: store.staged().await?,
            memory: Memory::read(store).await,
            has_own_clock: store.url().scheme() != "file",
        })
    }

    /// The newest record that says something of the time before `now`. `proven` is an instant that
    /// has passed for certain, by a clock that nobody can set.
    #[must_use]
    pub fn newest(&self, proven: Option<Utc>, now: Utc) -> Option<Utc> {
        let recorded = self.listing.objects.iter().filter_map(|object| {
            let begin = ObjectName::parse(&object.location)?.partition.start;
            let modified = Utc::from_ms(object.last_modified.timestamp_millis());
            // A file is not older than what is in it: this name is not what its records are of.
            (self.has_own_clock || begin <= modified.plus(guard::JUMP)).then_some(begin)
        });
        let has_been = |instant: &Utc| *instant <= now.plus(guard::TOLERANCE);
        let trusted = self.memory.trusted().filter(has_been);
        guard::newest(trusted.max(proven.filter(has_been)), recorded, now)
    }

    /// The wall clock was found to be wrong between two instants that it read: whatever these gateways
    /// recorded by it ended before `now`, and nobody knows when.
    pub fn misdate(&mut self, gateways: &[Scope], from: Utc, until: Utc, now: Utc) {
        for object in &self.listing.objects {
            let Some(name) = ObjectName::parse(&object.location) else { continue };
            let partition = name.partition;
            let is_of = gateways.iter().any(|scope| scope.has(&partition.gateway, partition.start));
            if is_of && partition.end() > from && partition.start <= until {
                self.memory.find(object.location.as_ref(), now);
            }
        }
    }

    /// What is to be remembered after a decision: the instant for which the clock was trusted, and
    /// files whose time nobody knows.
    #[must_use]
    pub fn remember(
        &self,
        rule: &Rule<'_>,
        is_refused: bool,
        newest: Option<Utc>,
        plan: &RetentionPlan,
    ) -> Memory {
        let mut memory = self.memory.clone();
        if is_refused {
            // So that what is recorded from now on does not make the clock right.
            if let Some(newest) = newest {
                memory.trust(newest);
            }
            return memory;
        }
        memory.trust(rule.now);
        for misdated in plan.misdated.iter().filter(|misdated| misdated.date == Date::Unknown) {
            memory.find(misdated.path.as_ref(), rule.now);
        }
        let objects = self.listing.objects.iter().map(|object| object.location.as_ref());
        let objects: HashSet<&str> = objects.collect();
        memory.keep_found(rule.now, |path| objects.contains(path));
        memory
    }
}
