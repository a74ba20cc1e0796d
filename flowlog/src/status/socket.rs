//! Where a daemon answers.

use std::path::PathBuf;

/// Where the sockets are, unless the configuration names one.
pub const DIRECTORY: &str = "/run/flowlog";

/// The socket of a gateway's daemon, unless the configuration names one.
#[must_use]
pub fn socket_of(gateway: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{gateway}.sock"))
}
