//! The flow maps: one entry per conversation, shared by all CPUs and added to atomically.

use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKey, detail, marks, partial},
    packet::Datagram,
};

use crate::{atomic, hook::Hook};

/// What became of a packet's counts.
#[derive(Clone, Copy)]
pub enum Stored {
    /// They are in an entry.
    InEntry,
    /// There was no room for another entry.
    MapFull,
}

/// A pair of maps, by epoch.
pub type Epochs<const A: usize> = [&'static HashMap<FlowKey<A>, FlowCounters>; 2];

/// Adds a packet, which is `wire` packets and bytes on the wire, to its flow; or, where the flow
/// map is full, to what its member did by the same protocol.
#[inline(always)]
pub fn store<const A: usize>(
    hook: &Hook,
    datagram: &Datagram<A>,
    wire: (u64, u64),
    flows: Epochs<A>,
    overflow: Epochs<A>,
) -> Stored {
    let key = key(hook, datagram);
    let added = Added::of(hook, datagram, wire);
    // Each branch calls the helpers with a map that the verifier knows, so that it inlines them.
    let stored =
        if hook.epoch == 0 { added.store(flows[0], &key) } else { added.store(flows[1], &key) };
    match stored {
        Stored::InEntry => Stored::InEntry,
        Stored::MapFull => {
            // Copies have an address without the packets that have room paying for it.
            let (key, added) = (key, added);
            if hook.epoch == 0 {
                store_overflow(&key, &added, overflow[0])
            } else {
                store_overflow(&key, &added, overflow[1])
            }
        }
    }
}

/// Apart from the hot path, and with a stack of its own.
#[inline(never)]
fn store_overflow<const A: usize>(
    flow: &FlowKey<A>,
    added: &Added,
    overflow: &HashMap<FlowKey<A>, FlowCounters>,
) -> Stored {
    let key = FlowKey {
        remote: [0; A],
        member_port: [0; 2],
        remote_port: [0; 2],
        detail: detail::OVERFLOW,
        ..*flow
    };
    let marks = added.marks | marks::of_packet(added.direction, 0, partial::OVERFLOW);
    Added { marks, ..*added }.store(overflow, &key)
}

/// Which side is the member follows from the direction alone.
#[inline(always)]
fn key<const A: usize>(hook: &Hook, datagram: &Datagram<A>) -> FlowKey<A> {
    let transport = &datagram.transport;
    let (source, source_port) = (datagram.source, transport.source_port);
    let (destination, destination_port) = (datagram.destination, transport.destination_port);
    let (member, remote, member_port, remote_port) = match hook.direction {
        Direction::Up => (source, destination, source_port, destination_port),
        Direction::Down => (destination, source, destination_port, source_port),
    };
    FlowKey {
        member,
        remote,
        member_port,
        remote_port,
        interface: hook.interface,
        protocol: transport.protocol,
        detail: detail::FULL,
    }
}

/// What one packet adds to its flow.
#[derive(Clone, Copy)]
struct Added {
    direction: Direction,
    packets: u64,
    bytes: u64,
    now_ns: u64,
    marks: u64,
}

impl Added {
    #[inline(always)]
    fn of<const A: usize>(hook: &Hook, datagram: &Datagram<A>, wire: (u64, u64)) -> Self {
        let transport = &datagram.transport;
        Self {
            direction: hook.direction,
            packets: wire.0,
            bytes: wire.1,
            now_ns: hook.now_ns,
            marks: marks::of_packet(hook.direction, transport.tcp_flags, transport.partial),
        }
    }

    #[inline(always)]
    fn store<K>(&self, flows: &HashMap<K, FlowCounters>, key: &K) -> Stored {
        if let Some(counters) = flows.get_ptr_mut(key) {
            self.add_to(counters);
            return Stored::InEntry;
        }
        if flows.insert(key, self.first(), u64::from(BPF_NOEXIST)).is_ok() {
            return Stored::InEntry;
        }
        // Another CPU may have created the flow in the meantime.
        match flows.get_ptr_mut(key) {
            Some(counters) => {
                self.add_to(counters);
                Stored::InEntry
            }
            None => Stored::MapFull,
        }
    }

    #[inline(always)]
    fn first(&self) -> FlowCounters {
        let mut counters = FlowCounters {
            first_ns: self.now_ns,
            last_ns: self.now_ns,
            marks: self.marks | marks::of_initiator(self.direction),
            ..FlowCounters::default()
        };
        match self.direction {
            Direction::Up => {
                counters.packets_up = self.packets;
                counters.bytes_up = self.bytes;
            }
            Direction::Down => {
                counters.packets_down = self.packets;
                counters.bytes_down = self.bytes;
            }
        }
        counters
    }

    #[inline(always)]
    fn add_to(&self, counters: *mut FlowCounters) {
        // SAFETY: an element of a flow map, to which every CPU adds by atomic instructions.
        unsafe {
            let (packets, bytes) = match self.direction {
                Direction::Up => (&raw mut (*counters).packets_up, &raw mut (*counters).bytes_up),
                Direction::Down => {
                    (&raw mut (*counters).packets_down, &raw mut (*counters).bytes_down)
                }
            };
            atomic::add(packets, self.packets);
            atomic::add(bytes, self.bytes);
            // The clock and the marks change rarely: do not take the cache line away from the
            // other CPUs unless they do. CPUs that meet here differ by a jiffy at most.
            if (*counters).last_ns != self.now_ns {
                (*counters).last_ns = self.now_ns;
            }
            if (*counters).marks | self.marks != (*counters).marks {
                atomic::or(&raw mut (*counters).marks, self.marks);
            }
        }
    }
}
