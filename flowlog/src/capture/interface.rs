//! The network interfaces that exist, and what their packets begin with.

use std::io;

use super::Error;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The kernel's index; another one each time the interface is made anew.
    pub kernel_index: u32,
    /// The kernel's number for its kind (`ARPHRD_*`).
    pub kind: u16,
}

/// What a packet of an interface begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The IP header: WireGuard, tun, PPP, IP tunnels.
    Ip,
    /// An Ethernet header: tap, veth, physical devices.
    Ethernet,
}

impl Link {
    /// What its packets begin with, as the kernel's `dev_is_mac_header_xmit` has it.
    pub fn layer(&self) -> Result<Layer, Error> {
        match self.kind {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(Layer::Ethernet),
            libc::ARPHRD_NONE
            | libc::ARPHRD_PPP
            | libc::ARPHRD_RAWHDLC
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT
            | libc::ARPHRD_IPGRE
            | ARPHRD_RAWIP
            | ARPHRD_IP6GRE => Ok(Layer::Ip),
            kind => Err(Error::Kind { interface: self.name.clone(), kind }),
        }
    }
}

// Not in libc.
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;

/// The interfaces of this network namespace.
pub fn list() -> io::Result<Vec<Link>> {
    let mut links = vec![];
    for entry in &nix::net::if_::if_nameindex()? {
        let Ok(name) = entry.name().to_str() else { continue };
        match kind(name) {
            Ok(kind) => {
                links.push(Link { name: name.to_owned(), kernel_index: entry.index(), kind });
            }
            // It went between the list and the question.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(links)
}

/// The kernel's index of an interface, if there is one of this name.
#[must_use]
pub fn kernel_index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// The name of the interface that has this one as an alternative name.
#[must_use]
pub fn real_name(alternative: &str, links: &[Link]) -> Option<String> {
    let kernel_index = kernel_index(alternative)?;
    let link = links.iter().find(|link| link.kernel_index == kernel_index)?;
    Some(link.name.clone()).filter(|name| name != alternative)
}

mod request {
    nix::ioctl_read_bad!(siocgifhwaddr, libc::SIOCGIFHWADDR, libc::ifreq);
}

fn kind(name: &str) -> io::Result<u16> {
    use std::os::fd::AsRawFd as _;

    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: zeroes are a valid question.
    let mut question: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in question.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: the socket and the request outlive the call.
    unsafe { request::siocgifhwaddr(socket.as_raw_fd(), &raw mut question) }?;
    // SAFETY: the call filled in the hardware address.
    Ok(unsafe { question.ifr_ifru.ifru_hwaddr.sa_family })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_with_its_kind() {
        let links = list().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(loopback.layer().unwrap(), Layer::Ethernet);
        assert_eq!(kernel_index("lo"), Some(loopback.kernel_index));
        assert_eq!(kernel_index("no-such-link"), None);
    }

    #[test]
    fn a_kind_that_cannot_be_read_is_refused_by_name() {
        let link = Link { name: "can0".to_owned(), kernel_index: 9, kind: 280 };
        assert!(link.layer().unwrap_err().to_string().contains("can0"));
    }
}
