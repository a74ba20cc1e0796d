//! Kinds of sources, as the configuration names them.

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceKind {
    /// Interfaces of WireGuard, in the kernel or in user space.
    Wireguard,
    /// A server of OpenVPN.
    Openvpn,
    /// Leases: a file, or a control plane that calls `flowlog hook lease`.
    Lease,
}
