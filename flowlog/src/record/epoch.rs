//! What was counted between two instants, as it leaves the kernel's maps.

use flowlog_common::{
    flow::{FlowCounters, FlowKeyV4, FlowKeyV6},
    total::{Count, Totals},
};

use super::{
    clock::{MonotonicNs, Offset, Utc},
    ledger::GapReason,
};

/// The number of an epoch, counted on from one epoch to the next, also by another daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochNumber(u64);

impl EpochNumber {
    /// Before the first epoch.
    pub const ZERO: Self = Self(0);

    /// The number as the kernel's maps and the files of the spool have it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number as the kernel's maps and the files of the spool have it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the epoch after this one; itself, where there is none.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number of the epoch before this one; zero where there is none.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What was counted in one epoch, and between which instants.
#[derive(Debug)]
pub struct Epoch {
    /// Its number.
    pub number: EpochNumber,
    /// When it began.
    pub opened: Utc,
    /// When it ended; no packet of it was seen at this instant or later.
    pub closed: Utc,
    /// How to convert the times of its flows.
    pub offset: Offset,
    /// Whether something kept the clock by which it is dated.
    pub is_synchronised: bool,
    /// By how many milliseconds the wall clock was set while it was open.
    pub clock_step_ms: i64,
    /// IPv4 flows.
    pub flows_v4: Entries<FlowKeyV4, FlowCounters>,
    /// IPv6 flows.
    pub flows_v6: Entries<FlowKeyV6, FlowCounters>,
    /// What had no room among the IPv4 flows, by member and protocol.
    pub overflow_v4: Entries<FlowKeyV4, FlowCounters>,
    /// What had no room among the IPv6 flows, by member and protocol.
    pub overflow_v6: Entries<FlowKeyV6, FlowCounters>,
    /// Totals of the interfaces that were counted.
    pub totals: Vec<(Observed, [Totals; 2])>,
}

impl Epoch {
    /// Number of its flows.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        let Self { flows_v4, flows_v6, overflow_v4, overflow_v6, .. } = self;
        flows_v4.len() + flows_v6.len() + overflow_v4.len() + overflow_v6.len()
    }
}

/// The entries of a map: the value of a key has its index.
#[derive(Debug)]
pub struct Entries<K, V> {
    /// Keys.
    pub keys: Vec<K>,
    /// Values.
    pub values: Vec<V>,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self { keys: vec![], values: vec![] }
    }
}

impl<K, V> Entries<K, V> {
    /// Keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.keys.iter().zip(&self.values)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The number that stands for an interface's name in the keys of flows and in the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of this number in the kernel's maps.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The slot at this place of a list of all slots; `None` where the kernel has no number for it.
    #[must_use]
    pub fn at(place: usize) -> Option<Self> {
        u16::try_from(place).ok().map(Self)
    }

    /// Its number in the kernel's maps.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its place in a list of all slots.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// When an interface was counted within an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The slot in keys and totals.
    pub slot: Slot,
    /// The interface's name.
    pub name: String,
    /// From when.
    pub from: MonotonicNs,
    /// Until when.
    pub to: MonotonicNs,
    /// How often it came back after it had gone.
    pub interruptions: u32,
    /// Whether it was counted at all in the epoch.
    pub was_counted: bool,
    /// Times in which packets of it may have gone by uncounted; they may begin before the epoch.
    pub gaps: Vec<(Span, GapReason)>,
    /// Times in which somebody else came before flowlog at a hook.
    pub overtaken: Vec<Span>,
    /// What its own counters moved by meanwhile; `None` where nobody read them at both ends.
    pub on_interface: Option<Reading>,
    /// What its own counters have beside packets.
    pub counters: Counters,
}

/// What the counters of an interface itself have, by [`flowlog_common::flow::Direction`].
pub type Reading = [Count; 2];

/// A time of the kernel's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Since when.
    pub since: MonotonicNs,
    /// Until when.
    pub until: MonotonicNs,
}

/// What the counters of an interface itself have, beside the packets that come by its hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counters {
    /// The same packets.
    #[default]
    Same,
    /// Handshakes and keepalives of the tunnel too (WireGuard).
    WithKeepalives,
    /// A few frames of the link's own protocol too (PPP).
    WithControl,
    /// Whatever the hardware counts, such as frames that it filters out.
    Hardware,
}
