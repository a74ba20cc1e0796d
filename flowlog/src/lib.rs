//! flowlog: packets on a VPN interface become Parquet that expires.
//!
//! ```text
//!  capture ── epochs ──▶ spool ── hours ──▶ table ── files ──▶ store ──▶ ask · keep
//!  └ kernel memory ┘     └ durable: the local disk ┘           └ durable: the store
//! ```
//!
//! With a spool a packet is safe a drain interval after it passed, at the latest; without one, when the file of
//! its window is in the store. `docs/architecture.md` tells what a kill or a power cut loses until then.
//!
//! The modules are the rooms of a house, the ground floor first, and `cargo xtask check` proves the floors:
//! a module uses those of the floors below it, never one of its own floor or above.
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`record`] (the things that are recorded, pure), [`telemetry`] (log lines), `durable` (locks, private directories, durable files), [`demo`] (a VPN of its own) |
//! | 1 | [`config`], [`store`] (objects in a directory or a cloud), [`status`] (how the daemon is) |
//! | 2 | [`capture`] (kernel program, hooks, drain), [`table`] (columns, Parquet, metadata) |
//! | 3 | [`spool`] (drained, and not in the store yet), [`ask`] (audit, DuckDB), [`keep`] (retention) |
//! | 4 | [`service`]: the shell that puts them together |
//!
//! The core of each is pure: times, packets and listings are arguments.

mod durable;
pub mod record;
pub mod telemetry;

pub mod config;
pub mod status;
pub mod store;

#[cfg(feature = "capture")]
pub mod capture;
pub mod table;

pub mod spool;

pub mod ask;
pub mod keep;

#[cfg(feature = "capture")]
pub mod service;

#[cfg(feature = "capture")]
pub mod demo;

#[cfg(test)]
mod generated;

#[cfg(test)]
mod markers;
