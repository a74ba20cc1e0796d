//! Sizes as people read them.

/// Bytes in the largest unit in which there is at least one.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let exponent = (bytes.max(1).ilog2() / 10).min(4);
    let Some(unit) = exponent.checked_sub(1).and_then(|index| UNITS.get(index as usize)) else {
        return format!("{bytes} bytes");
    };
    let shift = exponent * 10;
    // One decimal, in integers.
    let tenths = (bytes >> (shift - 10)) * 10 / 1024;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_written_in_the_unit_that_fits() {
        assert_eq!(super::bytes(0), "0 bytes");
        assert_eq!(super::bytes(1023), "1023 bytes");
        assert_eq!(super::bytes(1536), "1.5 KiB");
        assert_eq!(super::bytes(10 << 20), "10.0 MiB");
        assert_eq!(super::bytes(u64::MAX), "16777215.9 TiB");
    }
}
