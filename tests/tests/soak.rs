//! What must hold however often it is tried: an audit beside everything that changes the store, and
//! damage to any bit.
//!
//! `cargo xtask test soak` tries thousands of times; the other tests' level tries fewer.

#[path = "soak/audit.rs"]
mod audit;
#[path = "soak/flips.rs"]
mod flips;

use flowlog_tests::times;
