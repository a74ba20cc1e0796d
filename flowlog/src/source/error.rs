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
    /// The status file is of version 1.
    #[error(
        "the status file is of version 1; write `status-version 2` into the configuration of the server"
    )]
    Version,
    /// The management socket asks for a password.
    #[error("the management socket asks for a password; flowlog has none")]
    Password,
    /// The server does not write its status file any more.
    #[error("the server has not written its status file within {limit:?}")]
    Stale {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The process of the server whose hooks were called is gone.
    #[error("the server that called the hooks has ended")]
    ServerGone,
    /// No server has called its hooks yet.
    #[error("no server has called `flowlog hook openvpn` yet")]
    NoCall,
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
            | Self::Version
            | Self::Password
            | Self::Refused { .. } => true,
            Self::Kernel { .. }
            | Self::Interfaces { .. }
            | Self::Connect { .. }
            | Self::Socket { .. }
            | Self::File { .. }
            | Self::Directory { .. }
            | Self::Stale { .. }
            | Self::ServerGone
            | Self::NoCall
            | Self::Silent { .. } => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Kernel { .. } | Self::Interfaces { .. } => {
                "give flowlog CAP_NET_ADMIN, and allow AF_NETLINK sockets"
            }
            Self::Connect { .. } => {
                "start the server, and let flowlog's user connect to its socket"
            }
            Self::Socket { .. } | Self::Silent { .. } => {
                "look whether the server hangs, or whether another program holds its socket"
            }
            Self::File { .. } => "start what writes the file, and let flowlog's user read it",
            Self::BadLease { .. } => "correct the line",
            Self::Version => "write `status-version 2` into the configuration of the server",
            Self::Password => {
                "give flowlog a management socket without a password, or use the status file"
            }
            Self::Stale { .. } => {
                "start the server, or write `status FILE 10` into its configuration"
            }
            Self::ServerGone => "start the server",
            Self::NoCall => "let a client connect, and look whether the server calls the hook",
            Self::Directory { .. } => {
                "give the directory to root with the mode 1730 and the group flowlog-hook"
            }
            Self::Inconsistent
            | Self::Truncated
            | Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::MalformedMessage
            | Self::Refused { .. } => {
                "look whether this is the right file or socket, and whether its version is supported"
            }
        }
    }
}
