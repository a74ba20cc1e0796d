//! What must hold however often it is tried: an audit beside everything that changes the store, and
//! damage to any bit.
//!
//! `cargo xtask test soak` tries thousands of times; the other tests' level tries fewer.

#[path = "soak/audit.rs"]
mod audit;
#[path = "soak/flips.rs"]
mod flips;

/// How often to try: in full, or as a part of all tests.
fn times(full: usize, part: usize) -> usize {
    let is_full = std::env::var_os("FLOWLOG_SOAK").is_some_and(|length| length == "full");
    if is_full { full } else { part }
}
