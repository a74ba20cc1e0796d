//! A short digest, which tells the sessions of one peer from each other.

use sha2::{Digest as _, Sha256};

/// The first bits of a digest of parts.
pub(super) fn first_64_bits(parts: &[&[u8]]) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
