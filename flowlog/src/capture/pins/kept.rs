//! What daemons before this one left in the kernel, as far as it matters to others.

use std::path::PathBuf;

/// What became of what a gateway had in the kernel under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// There was nothing.
    Nothing,
    /// All of it goes on under the new name.
    All,
    /// The new name has something too, so that it stays.
    Kept,
}

/// What daemons left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Maps of the wanted sizes: they go on counting.
    pub goes_on: bool,
    /// Maps of other sizes: they are drained, and go.
    pub has_other_sizes: bool,
    /// Maps of other versions: what they hold cannot be read, and is lost.
    pub unreadable: Vec<PathBuf>,
    /// Other gateways that have something in the kernel.
    pub others: Vec<OtherGateway>,
}

/// Another gateway, or another name that this one had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherGateway {
    /// Its name.
    pub name: String,
    /// Whether a daemon runs for it.
    pub is_running: bool,
}
