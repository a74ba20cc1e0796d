//! Who tells of sessions: WireGuard, OpenVPN, leases; and whose a peer is.
//!
//! Each source is a task of its own, which asks, reads or waits, and sends [`Report`](crate::record::session::Report)s.
//! One that hangs, lies or floods delays no other one: its reports have a channel of their own, with little room. What
//! it could not tell is a gap in the coverage.

#[cfg(feature = "capture")]
mod blocking;
#[cfg(feature = "capture")]
mod changed;
#[cfg(feature = "capture")]
mod digest;
#[cfg(feature = "capture")]
mod error;
#[cfg(feature = "capture")]
pub mod events;
#[cfg(feature = "capture")]
mod health;
#[cfg(feature = "capture")]
pub mod hook;
#[cfg(feature = "capture")]
pub mod lease;
#[cfg(feature = "capture")]
pub mod openvpn;
#[cfg(feature = "capture")]
pub mod probe;
#[cfg(feature = "capture")]
mod reporter;
#[cfg(feature = "capture")]
mod socket;
pub mod subscribers;
#[cfg(feature = "capture")]
mod watch;
mod whole;
#[cfg(feature = "capture")]
pub mod wireguard;

#[cfg(feature = "capture")]
use digest::first_64_bits;
#[cfg(feature = "capture")]
pub use error::Error;
#[cfg(feature = "capture")]
pub use health::{Failure, Health};
#[cfg(feature = "capture")]
pub use watch::{WAITING_REPORTS, watch};
