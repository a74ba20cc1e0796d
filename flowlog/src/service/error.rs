//! What can end the daemon.

use std::{fmt, path::PathBuf, time::Duration};

use super::backlog::Backlog;
use crate::{
    capture::{self, drain},
    record::{location::Location, pattern::InterfacePattern},
    spool::{self, encode},
    store,
    telemetry::with_causes,
};

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
    /// An interface is named by an alternative name, under which nothing is recorded.
    #[error("{pattern} is an alternative name of the interface {name}; name it {name}")]
    AlternativeName {
        /// The name that was given.
        pattern: InterfacePattern,
        /// The interface's own.
        name: String,
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
        url: Location,
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
    /// It was told to end before the spool could be used.
    #[error("flowlog ended before the spool could be used")]
    NotRecovered,
    /// The drain did not end in time.
    #[error("the last drain did not end in time")]
    NotDrained,
    /// The windows were not made in time.
    #[error("the last windows could not be made in time; their epochs are in the spool")]
    NotGathered,
    /// The time for shutting down was over before everything was stored: the whole of it.
    #[error("{0}")]
    Unfinished(ShutdownReport),
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
        /// Whether all epochs were merged into windows.
        is_gathered: bool,
        /// Whether they are still on disk.
        is_durable: bool,
        /// What the store said last.
        source: Option<store::Error>,
    },
}

/// Where the counts are that a shutdown could not store.
#[derive(Debug)]
pub struct ShutdownReport {
    /// How long it was tried.
    pub timeout: Duration,
    /// What is not in the store as it should be.
    pub unstored: Backlog,
    /// Whether all epochs were merged into windows, so that it is the whole of what was drained.
    pub is_gathered: bool,
    /// Where it is; without a spool it is lost.
    pub spool: Option<PathBuf>,
    /// Whether everything that was counted was drained.
    pub is_drained: bool,
    /// What the store said last.
    pub store: Option<store::Error>,
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, unstored, is_gathered, spool, is_drained, store } = self;
        let Backlog { windows, rows } = unstored;
        write!(
            f,
            "not everything could be stored within the {timeout:?} that a shutdown may take: "
        )?;
        match (*is_gathered, *unstored == Backlog::default()) {
            (true, _) => write!(f, "{windows} windows with {rows} flow rows are ")?,
            (false, true) => write!(f, "epochs that are in no window yet are ")?,
            (false, false) => write!(
                f,
                "{windows} windows with {rows} flow rows, and epochs that are in no window yet, are "
            )?,
        }
        match (spool, is_drained) {
            (Some(spool), true) => write!(f, "in the spool {}", spool.display())?,
            (Some(spool), false) => write!(
                f,
                "in the spool {}, and the counts since the last drain are in the kernel",
                spool.display()
            )?,
            (None, true) => write!(f, "lost")?,
            (None, false) => write!(f, "lost, and so are the counts since the last drain")?,
        }
        if spool.is_some() {
            write!(f, "; they are stored when flowlog starts again")?;
        }
        match store {
            Some(error) => write!(f, ": {}", with_causes(error)),
            None => Ok(()),
        }
    }
}
