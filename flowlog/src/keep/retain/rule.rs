//! What is to be deleted, and by which instant.

use std::collections::BTreeMap;

use super::Scope;
use crate::{
    config::RetentionSettings,
    record::{clock::Utc, period::Period},
    table::{SESSIONS, Table, description::RETENTION_OF_FLOWS},
};

/// How long tables are kept, by the names of their [retention](Table::retention). What has no period is kept.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    periods: BTreeMap<&'static str, Period>,
}

impl Keep {
    /// A period for flows and their ledger, and none for any other table.
    #[must_use]
    pub fn flows(period: Period) -> Self {
        Self { periods: BTreeMap::from([(RETENTION_OF_FLOWS, period)]) }
    }

    /// The periods of a configuration: that of flows, and that of sessions where they have one.
    #[must_use]
    pub fn configured(retention: &RetentionSettings) -> Self {
        let keep = Self::flows(retention.keep);
        match &retention.sessions {
            Some(sessions) => keep.with(&SESSIONS, sessions.keep),
            None => keep,
        }
    }

    /// A period for the tables that are kept with one, and none for any other table.
    #[must_use]
    pub fn only(table: &Table, period: Period) -> Self {
        Self::default().with(table, period)
    }

    /// A period also for a table, and for those that are kept with it.
    #[must_use]
    pub fn with(mut self, table: &Table, period: Period) -> Self {
        self.periods.insert(table.retention, period);
        self
    }

    /// The period of a table, where it has one.
    #[must_use]
    pub fn of(&self, table: &Table) -> Option<Period> {
        self.periods.get(table.retention).copied()
    }
}

/// What is to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// How long data are kept after their partition has ended.
    pub keep: &'a Keep,
    /// The instant to judge by.
    pub at: Utc,
    /// What the clock reads, or a later instant to judge by: nothing can have been recorded after it.
    pub now: Utc,
    /// Only these files; `None`: those of all gateways.
    pub gateways: Option<&'a [Scope]>,
}

impl Rule<'_> {
    /// Whether what a table has that ended then is to be kept no longer.
    #[must_use]
    pub fn is_over(&self, table: &Table, end: Utc) -> bool {
        // A period that ends after the calendar never does.
        let expiry = self.keep.of(table).and_then(|period| period.after(end));
        expiry.is_some_and(|expiry| expiry <= self.at)
    }

    pub(super) fn is_of(&self, gateway: &str, start: Utc) -> bool {
        self.gateways.is_none_or(|scopes| scopes.iter().any(|scope| scope.has(gateway, start)))
    }
}
