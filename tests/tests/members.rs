//! Real members of real gateways: the answer to who had an address, beside what the members did, and what they sent.
//!
//! The members are WireGuard's in user space, or the kernel's where `FLOWLOG_TEST_WIREGUARD=kernel` asks for it.

mod members {
    mod crowd;
    mod journal;
    mod site;
    mod switches;
}
