//! What is recorded: a little of everything, and a little more in each epoch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flowlog::{
    aggregate::ledger::GapReason,
    capture::{
        interface::Counters,
        presence::{Observed, Span},
    },
    clock::{Offset, Utc},
    drain::{Entries, Epoch},
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKey, detail, marks, partial},
    total::{Count, Totals},
};

pub const SECOND: u64 = 1_000_000_000;
/// Of the windows of all golden files.
pub const WINDOW_SECONDS: u64 = 900;

/// An epoch of an interface, or of two.
#[derive(Clone)]
pub struct Recorded {
    pub number: u64,
    /// Seconds of UTC.
    pub opened: u64,
    pub closed: u64,
    pub interfaces: &'static [&'static str],
    pub is_attribution: bool,
    /// By how much the wall clock was set.
    pub clock_step_ms: i64,
    /// Times of the first interface, in seconds of the epoch, of which nothing is recorded.
    pub gaps: &'static [(u64, u64, GapReason)],
}

/// A flow of an epoch. Its times are seconds of UTC.
#[derive(Clone)]
pub struct Sent {
    pub interface: usize,
    pub member: IpAddr,
    pub remote: IpAddr,
    pub ports: [u16; 2],
    pub protocol: u8,
    pub detail: u8,
    pub up: (u64, u64),
    pub down: (u64, u64),
    pub first: u64,
    pub last: u64,
    pub initiator: Direction,
    pub tcp_flags: [u8; 2],
    pub partial: u8,
}

impl Recorded {
    /// Its flows.
    pub fn flows(&self) -> Vec<Sent> {
        (0..self.interfaces.len()).flat_map(|interface| self.flows_of(interface)).collect()
    }

    fn flows_of(&self, interface: usize) -> Vec<Sent> {
        let n = self.number;
        let second = u8::try_from(interface).unwrap();
        let v4 = |last| IpAddr::from(Ipv4Addr::new(10, 20, second, last));
        let v6 = |last| IpAddr::from(Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, last));
        let web = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let resolver = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53));
        let none_v4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let base = Sent {
            interface,
            member: v4(7),
            remote: web,
            ports: [40_000, 443],
            protocol: 6,
            detail: detail::FULL,
            up: (3 + n, 300 + 40 * n),
            down: (5 + n, 5_000 + 1_400 * n),
            first: self.opened + 1,
            last: self.closed - 2,
            initiator: Direction::Up,
            tcp_flags: [0x1b, 0x12],
            partial: 0,
        };
        let icmp = |kind: u8, up, down| Sent {
            member: v4(8),
            ports: [u16::from_be_bytes([kind, 0]); 2],
            protocol: 1,
            up,
            down,
            tcp_flags: [0; 2],
            ..base.clone()
        };
        let udp = Sent { protocol: 17, tcp_flags: [0; 2], ..base.clone() };
        let mut flows = vec![
            base.clone(),
            Sent {
                ports: [22, 50_000 + u16::try_from(n).unwrap()],
                initiator: Direction::Down,
                ..base.clone()
            },
            Sent {
                member: v6(7),
                remote: resolver,
                ports: [53_000, 53],
                up: (n, 80 * n),
                down: (n, 200 * n),
                ..udp.clone()
            },
            icmp(8, (n, 84 * n), (0, 0)),
            icmp(0, (0, 0), (n, 84 * n)),
            Sent {
                member: v6(9),
                remote: resolver,
                ports: [u16::from_be_bytes([128, 0]); 2],
                protocol: 58,
                up: (2, 208),
                down: (0, 0),
                ..udp.clone()
            },
            // Without ports.
            Sent { member: v4(9), ports: [0; 2], protocol: 50, ..udp.clone() },
            Sent {
                member: v4(10),
                ports: [0; 2],
                partial: partial::FRAGMENT_WITHOUT_FIRST,
                up: (1, 1_200),
                down: (0, 0),
                ..udp.clone()
            },
            Sent {
                member: v4(11),
                ports: [0; 2],
                partial: partial::TRANSPORT_HEADER_CUT,
                tcp_flags: [0; 2],
                up: (0, 0),
                down: (1, 24),
                initiator: Direction::Down,
                ..base.clone()
            },
        ];
        if n.is_multiple_of(2) {
            let overflow = Sent {
                remote: none_v4,
                ports: [0; 2],
                detail: detail::OVERFLOW,
                partial: partial::OVERFLOW,
                ..udp
            };
            flows.push(Sent { member: v4(12), ..overflow.clone() });
            flows.push(Sent { member: v6(12), remote: Ipv6Addr::UNSPECIFIED.into(), ..overflow });
        }
        if self.is_attribution {
            // As the kernel program records that profile: nothing tells with whom.
            flows.retain(|flow| flow.detail == detail::FULL);
            flows.truncate(1);
            for flow in &mut flows {
                (flow.remote, flow.ports[1], flow.detail) = (none_v4, 0, detail::WITHOUT_REMOTE);
            }
        }
        flows
    }

    /// Packets and bytes in no flow, in each direction: no IP, then malformed.
    pub fn others(&self) -> [[(u64, u64); 2]; 2] {
        let n = self.number;
        [[(n, 46 * n), (1, 20)], [(2, 92), (0, 0)]]
    }

    /// What the kernel program saw on each interface.
    fn totals(&self) -> Vec<[Totals; 2]> {
        let mut totals: Vec<[Totals; 2]> = vec![<[Totals; 2]>::default(); self.interfaces.len()];
        for of_interface in &mut totals {
            for (total, [not_ip, malformed]) in of_interface.iter_mut().zip(self.others()) {
                total.not_ip.add(not_ip.0, not_ip.1);
                total.malformed.add(malformed.0, malformed.1);
                total.seen.add(not_ip.0 + malformed.0, not_ip.1 + malformed.1);
            }
        }
        for sent in self.flows() {
            for (total, (packets, bytes)) in
                totals[sent.interface].iter_mut().zip([sent.up, sent.down])
            {
                total.seen.add(packets, bytes);
                if sent.partial == partial::FRAGMENT_WITHOUT_FIRST {
                    total.fragments_without_first.add(packets, bytes);
                }
            }
        }
        totals
    }

    /// Packets and bytes by an interface's own counters, in each direction. The first one is of WireGuard,
    /// which counts keepalives too; nobody read those of the second.
    pub fn on_interface(&self, slot: usize) -> Option<[(u64, u64); 2]> {
        let totals = self.totals();
        let n = self.number;
        (slot == 0).then(|| totals[slot].map(|t| (t.seen.packets + n, t.seen.bytes + 32 * n)))
    }

    /// The epoch as the drain hands it out.
    pub fn epoch(&self) -> Epoch {
        let ns = |seconds: u64| seconds * SECOND;
        let utc = |seconds: u64| Utc::from_ns(i64::try_from(ns(seconds)).unwrap());
        let totals = self.totals();
        let gap = |(since, until, reason): &(u64, u64, GapReason)| {
            let at = |seconds: u64| ns(self.opened + seconds);
            (Span { since: at(*since), until: at(*until) }, *reason)
        };
        let observed = |(slot, name): (usize, &&str)| Observed {
            slot: u16::try_from(slot).unwrap(),
            name: (*name).to_owned(),
            from: ns(self.opened),
            to: ns(self.closed),
            interruptions: 0,
            was_counted: true,
            gaps: self.gaps.iter().filter(|_| slot == 0).map(gap).collect(),
            overtaken: vec![],
            on_interface: self
                .on_interface(slot)
                .map(|counts| counts.map(|(packets, bytes)| Count { packets, bytes })),
            counters: Counters::WithKeepalives,
        };
        let observed: Vec<Observed> = self.interfaces.iter().enumerate().map(observed).collect();
        let [flows, overflow] = [false, true].map(|is_overflow| {
            let mut flows = self.flows();
            flows.retain(|sent| (sent.detail == detail::OVERFLOW) == is_overflow);
            flows
        });
        Epoch {
            number: self.number,
            opened: utc(self.opened),
            closed: utc(self.closed),
            offset: Offset::from_ns(0),
            clock_step_ms: self.clock_step_ms,
            is_synchronised: true,
            flows_v4: entries(&flows, as_v4),
            flows_v6: entries(&flows, as_v6),
            overflow_v4: entries(&overflow, as_v4),
            overflow_v6: entries(&overflow, as_v6),
            totals: observed.into_iter().zip(totals).collect(),
        }
    }
}

fn entries<const A: usize>(
    flows: &[Sent],
    octets: impl Fn(IpAddr) -> Option<[u8; A]>,
) -> Entries<FlowKey<A>, FlowCounters> {
    let mut entries = Entries::default();
    for sent in flows {
        let Some(member) = octets(sent.member) else { continue };
        let [up, down] = sent.tcp_flags;
        entries.keys.push(FlowKey {
            member,
            remote: octets(sent.remote).expect("both of one family"),
            member_port: sent.ports[0].to_be_bytes(),
            remote_port: sent.ports[1].to_be_bytes(),
            interface: u16::try_from(sent.interface).unwrap(),
            protocol: sent.protocol,
            detail: sent.detail,
        });
        entries.values.push(FlowCounters {
            packets_up: sent.up.0,
            bytes_up: sent.up.1,
            packets_down: sent.down.0,
            bytes_down: sent.down.1,
            first_ns: sent.first * SECOND,
            last_ns: sent.last * SECOND,
            marks: marks::of_initiator(sent.initiator)
                | marks::of_packet(Direction::Up, up, sent.partial)
                | marks::of_packet(Direction::Down, down, sent.partial),
        });
    }
    entries
}

fn as_v4(address: IpAddr) -> Option<[u8; 4]> {
    match address {
        IpAddr::V4(address) => Some(address.octets()),
        IpAddr::V6(_) => None,
    }
}

fn as_v6(address: IpAddr) -> Option<[u8; 16]> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address.octets()),
    }
}
