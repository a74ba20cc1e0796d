//! The completeness ledger: what became of every packet that an interface saw in a window.

use std::time::Duration;

use flowlog_common::{
    flow::{Direction, detail},
    total::{Count, Totals},
};

use super::Activity;
use crate::clock::Utc;

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
    /// When it may have been in use without being counted, though flowlog had counted it before.
    pub gap: Option<Gap>,
    /// The greatest error of the clock within the window.
    pub clock_error: Duration,
    /// The kernel program's totals, by [`Direction`].
    pub totals: [Totals; 2],
    /// The sum of the flow rows, by [`Direction`].
    pub in_flows: [Count; 2],
    /// The sum of the overflow rows, by [`Direction`].
    pub in_overflow: [Count; 2],
}

/// A time in which nobody counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Since when.
    pub start: Utc,
    /// Until when.
    pub end: Utc,
}

impl Gap {
    /// Between two instants, whichever is first: the clock may have been set back.
    #[must_use]
    pub fn between(one: Utc, other: Utc) -> Self {
        Self { start: one.min(other), end: one.max(other) }
    }

    /// From the beginning of the first gap to the end of the last: never less than there was.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
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
            gap: None,
            clock_error: Duration::ZERO,
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
            gap,
            clock_error,
            totals,
            in_flows,
            in_overflow,
        } = other;
        self.gap = self.gap.into_iter().chain(*gap).reduce(Gap::and);
        self.observe(*observed_start, *observed_end, *interruptions, totals, *clock_error);
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

    fn terms_mut(&mut self) -> [(&'static str, &mut Count); 8] {
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
