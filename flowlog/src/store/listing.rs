//! What is in a store, and what is odd about it.

use std::fmt;

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::own::OWN_PREFIX;
use crate::record::{clock::Utc, gateway::GatewayName};

/// What is in a store, or in a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, in the order of their paths.
    pub objects: Vec<ObjectMeta>,
    /// What is there and is no object: reported, and left alone.
    pub oddities: Vec<Oddity>,
}

impl Listing {
    /// The objects, after everything odd was logged.
    #[must_use]
    pub fn reported(self) -> Vec<ObjectMeta> {
        for oddity in &self.oddities {
            tracing::warn!("flowlog does not touch an entry of the store: {oddity}");
        }
        self.objects
    }

    /// Without what is flowlog's own and no data.
    pub(super) fn without_own(mut self) -> Self {
        self.objects.retain(|object| !object.location.as_ref().starts_with(OWN_PREFIX));
        self
    }
}

/// Something in a store that is no object, or that cannot be read: it is left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Oddity {
    /// Its path in the store, with escapes for what cannot be printed.
    pub path: String,
    /// What is odd about it.
    pub reason: String,
}

impl fmt::Display for Oddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.reason)
    }
}

/// A file of a local store that was being written, and has not its name yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Staged {
    /// Its path in the store.
    pub path: String,
    /// When it was last written to.
    pub modified: Utc,
    /// Its size in bytes.
    pub bytes: u64,
    /// The gateway that was writing it, where its path says so.
    pub gateway: Option<GatewayName>,
}

/// A name that can be printed on a line: whatever else is escaped.
pub(super) fn escape(name: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    name.chars().flat_map(escaped).collect()
}
