//! Who tells of sessions: WireGuard, OpenVPN, leases.
//!
//! Each source is a task of its own, which asks, reads or waits, and sends [`Report`]s. One that hangs, lies or
//! floods delays no other one: its reports have a channel of their own, with little room. What it could not tell is
//! a gap in the coverage.

mod blocking;
mod error;
pub mod events;
mod reporter;
pub mod wireguard;

use tokio::sync::mpsc;

pub use error::Error;

use crate::{
    config::{SourceConfig, SourceOrigin},
    record::session::{PeerKey, Report},
};

/// Reports of a source that nobody has taken yet.
pub const WAITING_REPORTS: usize = 16;

/// Asks a source until nobody takes its reports any more. Must be called within a tokio runtime, whose network
/// namespace is the one to be looked at; it never blocks its thread.
pub async fn watch(config: SourceConfig, key: PeerKey, reports: mpsc::Sender<Report>) {
    let SourceConfig { realm, poll, origin } = config;
    match origin {
        SourceOrigin::Wireguard { interfaces } => {
            let watch = wireguard::Watch { interfaces, realm, poll, key };
            watch.run(reports).await;
        }
        SourceOrigin::Openvpn { .. } | SourceOrigin::Lease { .. } => reports.closed().await,
    }
}
