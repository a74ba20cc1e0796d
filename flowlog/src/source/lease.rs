//! Leases: a file that a control plane writes, or the notes of `flowlog hook lease`.

mod file;
mod hook;
mod watch;

pub(super) use file::parse_prefix;
pub use file::{BadLine, Fault, Lease, parse};
pub use hook::event;
pub(super) use hook::run as run_hook;
pub(super) use watch::{probe, run as run_file};
