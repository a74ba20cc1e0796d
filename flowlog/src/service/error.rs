//! What can end the daemon.

use std::time::Duration;

use crate::{capture, config::InterfacePattern, drain, encode, notify, spool, store};

/// Why the daemon stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A named interface does not exist, and nobody said to wait for it.
    #[error("there is no interface {pattern}; name one that exists, or wait for it with --wait")]
    NoInterface {
        /// The interface.
        pattern: InterfacePattern,
    },
    /// Capturing packets.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// Draining the kernel's maps.
    #[error(transparent)]
    Drain(#[from] drain::Error),
    /// Encoding a window.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The store cannot be used.
    #[error("the store {url} cannot be used")]
    Store {
        /// The store.
        url: String,
        /// Why.
        source: store::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the drain thread")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// A part of the daemon ended before it was told to.
    #[error("the {part} ended unexpectedly")]
    Ended {
        /// Which part.
        part: &'static str,
    },
    /// The service manager.
    #[error(transparent)]
    Notify(#[from] notify::Error),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// What was counted last is in no spool.
    #[error(
        "the last {rows} flows could not be written to the spool and are {}",
        if *is_durable { "in the kernel, and stored when flowlog starts again" } else { "lost" }
    )]
    NotSpooled {
        /// How many flows.
        rows: usize,
        /// Whether the kernel keeps them.
        is_durable: bool,
        /// What the spool said.
        source: spool::Error,
    },
    /// The time for shutting down was over before everything was stored.
    #[error(
        "not everything could be stored within the {timeout:?} that a shutdown may take: {windows} windows with {rows} flow rows are {}",
        if *is_durable { "in the spool, and stored when flowlog starts again" } else { "lost" }
    )]
    NotPublished {
        /// How long it was tried.
        timeout: Duration,
        /// Windows of files that are not in the store as they should be.
        windows: usize,
        /// Their rows.
        rows: u64,
        /// Whether they are still on disk.
        is_durable: bool,
        /// What the store said last.
        source: Option<store::Error>,
    },
}
