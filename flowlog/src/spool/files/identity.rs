//! What a file of the store is, as its directory in the spool states it.

use serde::{Deserialize, Serialize};

use crate::record::{
    epoch_set::EpochSet,
    location::{Location, location_in_clear},
};

/// What a file of the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// What tells it from every other file, in its metadata too.
    pub lineage: String,
    /// Beginning of its hour, nanoseconds of UTC.
    pub hour_ns: i64,
    /// What its flows were recorded under.
    pub policy: String,
    /// Length of its windows in milliseconds.
    pub window_ms: u64,
    /// Name of the gateway that counted them.
    #[serde(default)]
    pub gateway: String,
    /// Whose the numbers of its epochs are.
    #[serde(default)]
    pub numbering: String,
    /// The store that it goes to; `None` until something is put there.
    #[serde(default, serialize_with = "location_in_clear")]
    pub store: Option<Location>,
    /// Epochs of a window that was open when a daemon stopped: the store may have them as a part of it.
    #[serde(default)]
    pub provisional: EpochSet,
    /// The last number of it that the store may have, and when that epoch ended: else nobody would know of the
    /// last run if somebody deleted it.
    #[serde(default)]
    pub put: Option<(u64, i64)>,
    /// Whether the store has more of it than the spool, so that it takes nothing else.
    #[serde(default)]
    pub is_closed: bool,
    /// How often this was written.
    #[serde(default)]
    pub revision: u64,
}

impl FileIdentity {
    /// Whether windows of this kind go into a file of that kind.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self { lineage: _, hour_ns, policy, window_ms, gateway, numbering, .. } = self;
        *hour_ns == other.hour_ns
            && *policy == other.policy
            && *window_ms == other.window_ms
            && *gateway == other.gateway
            && *numbering == other.numbering
    }
}
