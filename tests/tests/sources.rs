//! Sources of sessions, with the real servers: each in network namespaces of its own.

mod sources {
    mod memory;
    mod reports;
    mod wireguard;
}
