//! What is recorded of which packets, see [`flowlog_common::policy`].

use aya_ebpf::maps::lpm_trie::Key;
use flowlog_common::policy::profile;

use crate::{hook::Hook, maps::Family};

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

/// Whether a packet's member is not among those to be recorded now.
#[inline(always)]
pub fn excludes<const A: usize>(hook: &Hook, member: &[u8; A], family: impl Family<A>) -> bool {
    is_profile(profile::TARGETED) && !is_target(member, hook.now_ns, family)
}

/// Whether this member is to be recorded at this instant. With a stack of its own.
#[inline(never)]
fn is_target<const A: usize, F: Family<A>>(member: &[u8; A], now_ns: u64, _: F) -> bool {
    let key = &Key::new(bits::<A>(), *member);
    match F::TARGETS.get(key) {
        Some(spans) => spans.contain(now_ns),
        None => false,
    }
}

/// Bits of an address.
#[expect(clippy::cast_possible_truncation, reason = "an address has 4 or 16 bytes")]
const fn bits<const A: usize>() -> u32 {
    A as u32 * 8
}
