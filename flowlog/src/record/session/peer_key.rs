//! The key by which peers get their pseudonyms.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{Peer, Source};

/// Fewest bytes of a key.
const LEAST_BYTES: usize = 16;
/// Most bytes of a key.
const MOST_BYTES: usize = 4_096;

/// The key by which peers get their pseudonyms: all gateways of a store have the same one. Its bytes are overwritten
/// when it goes.
#[derive(Clone)]
pub struct PeerKey(zeroize::Zeroizing<Vec<u8>>);

/// A file that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a peer key has {LEAST_BYTES} to {MOST_BYTES} bytes; make one with `head -c 32 /dev/urandom > FILE`"
)]
pub struct BadKey;

impl PeerKey {
    /// The key that a file has: all of its bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BadKey> {
        let bytes = zeroize::Zeroizing::new(bytes);
        let is_right = (LEAST_BYTES..=MOST_BYTES).contains(&bytes.len());
        is_right.then_some(Self(bytes)).ok_or(BadKey)
    }

    /// The pseudonym of a peer by its public key, its common name or the name of its lease.
    #[must_use]
    pub fn peer(&self, source: Source, name: &str) -> Peer {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Peer::of(&[]) };
        mac.update(source.name().as_bytes());
        mac.update(b":");
        mac.update(name.as_bytes());
        Peer::of(&mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for PeerKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PeerKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_beginning_of_the_hmac() {
        // printf 'openvpn:m-0007' | openssl dgst -sha256 -mac HMAC -macopt key:0123456789abcdef
        let key = PeerKey::new(b"0123456789abcdef".to_vec()).unwrap();
        assert_eq!(key.peer(Source::Openvpn, "m-0007").hex(), "421ed31f41347066b097bdb72cd38189");
    }

    #[test]
    fn a_key_that_is_too_short_or_too_long_is_refused() {
        for bytes in [0, LEAST_BYTES - 1, MOST_BYTES + 1] {
            assert_eq!(PeerKey::new(vec![1; bytes]).unwrap_err(), BadKey);
        }
    }
}
