//! What is recorded of which packets, see [`flowlog_common::policy`].

use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use flowlog_common::{
    flow::Direction,
    packet::Datagram,
    policy::{Spans, profile},
};

use crate::hook::Hook;

/// The daemon sets it before it loads the program; a constant for the verifier.
#[unsafe(no_mangle)]
static PROFILE: u8 = profile::FLOWS;

#[inline(always)]
fn is_profile(profile: u8) -> bool {
    // SAFETY: a byte that nobody writes to any more; volatile, since the compiler does not know
    // what it will be.
    unsafe { (&raw const PROFILE).read_volatile() == profile }
}

/// Whether the other side of a conversation is not to be known.
#[inline(always)]
pub fn hides_remote() -> bool {
    is_profile(profile::ATTRIBUTION)
}

/// Whether the packet's member is not among those to be recorded now.
#[inline(always)]
pub fn excludes<const A: usize>(
    hook: &Hook,
    datagram: &Datagram<A>,
    targets: &LpmTrie<[u8; A], Spans>,
) -> bool {
    is_profile(profile::TARGETED) && !is_target(hook, datagram, targets)
}

#[inline(always)]
fn is_target<const A: usize>(
    hook: &Hook,
    datagram: &Datagram<A>,
    targets: &LpmTrie<[u8; A], Spans>,
) -> bool {
    let member = match hook.direction {
        Direction::Up => datagram.source,
        Direction::Down => datagram.destination,
    };
    let key = &Key::new(bits::<A>(), member);
    match targets.get(key) {
        Some(spans) => spans.contain(hook.now_ns),
        None => false,
    }
}

/// Bits of an address.
#[expect(clippy::cast_possible_truncation, reason = "an address has 4 or 16 bytes")]
const fn bits<const A: usize>() -> u32 {
    A as u32 * 8
}
