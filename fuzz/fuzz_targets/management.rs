//! Any bytes, taken for what the management socket of OpenVPN answers: in pieces it is the same answer.

#![no_main]

use flowlog::source::openvpn::read_status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let answer = [bytes, b"\nEND\n"].concat();
    assert_eq!(read_status(&answer, answer.len()).ok(), read_status(&answer, 3).ok());
});
