//! Parquet's hybrid of run lengths and bit packing (`RLE` in its list of encodings), for places in a
//! dictionary and for levels.

/// Values that are packed together.
const GROUP: usize = 8;

/// Bits that a value below `count` needs.
pub const fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Appends values, none of which has more than `width` bits.
///
/// Eight equal values or more are a run, all others are packed. Packed values come in groups of
/// eight, so the first values of a run may go to fill up the group before it.
pub fn encode(values: &[u32], width: u32, to: &mut Vec<u8>) {
    let mut packed = 0;
    let mut at = 0;
    while let Some(value) = values.get(at) {
        let length = values[at..].iter().take_while(|other| *other == value).count();
        let before = (at - packed).next_multiple_of(GROUP) - (at - packed);
        if length >= before + GROUP {
            pack(&values[packed..at + before], width, to);
            run(*value, length - before, width, to);
            packed = at + length;
        }
        at += length;
    }
    pack(&values[packed..], width, to);
}

/// A run: how often, and what.
fn run(value: u32, length: usize, width: u32, to: &mut Vec<u8>) {
    varint(length << 1, to);
    to.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Groups of values; the last one is filled up with zeros.
fn pack(values: &[u32], width: u32, to: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    varint(groups << 1 | 1, to);
    let end = to.len() + groups * width as usize;
    let (mut bits, mut count) = (0_u64, 0);
    for value in values {
        bits |= u64::from(*value) << count;
        count += width;
        if count >= u32::BITS {
            let [a, b, c, d, ..] = bits.to_le_bytes();
            to.extend_from_slice(&[a, b, c, d]);
            bits >>= u32::BITS;
            count -= u32::BITS;
        }
    }
    to.extend_from_slice(&bits.to_le_bytes());
    to.resize(end, 0);
}

/// Seven bits a byte, the lowest first (ULEB128).
fn varint(mut number: usize, to: &mut Vec<u8>) {
    loop {
        let [byte, ..] = number.to_le_bytes();
        number >>= 7;
        to.push(if number > 0 { byte | 0x80 } else { byte & 0x7f });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(values: &[u32], width: u32) -> Vec<u8> {
        let mut bytes = vec![];
        encode(values, width, &mut bytes);
        bytes
    }

    #[test]
    fn places_need_as_many_bits_as_the_greatest_of_them() {
        let widths = [0, 1, 2, 3, 4, 5, 256, 257].map(width);
        assert_eq!(widths, [0, 0, 1, 2, 2, 3, 8, 9]);
    }

    #[test]
    fn values_are_packed_as_the_format_says() {
        // The example of the format's own description.
        assert_eq!(encoded(&[0, 1, 2, 3, 4, 5, 6, 7], 3), [0b11, 0x88, 0xc6, 0xfa]);
    }

    #[test]
    fn equal_values_are_a_run_behind_a_group_that_is_full() {
        assert_eq!(encoded(&[300; 200], 9), [0x90, 0x03, 0x2c, 0x01]);
        let values = [&[1, 2][..], &[3; 14]].concat();
        assert_eq!(encoded(&values, 8), [3, 1, 2, 3, 3, 3, 3, 3, 3, 16, 3]);
        assert_eq!(encoded(&values[..9], 8), [5, 1, 2, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(&[0; 9], 0), [18]);
    }
}
