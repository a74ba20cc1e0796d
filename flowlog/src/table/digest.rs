//! Digests of files.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a file, in hexadecimal digits.
#[must_use]
pub fn sha256(file: &[u8]) -> String {
    hex(&Sha256::digest(file))
}

/// A digest in hexadecimal digits.
pub(super) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;

    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
