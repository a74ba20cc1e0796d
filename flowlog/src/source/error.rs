//! Why a source could not be looked at.

use std::{io, time::Duration};

use super::lease::BadLine;

/// Why a source could not be looked at. No name, key or address of a member is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel was not asked, or refused to answer.
    #[error("cannot ask the kernel for its WireGuard peers")]
    Kernel {
        /// The cause.
        source: io::Error,
    },
    /// The interfaces could not be listed.
    #[error("cannot list the interfaces")]
    Interfaces {
        /// The cause.
        source: io::Error,
    },
    /// The list changed again and again while it was read.
    #[error("the list changed while it was read")]
    Inconsistent,
    /// A socket was not reached.
    #[error("cannot connect to the socket")]
    Connect {
        /// The cause.
        source: io::Error,
    },
    /// A socket was reached, and then failed.
    #[error("cannot read from the socket")]
    Socket {
        /// The cause.
        source: io::Error,
    },
    /// No whole answer came in time.
    #[error("no whole answer within {limit:?}")]
    Silent {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The answer ended before its end.
    #[error("the answer ends in the middle")]
    Truncated,
    /// The answer is longer than any answer should be.
    #[error("the answer is longer than {limit} bytes or entries")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A line of the answer makes no sense. The line itself is not repeated.
    #[error("line {line} of the answer cannot be read")]
    Malformed {
        /// Its number, from 1 on.
        line: usize,
    },
    /// What the kernel answered makes no sense.
    #[error("a message of the kernel cannot be read")]
    MalformedMessage,
    /// A file cannot be read.
    #[error("cannot read the file")]
    File {
        /// The cause.
        source: io::Error,
    },
    /// The file of leases has a line that cannot be used; the one before it stays in force.
    #[error("the file of leases cannot be used")]
    BadLease {
        /// Which line, and why.
        source: BadLine,
    },
    /// The directory of the notes of hooks cannot be used.
    #[error("cannot use the directory of the hooks")]
    Directory {
        /// The cause.
        source: io::Error,
    },
    /// The answer is an error.
    #[error("the answer is error {number}")]
    Refused {
        /// Its number.
        number: i64,
    },
}

impl Error {
    /// Whether there was an answer, which could not be used.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        match self {
            Self::Inconsistent
            | Self::Truncated
            | Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::MalformedMessage
            | Self::BadLease { .. }
            | Self::Refused { .. } => true,
            Self::Kernel { .. }
            | Self::Interfaces { .. }
            | Self::Connect { .. }
            | Self::Socket { .. }
            | Self::File { .. }
            | Self::Directory { .. }
            | Self::Silent { .. } => false,
        }
    }
}
