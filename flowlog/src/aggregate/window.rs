//! A window: an interval of UTC and what was seen in it.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use flowlog_common::flow::{Direction, FlowCounters, FlowKey, detail};
use hashbrown::HashMap;

use super::ledger::LedgerEntry;
use crate::{
    clock::{Offset, Utc},
    drain::{Entries, Epoch},
};

/// What was seen in a window.
#[derive(Debug)]
pub struct Window {
    start: Utc,
    length: Duration,
    flows_v4: HashMap<FlowKey<4>, Activity>,
    flows_v6: HashMap<FlowKey<16>, Activity>,
    /// By slot.
    interfaces: BTreeMap<u16, LedgerEntry>,
}

/// What one flow did in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// First packet, milliseconds of UTC.
    pub start_ms: i64,
    /// Last packet, milliseconds of UTC.
    pub end_ms: i64,
    /// Packets from the member.
    pub packets_up: u64,
    /// Bytes from the member.
    pub bytes_up: u64,
    /// Packets to the member.
    pub packets_down: u64,
    /// Bytes to the member.
    pub bytes_down: u64,
    /// OR of the TCP flags from the member.
    pub tcp_flags_up: u8,
    /// OR of the TCP flags to the member.
    pub tcp_flags_down: u8,
    /// OR of the reasons of [`flowlog_common::flow::partial`].
    pub partial: u8,
    /// Who sent the first packet.
    pub initiator: Direction,
}

/// A row of the flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// Address behind the interface.
    pub member: IpAddr,
    /// Address on the other side; `None` where it is not known.
    pub remote: Option<IpAddr>,
    /// Port of the member; ICMP: type and code.
    pub member_port: u16,
    /// Port of the remote side; ICMP: type and code.
    pub remote_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// What it did.
    pub activity: Activity,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new(start: Utc, length: Duration) -> Self {
        Self {
            start,
            length,
            flows_v4: HashMap::new(),
            flows_v6: HashMap::new(),
            interfaces: BTreeMap::new(),
        }
    }

    /// When it begins.
    #[must_use]
    pub const fn start(&self) -> Utc {
        self.start
    }

    /// How long it is.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// When it ends; the next one begins.
    #[must_use]
    pub fn end(&self) -> Utc {
        self.start.plus(self.length)
    }

    /// Number of flow rows.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows_v4.len() + self.flows_v6.len()
    }

    /// The ledger of each interface that was counted, by the order in which they were first.
    pub fn ledger(&self) -> impl Iterator<Item = &LedgerEntry> {
        self.interfaces.values()
    }

    /// The flow rows, in no order.
    pub fn flows(&self) -> impl Iterator<Item = FlowRecord<'_>> {
        let v4 = self.flows_v4.iter().map(|(key, activity)| self.record(key, activity));
        let v6 = self.flows_v6.iter().map(|(key, activity)| self.record(key, activity));
        v4.chain(v6)
    }

    fn record<const A: usize>(&self, key: &FlowKey<A>, activity: &Activity) -> FlowRecord<'_>
    where
        IpAddr: From<[u8; A]>,
    {
        FlowRecord {
            interface: self.interfaces.get(&key.interface).map_or("", |entry| &entry.interface),
            member: IpAddr::from(key.member),
            remote: (key.detail == detail::FULL).then(|| IpAddr::from(key.remote)),
            member_port: u16::from_be_bytes(key.member_port),
            remote_port: u16::from_be_bytes(key.remote_port),
            protocol: key.protocol,
            activity: *activity,
        }
    }

    /// Adds what was counted in an epoch.
    pub fn merge(&mut self, epoch: &Epoch, clock_error: Duration) {
        // No packet of the epoch was seen before it opened; the clock having been slewed since
        // must not make it look so.
        let times = Times { offset: epoch.offset, opened: epoch.opened, closed: epoch.closed };
        for (observed, totals) in &epoch.totals {
            let from = times.utc(observed.from);
            let to = times.end_utc(observed.to);
            let entry = self
                .interfaces
                .entry(observed.slot)
                .or_insert_with(|| LedgerEntry::new(observed.name.clone(), from, to));
            entry.observe(from, to, observed.interruptions, totals, clock_error);
        }
        let Self { interfaces, flows_v4, flows_v6, .. } = self;
        for drained in [&epoch.flows_v4, &epoch.overflow_v4] {
            merge_flows(flows_v4, interfaces, drained, &times);
        }
        for drained in [&epoch.flows_v6, &epoch.overflow_v6] {
            merge_flows(flows_v6, interfaces, drained, &times);
        }
    }
}

/// Adds the flows of an epoch, and their counts to the ledger's own sum of the rows.
fn merge_flows<const A: usize>(
    flows: &mut HashMap<FlowKey<A>, Activity>,
    interfaces: &mut BTreeMap<u16, LedgerEntry>,
    drained: &Entries<FlowKey<A>, FlowCounters>,
    times: &Times,
) {
    for (key, counters) in drained.iter() {
        let activity = times.activity(counters);
        if let Some(entry) = interfaces.get_mut(&key.interface) {
            let [up, down] = match key.detail {
                detail::OVERFLOW => &mut entry.in_overflow,
                _ => &mut entry.in_flows,
            };
            up.add(activity.packets_up, activity.bytes_up);
            down.add(activity.packets_down, activity.bytes_down);
        }
        flows.entry(*key).and_modify(|known| known.merge(&activity)).or_insert(activity);
    }
}

/// Less than the clock of the kernel program can tell apart.
const CLOCK_STEP: Duration = Duration::from_micros(1);

/// Converts the kernel's times of one epoch.
struct Times {
    offset: Offset,
    opened: Utc,
    closed: Utc,
}

impl Times {
    fn utc(&self, monotonic: u64) -> Utc {
        self.offset.utc(monotonic).max(self.opened)
    }

    /// The end of an epoch in UTC is that of its window, to the nanosecond.
    fn end_utc(&self, monotonic: u64) -> Utc {
        let utc = self.utc(monotonic);
        if utc.distance(self.closed) < CLOCK_STEP { self.closed } else { utc }
    }

    fn activity(&self, counters: &FlowCounters) -> Activity {
        Activity {
            start_ms: self.utc(counters.first_ns).ms(),
            // Before the end, also where a thread was interrupted while it announced that.
            end_ms: self.utc(counters.last_ns).min(Utc::from_ns(self.closed.ns() - 1)).ms(),
            packets_up: counters.packets_up,
            bytes_up: counters.bytes_up,
            packets_down: counters.packets_down,
            bytes_down: counters.bytes_down,
            tcp_flags_up: counters.tcp_flags_up(),
            tcp_flags_down: counters.tcp_flags_down(),
            partial: counters.partial(),
            initiator: counters.initiator(),
        }
    }
}

impl Activity {
    /// Adds what the same flow did in another epoch.
    fn merge(&mut self, other: &Self) {
        // Destructured, so that a new counter cannot be forgotten.
        let Self {
            start_ms,
            end_ms,
            packets_up,
            bytes_up,
            packets_down,
            bytes_down,
            tcp_flags_up,
            tcp_flags_down,
            partial,
            initiator,
        } = other;
        if *start_ms < self.start_ms {
            self.start_ms = *start_ms;
            self.initiator = *initiator;
        }
        self.end_ms = self.end_ms.max(*end_ms);
        self.packets_up += packets_up;
        self.bytes_up += bytes_up;
        self.packets_down += packets_down;
        self.bytes_down += bytes_down;
        self.tcp_flags_up |= tcp_flags_up;
        self.tcp_flags_down |= tcp_flags_down;
        self.partial |= partial;
    }
}
