//! How often to try.

/// In full where `FLOWLOG_SOAK=full` asks for it, or as a part of all tests.
pub fn times(full: usize, part: usize) -> usize {
    let is_full = std::env::var_os("FLOWLOG_SOAK").is_some_and(|length| length == "full");
    if is_full { full } else { part }
}
