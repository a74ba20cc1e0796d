//! Why sources cannot be looked at now, for `flowlog status`: the log has each cause once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Error;
use crate::{
    record::{
        clock::{self, Utc},
        session::Instance,
    },
    telemetry::with_causes,
};

/// The failures of all sources; each is there until its source answers again, or is gone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<Instance, Failure>>>);

/// Why a source, or a part of it, could not be looked at. No name, key or address of a member is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The last time.
    pub at: Utc,
    /// Why.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl Health {
    /// All failures of now.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<Instance, Failure> {
        self.lock().clone()
    }

    pub(super) fn failed(&self, instance: &Instance, error: &Error) {
        let failure = Failure {
            at: clock::now(),
            text: with_causes(error),
            remedy: error.remedy().to_owned(),
        };
        self.lock().insert(instance.clone(), failure);
    }

    pub(super) fn recovered(&self, instance: &Instance) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Instance, Failure>> {
        // Each change is a single one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
