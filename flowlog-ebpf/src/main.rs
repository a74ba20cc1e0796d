//! The kernel program of flowlog.
//!
//! Four entry points at the TC hooks of a VPN interface: ingress is up (from the member), egress is
//! down (to the member), each for devices whose packets start at the IP header (WireGuard, tun)
//! and for those with an Ethernet header.
//!
//! ```text
//! entry point → link layer → IP parser (flowlog-common) → flow map of the epoch
//!                                                      ↘ TOTALS: every packet, by outcome
//! ```
//!
//! Every packet goes on its way whatever happens here: the only verdict is "next".

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    missing_docs,
    reason = "a program has no public interface; the macros make its entry points public"
)]
#![expect(clippy::needless_pass_by_value, reason = "the macros hand the context over by value")]

mod account;
mod atomic;
mod flows;
mod fragments;
mod hook;
mod maps;
mod policy;
mod skb;

use aya_ebpf::{macros::classifier, programs::TcContext};

/// `TCX_NEXT` and `TC_ACT_UNSPEC`: leave the packet to whoever comes next.
const NEXT: i32 = -1;

#[classifier]
pub fn up_l3(ctx: TcContext) -> i32 {
    account::layer3::<true>(&ctx);
    NEXT
}

#[classifier]
pub fn down_l3(ctx: TcContext) -> i32 {
    account::layer3::<false>(&ctx);
    NEXT
}

#[classifier]
pub fn up_l2(ctx: TcContext) -> i32 {
    account::layer2::<true>(&ctx);
    NEXT
}

#[classifier]
pub fn down_l2(ctx: TcContext) -> i32 {
    account::layer2::<false>(&ctx);
    NEXT
}

/// Does nothing: what it costs to be called at all, for the benchmarks.
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    NEXT
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
