//! Why a step of publishing was not done.

use std::fmt;

use crate::{
    spool::{self, encode},
    store,
    telemetry::with_causes,
};

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Fault {
    Store(store::Error),
    Spool(spool::Error),
    Encode(encode::Error),
    /// It panicked: a defect, and no reason to hold up other files.
    Panicked(&'static str),
}

impl Fault {
    /// Whether a part of the spool is not where it was.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Spool(error) | Self::Encode(encode::Error::Spool(error)) => error.is_gone(),
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => f.write_str(&with_causes(error)),
            Self::Spool(error) => f.write_str(&with_causes(error)),
            Self::Encode(error) => f.write_str(&with_causes(error)),
            Self::Panicked(part) => write!(f, "the {part} of a file ended unexpectedly"),
        }
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<spool::Error> for Fault {
    fn from(error: spool::Error) -> Self {
        Self::Spool(error)
    }
}
