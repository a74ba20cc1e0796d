//! What a device leaves to its driver: cutting super-packets, and merging packets into them.

use std::io;

use flowlog::demo::Netns;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::os::fd::AsRawFd as _;

/// Turns features on and off, by the names of `ethtool -K`.
pub fn offload(netns: &Netns, interface: &str, features: &[(&str, bool)]) {
    let words = features.iter().flat_map(|(name, on)| [*name, if *on { "on" } else { "off" }]);
    let output = netns
        .command("ethtool")
        .unwrap()
        .args(["-K", interface])
        .args(words)
        .output()
        .expect("ethtool; run `cargo xtask setup`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets an interface have super-packets of this size: BIG TCP, where it is over 65,536.
pub fn allow_super_packets_of(netns: &Netns, interface: &str, bytes: u32) {
    // Older versions of `ip` cannot say it of IPv4.
    const IFLA_GSO_MAX_SIZE: u16 = 41;
    const IFLA_GRO_MAX_SIZE: u16 = 58;
    const IFLA_GSO_IPV4_MAX_SIZE: u16 = 63;
    const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;
    let kinds =
        [IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE];
    set_link(netns, interface, &kinds.map(|kind| (kind, bytes)));
}

/// Sets numbers of an interface by netlink.
fn set_link(netns: &Netns, interface: &str, attributes: &[(u16, u32)]) {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    let (interface, attributes) = (interface.to_owned(), attributes.to_owned());
    let set = move || {
        let index = nix::net::if_::if_nametoindex(interface.as_str())?;
        let length = 32 + 8 * attributes.len();
        let mut message = vec![];
        message.extend(u32::try_from(length).map_err(io::Error::other)?.to_ne_bytes());
        message.extend(RTM_NEWLINK.to_ne_bytes());
        message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
        // Sequence, port, then `ifinfomsg`: family and kind, index, flags and their mask.
        message.extend([0; 8]);
        message.extend([0; 4]);
        message.extend(index.to_ne_bytes());
        message.extend([0; 8]);
        for (kind, value) in attributes {
            message.extend(8_u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(value.to_ne_bytes());
        }
        let netlink = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        send(netlink.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut answer = [0; 256];
        recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // An acknowledgement is an error message whose error is zero.
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    };
    netns.run(set).unwrap();
}
