//! Any bytes, taken for what WireGuard in user space answers: in pieces it is the same answer.

#![no_main]

use flowlog::{
    record::{
        clock::Utc,
        session::{Entry, PeerKey},
    },
    source::wireguard::Parser,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(key) = PeerKey::new(vec![7; 32]) else { return };
    let read = |piece: usize| -> Option<Vec<Entry>> {
        let mut parser = Parser::new(&key, Utc::from_ms(0));
        for chunk in bytes.chunks(piece) {
            if parser.take(chunk).ok()? {
                break;
            }
        }
        parser.finish().ok()
    };
    // A line that is too long is found only where it comes in pieces.
    if bytes.len() < 1_000 {
        assert_eq!(read(bytes.len().max(1)), read(3));
    }
});
