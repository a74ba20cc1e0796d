//! What can go wrong while the kernel's maps are emptied.

use aya::maps::MapError;

use crate::capture;

/// Why the kernel's maps cannot be drained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not say when all programs have left the old epoch.
    #[error("cannot wait for the kernel program to leave an epoch (membarrier)")]
    Settle {
        /// Why.
        source: std::io::Error,
    },
    /// A flow map cannot be read.
    #[error("cannot read a flow map")]
    Read {
        /// Why.
        source: std::io::Error,
    },
    /// A flow map cannot be cleared.
    #[error("cannot clear a flow map")]
    Clear {
        /// Why.
        source: std::io::Error,
    },
    /// The kernel program cannot be told whom to record until when.
    #[error(transparent)]
    Targets(#[from] capture::Error),
    /// The totals cannot be read or cleared.
    #[error("cannot read or clear the totals")]
    Totals {
        /// Why.
        source: Box<MapError>,
    },
}
