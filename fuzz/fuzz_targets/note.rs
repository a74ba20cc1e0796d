//! Any bytes, taken for a note of a hook: what is read is written and read again as it was.

#![no_main]

use flowlog::{
    record::{clock::Utc, session::PeerKey},
    source::{
        hook::{Fields, Note, Stamp},
        lease,
        openvpn::Calls,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (Ok(key), Ok(fields)) = (PeerKey::new(vec![7; 32]), Fields::parse(bytes)) else { return };
    assert_eq!(Fields::parse(fields.text().as_bytes()).as_ref(), Ok(&fields));
    let at = Utc::from_ms(0);
    Calls::default().take(&fields, at, &key).map(|_| ()).unwrap_or_default();
    let stamp = Stamp { since_boot: std::time::Duration::ZERO, utc: at };
    lease::event(&Note { stamp, server: None, fields }, &key).map(|_| ()).unwrap_or_default();
});
