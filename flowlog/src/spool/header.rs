//! What a run says of itself: which epochs and windows it has, and their ledger.

use serde::{Deserialize, Serialize};

use crate::record::{clock::Utc, dated::Dated, epoch_set::EpochSet, window::WindowLedger};

/// The description of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// First and last number of the epochs that it was made of.
    pub epochs: (u64, u64),
    /// The numbers themselves, where some between those two are missing.
    #[serde(default)]
    pub numbers: Option<EpochSet>,
    /// When the last of them ended, nanoseconds of UTC: no later one has anything from before.
    pub closed_ns: i64,
    /// When the first of them began; not in runs of version 1.
    #[serde(default)]
    pub opened_ns: Option<i64>,
    /// Name of the gateway that counted; empty in runs of version 1.
    #[serde(default)]
    pub gateway: String,
    /// Whose the numbers are; empty in runs of version 1.
    #[serde(default)]
    pub numbering: String,
    /// What the flows were recorded under.
    pub policy: String,
    /// Interface names, to which the keys' slots point.
    pub interfaces: Vec<String>,
    /// The windows that it has something of, in their order.
    pub windows: Vec<WindowLedger>,
    /// IPv4 entries, then IPv6 entries.
    pub entries: (u64, u64),
    /// By which reading of the clock its epochs are dated; `None` where that was set in between, and
    /// in runs of version 1.
    #[serde(default)]
    pub dated: Option<Dated>,
}

impl Header {
    /// The numbers of its epochs.
    #[must_use]
    pub fn held(&self) -> EpochSet {
        let (first, last) = self.epochs;
        self.numbers.clone().unwrap_or_else(|| EpochSet::range(first, last))
    }

    /// When the last of its epochs ended.
    #[must_use]
    pub const fn closed(&self) -> Utc {
        Utc::from_ns(self.closed_ns)
    }

    /// When the first of its epochs began, as far as that is known.
    #[must_use]
    pub fn opened(&self) -> Utc {
        let rows = self.windows.iter().flat_map(|window| &window.rows);
        let observed = rows.filter(|row| row.is_observed()).map(|row| row.observed_start).min();
        self.opened_ns.map(Utc::from_ns).or(observed).unwrap_or(self.closed()).min(self.closed())
    }

    /// Number of all entries.
    #[must_use]
    pub const fn entry_count(&self) -> u64 {
        self.entries.0.saturating_add(self.entries.1)
    }

    /// Adds the description of another run to this one: the union of what they have.
    pub fn absorb(&mut self, other: &Self) {
        let held = self.held().union(&other.held());
        self.numbers = (!held.is_one_range()).then_some(held);
        self.epochs = (self.epochs.0.min(other.epochs.0), self.epochs.1.max(other.epochs.1));
        self.entries.0 = self.entries.0.saturating_add(other.entries.0);
        self.entries.1 = self.entries.1.saturating_add(other.entries.1);
        self.closed_ns = self.closed_ns.max(other.closed_ns);
        self.opened_ns = self.opened_ns.zip(other.opened_ns).map(|(one, other)| one.min(other));
        self.dated = self.dated.take().filter(|dated| dated.is_alike(other.dated.as_ref()));
        if other.interfaces.len() > self.interfaces.len() {
            self.interfaces.clone_from(&other.interfaces);
        }
        for window in &other.windows {
            match self.windows.iter_mut().find(|known| known.start_ns == window.start_ns) {
                Some(known) => known.absorb(window),
                None => self.windows.push(window.clone()),
            }
        }
        self.windows.sort_by_key(|window| window.start_ns);
    }
}
