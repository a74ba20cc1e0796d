//! Addresses as text (RFC 5952), without an allocation.

use std::{
    hash::{Hash, Hasher},
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
};

/// The longest text of an address has 39 bytes.
const ROOM: usize = 40;

/// The text of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Zero after the text, so that the order of these bytes is the order of the texts.
    bytes: [u8; ROOM],
    length: u8,
}

impl Text {
    /// The text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The text, and zeros after it.
    pub const fn padded(&self) -> &[u8; ROOM] {
        &self.bytes
    }
}

impl From<IpAddr> for Text {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => v4(address),
            IpAddr::V6(address) => {
                let mut bytes = [0; ROOM];
                let mut rest = &mut bytes[..];
                // No text is longer than the room.
                let written = write!(rest, "{address}").map_or(0, |()| ROOM - rest.len());
                Self { bytes, length: u8::try_from(written).unwrap_or(0) }
            }
        }
    }
}

impl From<Key> for Text {
    fn from(key: Key) -> Self {
        Self::from(key.0)
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// An address that is looked up often: its hash is made of one number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(IpAddr);

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            IpAddr::V4(address) => state.write_u32(address.to_bits()),
            IpAddr::V6(address) => state.write_u128(address.to_bits()),
        }
    }
}

fn v4(address: Ipv4Addr) -> Text {
    let mut bytes = [0; ROOM];
    let mut length = 0;
    for octet in address.octets() {
        let Octet { text, digits } = OCTETS[usize::from(octet)];
        // All four bytes, of which the next octet overwrites those that are no digits.
        bytes[length..length + 4].copy_from_slice(&text);
        length += usize::from(digits) + 1;
    }
    // The last octet has no dot.
    length -= 1;
    bytes[length..].fill(0);
    Text { bytes, length: u8::try_from(length).unwrap_or(0) }
}

/// Decimal digits of a byte, and a dot.
#[derive(Clone, Copy)]
struct Octet {
    text: [u8; 4],
    digits: u8,
}

const OCTETS: [Octet; 256] = {
    let mut octets = [Octet { text: [0; 4], digits: 0 }; 256];
    let mut value: u8 = 0;
    loop {
        let [hundreds, tens, ones] =
            [b'0' + value / 100, b'0' + value / 10 % 10, b'0' + value % 10];
        octets[value as usize] = match value {
            0..10 => Octet { text: [ones, b'.', 0, 0], digits: 1 },
            10..100 => Octet { text: [tens, ones, b'.', 0], digits: 2 },
            100.. => Octet { text: [hundreds, tens, ones, b'.'], digits: 3 },
        };
        if value == u8::MAX {
            break octets;
        }
        value += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_written_at_every_place() {
        for octet in 0..=u8::MAX {
            for address in
                [[octet, 0, 0, 0], [9, octet, 10, 255], [1, 2, octet, 3], [255, 255, 255, octet]]
            {
                let address = IpAddr::from(address);
                assert_eq!(Text::from(address).as_bytes(), address.to_string().as_bytes());
            }
        }
    }

    #[test]
    fn ipv6_is_written_as_rfc_5952_says() {
        for text in [
            "::",
            "::1",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "2001:0:0:1::1",
            "::ffff:192.0.2.1",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            assert_eq!(Text::from(text.parse::<IpAddr>().unwrap()).as_bytes(), text.as_bytes());
        }
    }
}
