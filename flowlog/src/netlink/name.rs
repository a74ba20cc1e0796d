//! Names of interfaces as text: the kernel takes nearly any bytes.

use std::fmt::Write as _;

/// The text that stands for a name; bytes that are no UTF-8 are written as `\xe9`.
pub(crate) fn text(name: &[u8]) -> String {
    let mut written = String::new();
    for part in name.utf8_chunks() {
        written.push_str(part.valid());
        for byte in part.invalid() {
            // Writing to a string does not fail.
            write!(written, "\\x{byte:02x}").unwrap_or_default();
        }
    }
    written
}

/// The name that a text stands for.
pub(crate) fn bytes(written: &str) -> Vec<u8> {
    let mut name = vec![];
    let mut rest = written;
    while let Some(at) = rest.find("\\x") {
        let (before, escape) = rest.split_at(at);
        name.extend(before.bytes());
        let byte = escape.get(2..4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte {
            name.push(byte);
            rest = &escape[4..];
        } else {
            name.extend(b"\\x");
            rest = &escape[2..];
        }
    }
    name.extend(rest.bytes());
    // Somebody may have named an interface so.
    if text(&name) == written { name } else { written.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_written_in_hexadecimal() {
        assert_eq!(text(b"wg-\xe9"), "wg-\\xe9");
        assert_eq!(text("wg-é".as_bytes()), "wg-é");
        assert_eq!(bytes("wg-\\xe9"), b"wg-\xe9");
        assert_eq!(bytes("wg\\x41"), b"wg\\x41");
    }

    proptest! {
        /// The text of a name stands for a name with that text.
        #[test]
        fn a_name_keeps_its_text(name in prop::collection::vec(1_u8.., 1..16)) {
            let written = text(&name);
            prop_assert_eq!(text(&bytes(&written)), written);
        }

        /// A name that is no text, and has nothing that looks like an escape, keeps its bytes.
        #[test]
        fn a_name_without_a_backslash_keeps_its_bytes(name in prop::collection::vec(1_u8.., 1..16)) {
            prop_assume!(!name.contains(&b'\\'));
            prop_assert_eq!(bytes(&text(&name)), name);
        }
    }
}
