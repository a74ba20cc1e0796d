//! Giving later fragments the ports of their first one.
//!
//! The cache forgets what was used least recently; a fragment whose first one is forgotten, comes
//! later or never came is counted as such.

use aya_ebpf::maps::LruHashMap;
use flowlog_common::{
    fragment::{FirstFragment, FragmentKey, TIMEOUT_NS},
    packet::{Datagram, Part},
};

use crate::{hook::Hook, maps::Family};

/// Remembers a first fragment, and completes a later one from what is remembered.
#[inline(always)]
pub fn follow<const A: usize, F: Family<A>>(hook: &Hook, datagram: &mut Datagram<A>, _: F) {
    if datagram.fragment.part != Part::Whole {
        // A copy has an address without the packets that are no fragments paying for it.
        let mut copy = *datagram;
        follow_copy(hook.interface, hook.now_ns, &mut copy, F::FRAGMENTS);
        datagram.transport = copy.transport;
    }
}

/// Apart from the hot path: few packets are fragments.
#[inline(never)]
fn follow_copy<const A: usize>(
    interface: u16,
    now_ns: u64,
    datagram: &mut Datagram<A>,
    firsts: &LruHashMap<FragmentKey<A>, FirstFragment>,
) {
    let key = key(interface, datagram);
    match datagram.fragment.part {
        Part::Whole => {}
        Part::First => {
            let transport = &datagram.transport;
            let first = FirstFragment {
                seen_ns: now_ns,
                ports: transport.ports,
                protocol: transport.protocol,
                reserved: [0; 3],
            };
            // Where there is no room the later fragments are counted as without their first.
            let _is_remembered = firsts.insert(key, first, 0).is_ok();
        }
        Part::Later => {
            let Some(first) = firsts.get_ptr(key) else {
                return;
            };
            // SAFETY: an element of a map; the kernel may give it to another packet meanwhile, as
            // it may forget any, which the time of what is there bounds.
            let first = unsafe { *first };
            if now_ns.wrapping_sub(first.seen_ns) > TIMEOUT_NS {
                return;
            }
            datagram.transport.protocol = first.protocol;
            datagram.transport.ports = first.ports;
            datagram.transport.partial = 0;
        }
    }
}

#[inline(always)]
fn key<const A: usize>(interface: u16, datagram: &Datagram<A>) -> FragmentKey<A> {
    FragmentKey {
        source: datagram.source,
        destination: datagram.destination,
        identification: datagram.fragment.identification,
        interface,
        // The protocol of a later fragment of IPv6 is its own next header, not the packet's.
        protocol: if A == 4 { datagram.transport.protocol } else { 0 },
        reserved: 0,
    }
}
