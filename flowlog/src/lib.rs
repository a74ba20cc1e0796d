//! flowlog: packets on a VPN interface become Parquet that expires.
//!
//! The modules are the stages, in the order in which data move; a stage depends on those above it,
//! and on `clock`, `config` and `telemetry`, never on those below.
//!
//! ```text
//!  kernel program ──▶ drain ──▶ aggregate ──▶ encode ──▶ store ──▶ verify · query · retain
//!  └──── kernel memory ────┘    └─── the process's memory ──┘  └── durable
//! ```
//!
//! A packet is safe when the file of its window is in the store: at the end of each window, and
//! when the daemon is told to end. What a kill or a power cut loses until then, `docs/architecture.md`
//! says.
//!
//! The core of each stage is pure: times, packets and listings are arguments. [`service`] is the
//! shell that puts them together.

pub mod record;
pub mod telemetry;

pub mod config;
pub mod store;

pub mod capture;
pub mod table;

pub mod spool;

pub mod ask;
pub mod keep;

pub mod service;

pub mod demo;

#[cfg(test)]
mod generated;
