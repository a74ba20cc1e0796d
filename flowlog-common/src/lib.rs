//! What crosses the border between flowlog's kernel program and its daemon.
//!
//! ```text
//!           CONTROL, TARGETS                       flow maps, TOTALS
//!  daemon ────────────────────▶  kernel program ────────────────────▶  daemon
//!           which links to count,                  what was counted, by epoch
//!           when to change epoch,
//!           whom to record
//! ```
//!
//! * [`flow`]: keys and values of the flow maps.
//! * [`fragment`]: what is remembered of a packet's first fragment.
//! * [`total`]: the per-interface totals that every packet is in.
//! * [`control`]: what the daemon tells the program while it runs.
//! * [`epoch`]: which of the two sets of maps a packet goes to.
//! * [`interface`]: which network interfaces are counted.
//! * [`policy`]: what is recorded of which packets.
//! * [`packet`]: the parser, one piece of Rust for the kernel and for host tests.
//!
//! Every type here is `#[repr(C)]` without padding, and its layout is asserted at compile time:
//! a struct that the two sides could read differently does not build.

#![cfg_attr(not(test), no_std)]

pub mod control;
pub mod epoch;
pub mod flow;
pub mod fragment;
pub mod interface;
mod layout;
pub mod packet;
pub mod policy;
mod redacted;
pub mod total;

/// The number of what [`flow`], [`total`] and [`control`] mean in the kernel's maps, which outlive
/// the daemon that made them. Whatever the next version would misread in them changes it.
pub const LAYOUT: u32 = 1;
