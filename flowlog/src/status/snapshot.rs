//! What is known of a daemon at one instant. `docs/status.md` documents each key for programs.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::instant;
use crate::record::clock::{ClockQuality, Utc};

/// Name of the schema: keys are only ever added to it.
pub const SCHEMA: &str = "flowlog.status/1";

/// How a daemon is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the daemon.
    pub version: String,
    /// Name of the gateway in the store.
    pub gateway: String,
    /// Number of the process.
    pub process_id: u32,
    /// When it was taken.
    #[serde(with = "instant")]
    pub time: Option<Utc>,
    /// Since when the daemon counts.
    #[serde(with = "instant")]
    pub started: Option<Utc>,
    /// Whether it counts, or is ending.
    pub phase: Phase,
    /// What is recorded.
    pub profile: String,
    /// Length of a window.
    pub window_seconds: f64,
    /// The interfaces, by name: those that are counted, and those that should be.
    pub interfaces: Vec<Interface>,
    /// Patterns for which there is no interface now.
    pub unmatched_patterns: Vec<String>,
    /// Why the interfaces could not be looked at, the last time.
    pub interfaces_error: Option<Message>,
    /// Who tells of sessions: each source that is configured, of a pattern of interfaces each interface.
    pub sources: Vec<Source>,
    /// From the kernel's maps to the spool.
    pub drain: Drain,
    /// What was drained, and is not in the store.
    pub spool: Spool,
    /// What is in the store.
    pub store: Store,
    /// Deletion of what has expired; `None` where it is not configured.
    pub retention: Option<Retention>,
    /// The wall clock.
    pub clock: Clock,
    /// How often each event happened since the process began, by name.
    pub events: BTreeMap<String, u64>,
    /// The last warning or error on the log.
    pub last_warning: Option<Message>,
}

/// What the daemon does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The kernel does not count yet.
    #[default]
    Starting,
    /// The kernel counts.
    Counting,
    /// It was told to end, and stores what is open.
    Ending,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is counted.
    pub state: InterfaceState,
    /// Since when no packet reaches the program, where that is so.
    #[serde(with = "instant")]
    pub unreached_since: Option<Utc>,
    /// End of the last epoch in which a packet of it was counted.
    #[serde(with = "instant")]
    pub last_packets: Option<Utc>,
    /// Why it cannot be counted.
    pub refusal: Option<String>,
    /// The last time in which packets of it may have gone by uncounted.
    pub last_gap: Option<Gap>,
    /// Packets from members that were drained since the daemon began.
    pub up_packets_total: u64,
    /// Their bytes on the wire.
    pub up_bytes_total: u64,
    /// Packets to members.
    pub down_packets_total: u64,
    /// Their bytes on the wire.
    pub down_bytes_total: u64,
}

/// Whether an interface is counted. Attached is not reached: [`Self::Reached`] is what packets have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceState {
    /// The program is attached, and in the last epoch there was no packet, by the interface's own counters
    /// either, as far as these can be read.
    #[default]
    Quiet,
    /// Packets of the last epoch were counted.
    Reached,
    /// The program is attached, the interface's own counters move, and the packets do not reach the program.
    NotReached,
    /// It is there, and the program cannot be attached.
    Refused,
    /// It is named, and does not exist.
    Absent,
}

/// A time of which the ledger has a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Since when.
    #[serde(with = "instant")]
    pub start: Option<Utc>,
    /// Until when.
    #[serde(with = "instant")]
    pub end: Option<Utc>,
    /// Its reason, as in the ledger.
    pub reason: String,
}

/// A source of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// Its kind, as the tables have it.
    pub kind: String,
    /// Its name in the tables; a pattern where there is no such interface.
    pub instance: String,
    /// The space of its addresses.
    pub realm: String,
    /// Its parts: interfaces, hooks, files, sockets.
    pub looks_at: Vec<String>,
    /// Whether its last answer is new enough for the coverage to go on.
    pub is_heard: bool,
    /// The last answer, also to an earlier daemon.
    #[serde(with = "instant")]
    pub answered_at: Option<Utc>,
    /// Why it, or a part of it, does not answer.
    pub error: Option<Message>,
    /// What to do about that.
    pub remedy: Option<String>,
    /// Sessions that are open.
    pub open_sessions: u64,
    /// Rows whose end came after their day was stored for good.
    pub late_rows_total: u64,
}

/// From the kernel's maps to the spool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drain {
    /// How often the maps are emptied.
    pub interval_seconds: f64,
    /// Number of the last epoch that is in the spool.
    pub epoch: u64,
    /// End of that epoch: everything up to then is safe.
    #[serde(with = "instant")]
    pub drained_until: Option<Utc>,
    /// Flow rows of that epoch.
    pub epoch_flows: u64,
    /// Epochs since the daemon began.
    pub epochs_total: u64,
    /// Flow rows of those.
    pub flows_total: u64,
}

/// What was drained, and is not in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spool {
    /// Where it is; `None` where it goes with the process.
    pub directory: Option<String>,
    /// Its size when it was last measured, in a drain.
    pub size_bytes: u64,
    /// Its greatest size; `None` where it goes with the process.
    pub limit_bytes: Option<u64>,
    /// Whether what an earlier daemon left in it was read.
    pub is_recovered: bool,
    /// Why it takes nothing now.
    pub error: Option<Message>,
    /// Why windows cannot be merged now, so that they wait in it.
    pub merge_error: Option<Message>,
}

/// What is in the store, since the daemon began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// Where it is, without credentials.
    pub url: String,
    /// Whether it was opened, and has shown what it can do.
    pub is_open: bool,
    /// Everything that was counted up to then is in it; `None` before anything is.
    #[serde(with = "instant")]
    pub stored_until: Option<Utc>,
    /// How long ago that is.
    pub lag_seconds: Option<u64>,
    /// Windows that wait for it.
    pub waiting_windows: u64,
    /// Their flow rows.
    pub waiting_flows: u64,
    /// Since when it has been working on something without an end.
    #[serde(with = "instant")]
    pub busy_since: Option<Utc>,
    /// Failures in a row; zero where nothing is tried again.
    pub failures: u32,
    /// The last of them.
    pub error: Option<Message>,
    /// Packets that the interfaces saw, of the windows in the store.
    pub packets_total: u64,
    /// Their bytes on the wire.
    pub bytes_total: u64,
    /// Flow rows in the store.
    pub flows_total: u64,
    /// Files in the store.
    pub files_total: u64,
}

/// Deletion of what has expired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// How long data are kept.
    pub keep: String,
    /// How often it is looked for what has expired.
    pub interval_seconds: f64,
    /// When the store was last looked at.
    #[serde(with = "instant")]
    pub looked_at: Option<Utc>,
    /// Whether retention goes by the clock: `allow`, `warn` or `refuse`.
    pub verdict: String,
    /// What there is against the clock.
    pub doubt: Option<String>,
    /// What to do about that.
    pub remedy: Option<String>,
    /// Why it could not be done, the last time.
    pub error: Option<Message>,
}

/// The wall clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clock {
    /// Whether something keeps it.
    pub is_synchronised: bool,
    /// By how much it may be wrong, at most.
    pub max_error_seconds: f64,
}

/// A line of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// When it was written.
    #[serde(with = "instant")]
    pub at: Option<Utc>,
    /// Its text.
    pub text: String,
}

impl Snapshot {
    /// Sets when it was taken, and what follows from that.
    pub(super) fn date(&mut self, now: Utc, quality: ClockQuality) {
        self.time = Some(now);
        self.clock = Clock {
            is_synchronised: quality.synchronised,
            max_error_seconds: quality.max_error.as_secs_f64(),
        };
        self.store.lag_seconds = self.store.stored_until.map(|until| since(until, now).as_secs());
    }

    /// When it was taken.
    pub(super) fn taken(&self) -> Utc {
        self.time.unwrap_or(Utc::from_ns(0))
    }

    /// How long ago something was when it was taken.
    #[must_use]
    pub fn age(&self, of: Utc) -> Duration {
        since(of, self.taken())
    }

    /// The interface of a name.
    pub fn interface(&mut self, name: &str) -> Option<&mut Interface> {
        self.interfaces.iter_mut().find(|interface| interface.name == name)
    }
}

fn since(then: Utc, now: Utc) -> Duration {
    // A clock that was set back makes nothing come from the future.
    if then < now { now.distance(then) } else { Duration::ZERO }
}

impl InterfaceState {
    /// Whether packets of it are counted.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Reached | Self::Quiet)
    }

    /// Whether the program is attached.
    #[must_use]
    pub const fn is_attached(self) -> bool {
        matches!(self, Self::Reached | Self::Quiet | Self::NotReached)
    }

    /// Its name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Reached => "reached",
            Self::NotReached => "not reached",
            Self::Refused => "refused",
            Self::Absent => "absent",
        }
    }
}

impl Message {
    /// A message of now.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { at: Some(crate::record::clock::now()), text: text.into() }
    }
}
