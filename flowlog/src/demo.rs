//! A VPN of its own: two network namespaces, a tunnel between them, and traffic through it.
//!
//! `flowlog demo` needs each part of it; tests use the same parts. The namespaces have no names and the tunnel is no more than
//! two open files, so that nothing is left when the process ends, however it does.

mod network;
mod traffic;

pub use network::{Netns, Tun};
pub use traffic::generate;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    sync::Arc,
};

/// Name of the VPN interface on either side.
pub const INTERFACE: &str = "vpn0";
/// Addresses of the gateway inside the VPN.
pub const GATEWAY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 66, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 1)),
];
/// Addresses of the member inside the VPN.
pub const MEMBER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 66, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 2)),
];

/// A gateway and a member, and the tunnel between them.
pub struct Vpn {
    /// Where the gateway is.
    pub gateway: Netns,
    /// Where the member is.
    pub member: Netns,
}

impl Vpn {
    /// Makes the namespaces and the tunnel; needs root, and iproute2's `ip`.
    pub fn new() -> io::Result<Self> {
        let vpn = Self { gateway: Netns::new()?, member: Netns::new()? };
        let gateway = Arc::new(vpn.gateway.tun(INTERFACE)?);
        let member = Arc::new(vpn.member.tun(INTERFACE)?);
        for (netns, addresses) in [(&vpn.gateway, GATEWAY), (&vpn.member, MEMBER)] {
            netns.ip(&["link", "set", "lo", "up"])?;
            netns.ip(&["link", "set", INTERFACE, "up"])?;
            for address in addresses {
                let prefix = if address.is_ipv4() { 24 } else { 64 };
                let address = format!("{address}/{prefix}");
                netns.ip(&["address", "add", &address, "dev", INTERFACE])?;
            }
        }
        carry(Arc::clone(&gateway), Arc::clone(&member))?;
        carry(member, gateway)?;
        Ok(vpn)
    }
}

/// Carries packets from one end of the tunnel to the other, for as long as the process lives.
fn carry(from: Arc<Tun>, to: Arc<Tun>) -> io::Result<()> {
    let forward = move || {
        let mut packet = vec![0; 65_536];
        while let Ok(length) = nix::unistd::read(from.as_fd(), &mut packet) {
            // A packet that the other side does not take is lost, as on any network.
            if let Err(error) = nix::unistd::write(to.as_fd(), &packet[..length]) {
                tracing::debug!("a packet was lost in the tunnel: {error}");
            }
        }
    };
    std::thread::Builder::new().name("tunnel".to_owned()).spawn(forward)?;
    Ok(())
}
