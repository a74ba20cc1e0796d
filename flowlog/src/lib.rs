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
//! | 0 | [`record`] (the things that are recorded, pure), [`telemetry`] (log lines), `durable` (locks, private directories, durable files), `netlink` (questions to the kernel), [`demo`] (a VPN of its own) |
//! | 1 | [`config`], [`store`] (objects in a directory or a cloud), [`status`] (how the daemon is) |
//! | 2 | [`capture`] (kernel program, hooks, drain), [`source`] (who tells of sessions), [`table`] (columns, Parquet, metadata) |
//! | 3 | [`spool`] (drained, and not in the store yet), [`ask`] (audit, questions, DuckDB), [`keep`] (retention) |
//! | 4 | [`service`]: the shell that puts them together |
//!
//! The core of each is pure: times, packets and listings are arguments.
//!
//! # Record
//!
//! What `flowlog run` does, until the future ends. It needs root, and interfaces to count.
//!
#![cfg_attr(feature = "capture", doc = "```no_run")]
#![cfg_attr(not(feature = "capture"), doc = "```ignore")]
//! use flowlog::{
//!     config::{Config, File},
//!     service::{self, Options},
//! };
//!
//! # async fn record() -> Result<(), Box<dyn std::error::Error>> {
//! let file = File::read("/etc/flowlog/flowlog.toml".as_ref())?;
//! let config = Config::from_file(file, "gw1")?;
//! let hour = tokio::time::sleep(std::time::Duration::from_hours(1));
//! let summary = service::run(&config, &Options::default(), hour).await?;
//! println!("{} packets in {} flows", summary.packets, summary.flows);
//! # Ok(())
//! # }
//! ```
//!
//! # Read a store
//!
//! Every table has one description, and one reader, which names the file where that is not what it says.
//!
//! ```no_run
//! use arrow::datatypes::UInt64Type;
//! use flowlog::{
//!     store::Store,
//!     table::{FLOWS, ObjectName, Reader},
//! };
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("/var/lib/flowlog/store")?;
//! let mut packets = 0;
//! for object in store.list_folder(FLOWS.name).await?.reported() {
//!     if ObjectName::parse(&object.location).is_none() {
//!         continue;
//!     }
//!     let file = store.read(&object.location).await?;
//!     let reader = Reader::open_sealed(&FLOWS, &object.location, file)?;
//!     for rows in reader.select(&["packets_up"])?.batches()? {
//!         packets += rows?.numbers::<UInt64Type>("packets_up")?.values().iter().sum::<u64>();
//!     }
//! }
//! println!("members sent {packets} packets");
//! # Ok(())
//! # }
//! ```

mod durable;
#[cfg(feature = "capture")]
mod netlink;
pub mod record;
pub mod telemetry;

pub mod config;
pub mod status;
pub mod store;

#[cfg(feature = "capture")]
pub mod capture;
pub mod source;
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
