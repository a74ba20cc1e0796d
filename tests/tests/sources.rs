//! Sources of sessions, with the real servers: each in network namespaces of its own.

mod sources {
    mod hook;
    mod lease;
    mod memory;
    mod openvpn;
    mod reports;
    mod wireguard;
}
