//! Any bytes, taken for a file of leases.

#![no_main]

use flowlog::source::lease::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(leases) => assert!(leases.iter().all(|lease| lease.to.is_none_or(|to| to > lease.from))),
        Err(bad) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&bad.line), "line {} of {lines}", bad.line);
        }
    }
});
