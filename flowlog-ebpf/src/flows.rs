//! The flow maps: one entry per conversation, shared by all CPUs and added to atomically.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKey, detail, marks, partial},
    packet::Datagram,
};

use crate::{atomic, hook::Hook, maps::Family, policy};

/// What became of a packet's counts.
#[derive(Clone, Copy)]
pub enum Stored {
    /// They are in an entry.
    InEntry,
    /// There was no room for another entry.
    MapFull,
}

/// Adds a packet, which is `wire` packets and bytes on the wire, to its flow; or, where the flow
/// map is full, to what its member did by the same protocol.
#[inline(always)]
pub fn store<const A: usize, F: Family<A>>(
    hook: &Hook,
    datagram: &Datagram<A>,
    // By reference: the lookup would have a copy of its own.
    key: &FlowKey<A>,
    wire: (u64, u64),
    _: F,
) -> Stored {
    let added = Added::of(hook, datagram, wire);
    // Each branch calls the helper with a map that the verifier knows, so that it inlines it.
    if hook.epoch == 0 { added.store::<A, F, 0>(key) } else { added.store::<A, F, 1>(key) }
}

/// Stores the first packet of a flow. Apart from the hot path, and with a stack of its own, for
/// which it takes what was added in registers; the direction is in the marks.
#[inline(never)]
fn store_first<const A: usize, F: Family<A>, const EPOCH: usize>(
    key: &FlowKey<A>,
    packets: u64,
    bytes: u64,
    now_ns: u64,
    marks: u64,
) -> Stored {
    let mut first = first(packets, bytes, now_ns, marks);
    if let Stored::InEntry = insert_or_add(F::FLOWS[EPOCH], key, &first) {
        return Stored::InEntry;
    }
    let key = FlowKey {
        remote: [0; A],
        member_port: [0; 2],
        remote_port: [0; 2],
        detail: detail::OVERFLOW,
        ..*key
    };
    first.marks |= marks::of_packet(Direction::Up, 0, partial::OVERFLOW);
    insert_or_add(F::OVERFLOW[EPOCH], &key, &first)
}

#[inline(always)]
fn first(packets: u64, bytes: u64, now_ns: u64, marks: u64) -> FlowCounters {
    let none = unknown_zero();
    let (up, down) = if marks & marks::REMOTE_INITIATED == 0 {
        ((packets, bytes), (none, none))
    } else {
        ((none, none), (packets, bytes))
    };
    FlowCounters {
        packets_up: up.0,
        bytes_up: up.1,
        packets_down: down.0,
        bytes_down: down.1,
        first_ns: now_ns,
        last_ns: now_ns,
        marks,
    }
}

/// Makes an entry, or adds to the one that is there.
#[inline(always)]
fn insert_or_add<K>(entries: &HashMap<K, FlowCounters>, key: &K, first: &FlowCounters) -> Stored {
    if entries.insert(key, first, u64::from(BPF_NOEXIST)).is_ok() {
        return Stored::InEntry;
    }
    match entries.get_ptr_mut(key) {
        Some(counters) => {
            add_first(counters, first);
            Stored::InEntry
        }
        None => Stored::MapFull,
    }
}

#[inline(always)]
fn add_first(counters: *mut FlowCounters, first: &FlowCounters) {
    // SAFETY: an element of a flow map, to which every CPU adds by atomic instructions.
    unsafe {
        atomic::add(&raw mut (*counters).packets_up, first.packets_up);
        atomic::add(&raw mut (*counters).bytes_up, first.bytes_up);
        atomic::add(&raw mut (*counters).packets_down, first.packets_down);
        atomic::add(&raw mut (*counters).bytes_down, first.bytes_down);
        (*counters).last_ns = first.last_ns;
        // Who began is known of the entry already.
        atomic::or(&raw mut (*counters).marks, first.marks & !marks::REMOTE_INITIATED);
    }
}

/// Which side is the member follows from the direction alone.
#[inline(always)]
pub fn key<const A: usize>(hook: &Hook, datagram: &Datagram<A>) -> FlowKey<A> {
    let ports = u32::from_ne_bytes(datagram.transport.ports);
    let (member, remote, ports) = match hook.direction {
        Direction::Up => (datagram.source, datagram.destination, ports),
        Direction::Down => (datagram.destination, datagram.source, ports.rotate_left(16)),
    };
    let mut rest = [0; 8];
    rest[..4].copy_from_slice(&ports.to_ne_bytes());
    rest[4..6].copy_from_slice(&hook.interface.to_ne_bytes());
    rest[6] = datagram.transport.protocol;
    if policy::hides_remote() {
        rest[2..4].copy_from_slice(&[0; 2]);
        rest[7] = detail::WITHOUT_REMOTE;
        return key_of_words(member, [0; A], u64::from_ne_bytes(rest));
    }
    rest[7] = detail::FULL;
    key_of_words(member, remote, u64::from_ne_bytes(rest))
}

/// A key written in whole words: the kernel hashes and compares it by words, and a processor that
/// reads a word just after its parts were written waits for them.
#[inline(always)]
fn key_of_words<const A: usize>(member: [u8; A], remote: [u8; A], rest: u64) -> FlowKey<A> {
    let mut key = MaybeUninit::<FlowKey<A>>::uninit();
    // SAFETY: the parts have the places that the layout of the key gives them, and nothing else is
    // in it. The key and so its last word is aligned to eight bytes.
    unsafe {
        let start = key.as_mut_ptr();
        start.cast::<[u8; A]>().write(member);
        start.byte_add(A).cast::<[u8; A]>().write(remote);
        start.byte_add(2 * A).cast::<u64>().write(rest);
        key.assume_init()
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

    /// Adds it to the flow, or makes an entry of it.
    #[inline(always)]
    fn store<const A: usize, F: Family<A>, const EPOCH: usize>(&self, key: &FlowKey<A>) -> Stored {
        if let Some(counters) = F::FLOWS[EPOCH].get_ptr_mut(key) {
            self.add_to(counters);
            return Stored::InEntry;
        }
        let Self { direction, packets, bytes, now_ns, marks } = *self;
        let marks = marks | marks::of_initiator(direction);
        store_first::<A, F, EPOCH>(key, packets, bytes, now_ns, marks)
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

/// Zero, which the compiler does not know: it would call a loop over bytes to write two of them.
#[inline(always)]
fn unknown_zero() -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let zero;
        // SAFETY: writes one register.
        unsafe {
            core::arch::asm!("{zero} = 0", zero = out(reg) zero, options(pure, nomem, nostack))
        };
        zero
    }
    #[cfg(not(target_arch = "bpf"))]
    0
}
