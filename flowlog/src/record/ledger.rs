//! The completeness ledger: what became of every packet that an interface saw in a window.

use std::time::Duration;

use flowlog_common::{
    flow::{Direction, detail},
    total::{Count, Totals},
};
use serde::{Deserialize, Serialize};

use crate::record::{clock::Utc, flow::Activity};

/// What an interface saw in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Name of the interface.
    pub interface: String,
    /// Since when it was counted within the window.
    pub observed_start: Utc,
    /// Until when it was counted within the window.
    pub observed_end: Utc,
    /// How often it came back after it had gone.
    pub interruptions: u32,
    /// When it may have been in use without being counted, though flowlog had counted it before; in
    /// the order of time.
    pub gaps: Vec<Gap>,
    /// The greatest error of the clock within the window.
    pub clock_error: Duration,
    /// By how many milliseconds the wall clock was set within the window.
    pub clock_step_ms: i64,
    /// What the interface's own counters moved by while it was observed, by [`Direction`]; `None`
    /// where nobody asked them all the while.
    pub on_interface: Option<[Count; 2]>,
    /// The kernel program's totals, by [`Direction`].
    pub totals: [Totals; 2],
    /// The sum of the flow rows, by [`Direction`].
    pub in_flows: [Count; 2],
    /// The sum of the overflow rows, by [`Direction`].
    pub in_overflow: [Count; 2],
}

/// A time of which nothing is recorded, though there may have been packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Since when.
    pub start: Utc,
    /// Until when.
    pub end: Utc,
    /// Why.
    pub reason: GapReason,
}

/// Why nothing is recorded of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapReason {
    /// No program counted: the power was lost, flowlog was removed, or the maps are of a version that
    /// this one cannot read.
    Down,
    /// Somebody took the program away from its hook.
    Detached,
    /// The program was at its hook, the interface's own counters moved, and no packet reached it.
    NotReached,
    /// The packets were counted, and the counts were damaged before the store had them.
    Damaged,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Down, Self::Detached, Self::NotReached, Self::Damaged];

    /// Its name in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Detached => "detached",
            Self::NotReached => "not_reached",
            Self::Damaged => "damaged",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl Gap {
    /// Between two instants, whichever is first: the clock may have been set back.
    #[must_use]
    pub fn between(one: Utc, other: Utc, reason: GapReason) -> Self {
        Self { start: one.min(other), end: one.max(other), reason }
    }
}

/// Adds a gap to others, in the order of time. Those of one reason that touch become one.
fn add_gap(gaps: &mut Vec<Gap>, gap: Gap) {
    gaps.push(gap);
    gaps.sort_unstable();
    gaps.dedup_by(|later, earlier| {
        let is_one = later.reason == earlier.reason && later.start <= earlier.end;
        if is_one {
            earlier.end = earlier.end.max(later.end);
        }
        is_one
    });
}

impl LedgerEntry {
    /// Nothing yet.
    #[must_use]
    pub fn new(interface: String, from: Utc, to: Utc) -> Self {
        Self {
            interface,
            observed_start: from,
            observed_end: to,
            interruptions: 0,
            gaps: vec![],
            clock_error: Duration::ZERO,
            clock_step_ms: 0,
            on_interface: None,
            totals: Default::default(),
            in_flows: Default::default(),
            in_overflow: Default::default(),
        }
    }

    /// Adds what the kernel program counted between two instants.
    pub fn observe(
        &mut self,
        from: Utc,
        to: Utc,
        interruptions: u32,
        totals: &[Totals; 2],
        clock_error: Duration,
    ) {
        self.observed_start = self.observed_start.min(from);
        self.observed_end = self.observed_end.max(to);
        self.interruptions += interruptions;
        self.clock_error = self.clock_error.max(clock_error);
        for direction in Direction::ALL {
            self.totals[direction as usize].add(&totals[direction as usize]);
        }
    }

    /// Adds a time of which nothing is recorded.
    pub fn add_gap(&mut self, gap: Gap) {
        add_gap(&mut self.gaps, gap);
    }

    /// Whether it was counted for any time at all; else the row is there for its gaps.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observed_start < self.observed_end
    }

    /// Adds a flow row, whose key has this `detail`.
    pub const fn add_row(&mut self, detail: u8, row: &Activity) {
        let [up, down] = match detail {
            detail::OVERFLOW => &mut self.in_overflow,
            _ => &mut self.in_flows,
        };
        up.add(row.packets_up, row.bytes_up);
        down.add(row.packets_down, row.bytes_down);
    }

    /// Adds what the same interface saw in another part of the window.
    pub fn absorb(&mut self, other: &Self) {
        let Self {
            interface: _,
            observed_start,
            observed_end,
            interruptions,
            gaps,
            clock_error,
            clock_step_ms,
            on_interface,
            totals,
            in_flows,
            in_overflow,
        } = other;
        for gap in gaps {
            self.add_gap(*gap);
        }
        self.clock_step_ms = self.clock_step_ms.saturating_add(*clock_step_ms);
        self.on_interface = match (self.is_observed(), other.is_observed()) {
            (true, true) => self.on_interface.zip(*on_interface).map(sum),
            (true, false) => self.on_interface,
            (false, _) => *on_interface,
        };
        // A row that is there for its gaps does not say that anything was counted.
        let (start, end) = match (self.is_observed(), other.is_observed()) {
            (true, false) => (self.observed_start, self.observed_end),
            (false, true) => {
                (self.observed_start, self.observed_end) = (*observed_start, *observed_end);
                (*observed_start, *observed_end)
            }
            _ => (*observed_start, *observed_end),
        };
        self.observe(start, end, *interruptions, totals, *clock_error);
        for direction in Direction::ALL.map(|direction| direction as usize) {
            let (flows, overflow) = (&in_flows[direction], &in_overflow[direction]);
            self.in_flows[direction].add(flows.packets, flows.bytes);
            self.in_overflow[direction].add(overflow.packets, overflow.bytes);
        }
    }

    /// The account of one direction.
    #[must_use]
    pub fn account(&self, direction: Direction) -> Account {
        let Totals { seen, not_ip, malformed, excluded, remainder, fragments_without_first } =
            self.totals[direction as usize];
        Account {
            seen,
            flows: self.in_flows[direction as usize],
            overflow: self.in_overflow[direction as usize],
            remainder,
            not_ip,
            malformed,
            excluded,
            fragments_without_first,
        }
    }
}

fn sum(([up, down], [more_up, more_down]): ([Count; 2], [Count; 2])) -> [Count; 2] {
    let add = |mut sum: Count, more: Count| {
        sum.add(more.packets, more.bytes);
        sum
    };
    [add(up, more_up), add(down, more_down)]
}

/// The conservation law, for one interface, direction and window:
/// `seen = flows + overflow + remainder + not_ip + malformed + excluded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Every packet that the kernel program saw.
    pub seen: Count,
    /// In flow rows.
    pub flows: Count,
    /// In rows that tell only member and protocol, since the flow map was full.
    pub overflow: Count,
    /// In no row at all, since the overflow map was full too.
    pub remainder: Count,
    /// Neither IPv4 nor IPv6.
    pub not_ip: Count,
    /// Without a readable IP header.
    pub malformed: Count,
    /// Left out by the capture policy.
    pub excluded: Count,
    /// In flow rows, but without ports, since their first fragment was not seen.
    pub fragments_without_first: Count,
}

impl Account {
    /// Every count with its name, in the order of the ledger's columns.
    #[must_use]
    pub fn terms(&self) -> [(&'static str, Count); 8] {
        let mut copy = *self;
        copy.terms_mut().map(|(name, count)| (name, *count))
    }

    /// Adds another account to this one.
    pub fn add(&mut self, other: &Self) {
        for ((_, sum), (_, count)) in self.terms_mut().into_iter().zip(other.terms()) {
            sum.add(count.packets, count.bytes);
        }
    }

    /// The same, to be filled in.
    pub fn terms_mut(&mut self) -> [(&'static str, &mut Count); 8] {
        // Destructured, so that a new term cannot be forgotten.
        let Self {
            seen,
            flows,
            overflow,
            remainder,
            not_ip,
            malformed,
            excluded,
            fragments_without_first,
        } = self;
        [
            ("seen", seen),
            ("flows", flows),
            ("overflow", overflow),
            ("remainder", remainder),
            ("not_ip", not_ip),
            ("malformed", malformed),
            ("excluded", excluded),
            ("fragments_without_first", fragments_without_first),
        ]
    }

    /// What is seen but in none of the other terms, packets and bytes; both zero when it balances.
    #[must_use]
    pub fn missing(&self) -> (i128, i128) {
        let terms =
            [self.flows, self.overflow, self.remainder, self.not_ip, self.malformed, self.excluded];
        let sum = |of: fn(&Count) -> u64| terms.iter().map(|t| i128::from(of(t))).sum::<i128>();
        (
            i128::from(self.seen.packets) - sum(|count| count.packets),
            i128::from(self.seen.bytes) - sum(|count| count.bytes),
        )
    }
}
