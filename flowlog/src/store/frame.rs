//! Questions and answers between two processes: a length, the value as JSON, a length, the bytes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The longest value; a list of a million files is shorter.
const LONGEST_VALUE: u32 = 1 << 30;

/// Writes a value, and the bytes beside it.
pub(super) fn write(mut to: impl Write, value: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
    let value = serde_json::to_vec(value).map_err(io::Error::other)?;
    let length = u32::try_from(value.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(&value)?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads a value, and the bytes beside it; nothing where the other side has closed.
pub(super) fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<(T, Bytes)>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST_VALUE {
        return Err(io::Error::other("not a question to a store"));
    }
    let mut bytes_length = [0; 8];
    from.read_exact(&mut bytes_length)?;
    let value = read_bytes(&mut from, u64::from(length))?;
    let value = serde_json::from_slice(&value).map_err(io::Error::other)?;
    let bytes = read_bytes(&mut from, u64::from_le_bytes(bytes_length))?;
    Ok(Some((value, bytes.into())))
}

fn read_bytes(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    bytes
        .try_reserve_exact(usize::try_from(length).map_err(io::Error::other)?)
        .map_err(io::Error::other)?;
    if from.take(length).read_to_end(&mut bytes)? as u64 == length {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_half_of_it_is_not() {
        let mut wire = vec![];
        write(&mut wire, &"question", b"file").unwrap();
        write(&mut wire, &"another", b"").unwrap();
        let mut rest = &wire[..];
        assert_eq!(read(&mut rest).unwrap(), Some(("question".to_owned(), Bytes::from("file"))));
        assert_eq!(read(&mut rest).unwrap(), Some(("another".to_owned(), Bytes::new())));
        assert_eq!(read::<String>(&mut rest).unwrap(), None);
        for cut in 4..wire.len() - 24 {
            assert!(read::<String>(&wire[..cut]).is_err(), "{cut}");
        }
        assert!(read::<String>(&[0xff; 64][..]).is_err());
    }
}
