//! Leases: a file that a control plane writes, or the notes of `flowlog hook lease`.

mod file;
mod hook;
mod watch;

pub use file::{BadLine, Fault, Lease, parse};
pub(super) use hook::run as run_hook;
pub(super) use watch::run as run_file;

use sha2::{Digest as _, Sha256};

/// The first bits of a digest of parts.
fn first_64_bits(parts: &[&[u8]]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
