//! A digest of a file within the file: whatever changes in it later, in a page, a header or the footer,
//! is seen.
//!
//! The digest is a key-value pair of the footer. It is made, and compared, with zeros in its own
//! place.

use bytes::{Bytes, BytesMut};
use parquet::file::metadata::KeyValue;

use super::digest::sha256;

/// The key of the digest.
pub(super) const KEY: &str = "flowlog.sha256";

/// Digits of a digest.
const DIGITS: usize = 64;
const ZEROS: [u8; DIGITS] = [b'0'; DIGITS];

/// Whether a file is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is.
    Whole,
    /// It is not.
    Broken,
    /// It has no digest, as files of version 1.
    None,
}

/// The pairs of a file that is to be sealed.
pub(super) fn pairs(mut pairs: Vec<KeyValue>) -> Vec<KeyValue> {
    let zeros = ZEROS.iter().map(|digit| char::from(*digit)).collect::<String>();
    pairs.push(KeyValue::new(KEY.to_owned(), zeros));
    pairs
}

/// Puts the digest of a file into it.
pub(super) fn seal(file: Bytes) -> Bytes {
    let Some(place) = place(&file) else { return file };
    let digest = sha256(&file);
    let mut file = BytesMut::from(file);
    file[place..place + DIGITS].copy_from_slice(digest.as_bytes());
    file.freeze()
}

/// Compares a file with the digest that it has.
#[must_use]
pub fn check(file: &[u8]) -> Seal {
    use sha2::{Digest as _, Sha256};

    let Some(place) = place(file) else { return Seal::None };
    let (before, rest) = file.split_at(place);
    let (digest, after) = rest.split_at(DIGITS);
    let sha = Sha256::new().chain_update(before).chain_update(ZEROS).chain_update(after).finalize();
    if digest == super::digest::hex(&sha).as_bytes() { Seal::Whole } else { Seal::Broken }
}

/// Where the digest is: it is sought from the end, since the pairs are in the footer.
fn place(file: &[u8]) -> Option<usize> {
    // As Thrift's compact protocol writes a pair: a text, its length, and the type of the next field.
    let mut pair = vec![u8::try_from(KEY.len()).ok()?];
    pair.extend_from_slice(KEY.as_bytes());
    pair.extend_from_slice(&[0x18, u8::try_from(DIGITS).ok()?]);
    let at = file.windows(pair.len()).rposition(|window| window == pair)?;
    let place = at + pair.len();
    (place + DIGITS <= file.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_of_a_sealed_file_changes_unseen() {
        let mut text = b"some rows".to_vec();
        text.push(14);
        text.extend_from_slice(KEY.as_bytes());
        text.extend_from_slice(&[0x18, 64]);
        text.extend_from_slice(&ZEROS);
        text.extend_from_slice(b"footer");
        let sealed = seal(Bytes::from(text)).to_vec();
        assert_eq!(check(&sealed), Seal::Whole);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&flipped), Seal::Whole, "{bit}");
        }
        assert_eq!(check(b"PAR1 of before"), Seal::None);
    }
}
