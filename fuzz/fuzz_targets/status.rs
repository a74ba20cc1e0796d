//! Any bytes, taken for a status file of OpenVPN.

#![no_main]

use flowlog::source::openvpn::read_status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read_status(bytes, bytes.len()).map(|_| ()).unwrap_or_default();
});
