//! The kernel's WireGuard, asked by generic netlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::peer::{Peer, Peers};
use crate::{
    netlink::{DUMP_BYTES, Message, Netlink, Request, attribute, attributes, text, word},
    record::{
        clock::Utc,
        redacted::{Address, Prefix},
        session::{Entry, Outer, PeerKey},
    },
    source::Error,
};

/// An interface of any kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: Vec<u8>,
    pub(super) kernel_index: u32,
    /// Whether the kernel does the work.
    pub(super) is_wireguard: bool,
}

/// Bytes of an `ifinfomsg`, and where its index is.
const IFINFOMSG_BYTES: usize = 16;
const INDEX_AT: usize = 4;
// linux/if_link.h, of which libc has not all.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_EXT_MASK: u16 = 29;

/// The interfaces of this network namespace.
pub(super) fn links() -> io::Result<Vec<Link>> {
    let request = Request::dump(libc::RTM_GETLINK)
        .words(&[0; IFINFOMSG_BYTES / 4])
        .attribute(IFLA_EXT_MASK, &libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let mut links = vec![];
    Netlink::open()?.ask(request, |message| links.extend(link(&message)))?;
    Ok(links)
}

fn link(message: &Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let kernel_index = word(message.body, INDEX_AT)?;
    let (mut name, mut is_wireguard) = (None, false);
    for (kind, payload) in attributes(message.body.get(IFINFOMSG_BYTES..)?) {
        match kind {
            libc::IFLA_IFNAME => name = Some(text(payload).to_vec()),
            libc::IFLA_LINKINFO => {
                is_wireguard =
                    attribute(payload, IFLA_INFO_KIND).is_some_and(|k| text(k) == b"wireguard");
            }
            _ => {}
        }
    }
    Some(Link { name: name?, kernel_index, is_wireguard })
}

// linux/genetlink.h and linux/wireguard.h.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const GENL_HEADER_BYTES: usize = 4;
const WG_CMD_GET_DEVICE: u8 = 0;
const WGDEVICE_A_IFINDEX: u16 = 1;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_PUBLIC_KEY: u16 = 1;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_LAST_HANDSHAKE_TIME: u16 = 6;
const WGPEER_A_RX_BYTES: u16 = 7;
const WGPEER_A_TX_BYTES: u16 = 8;
const WGPEER_A_ALLOWEDIPS: u16 = 9;
const WGALLOWEDIP_A_IPADDR: u16 = 2;
const WGALLOWEDIP_A_CIDR_MASK: u16 = 3;

/// The list is read again where it changed meanwhile, so often.
const ATTEMPTS: usize = 3;

/// The peers of an interface that have addresses.
pub(super) fn entries(kernel_index: u32, key: &PeerKey, at: Utc) -> Result<Vec<Entry>, Error> {
    let kernel = |source| Error::Kernel { source };
    let netlink = Netlink::open_generic().map_err(kernel)?;
    let family = family(&netlink).map_err(kernel)?;
    // The private key and the preshared keys of the peers are received here, and nowhere else.
    let mut buffer = Zeroizing::new(Vec::with_capacity(DUMP_BYTES));
    for _ in 0..ATTEMPTS {
        let request = Request::dump(family)
            .words(&[generic_header(WG_CMD_GET_DEVICE)])
            .attribute(WGDEVICE_A_IFINDEX, &kernel_index.to_ne_bytes());
        let mut peers = Peers::new(key, at);
        let (mut read, mut is_interrupted) = (Ok(()), false);
        let asked = netlink.ask_into(&mut buffer, request, |message| {
            is_interrupted |= message.is_interrupted;
            if read.is_ok() {
                read = read_device(message.body, &mut peers);
            }
        });
        asked.map_err(kernel)?;
        read?;
        if !is_interrupted {
            return peers.finish();
        }
    }
    Err(Error::Inconsistent)
}

/// The number of the family, which is another one after each boot.
fn family(netlink: &Netlink) -> io::Result<u16> {
    let request = Request::get(GENL_ID_CTRL)
        .words(&[generic_header(CTRL_CMD_GETFAMILY)])
        .attribute(CTRL_ATTR_FAMILY_NAME, b"wireguard\0");
    let mut found = None;
    netlink.ask(request, |message| {
        let id = message.body.get(GENL_HEADER_BYTES..);
        found = id.and_then(|body| number(attribute(body, CTRL_ATTR_FAMILY_ID)?));
    })?;
    found.map(u16::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `genlmsghdr`: command, version, padding.
const fn generic_header(command: u8) -> u32 {
    u32::from_ne_bytes([command, 1, 0, 0])
}

/// From a message that answers. A long list of peers comes in several of them, and a peer with many addresses may
/// begin in one and go on in the next.
fn read_device(message: &[u8], peers: &mut Peers<'_>) -> Result<(), Error> {
    let body = message.get(GENL_HEADER_BYTES..).ok_or(Error::MalformedMessage)?;
    let lists = attributes(body).filter(|(kind, _)| *kind == WGDEVICE_A_PEERS);
    for (_, peer) in lists.flat_map(|(_, list)| attributes(list)) {
        read_peer(peer, peers)?;
    }
    Ok(())
}

fn read_peer(peer: &[u8], peers: &mut Peers<'_>) -> Result<(), Error> {
    let public_key = attribute(peer, WGPEER_A_PUBLIC_KEY).and_then(number);
    peers.begin(public_key.ok_or(Error::MalformedMessage)?)?;
    let Some(of) = peers.last() else { return Ok(()) };
    for (kind, payload) in attributes(peer) {
        read_attribute(of, kind, payload).ok_or(Error::MalformedMessage)?;
    }
    Ok(())
}

fn read_attribute(peer: &mut Peer, kind: u16, payload: &[u8]) -> Option<()> {
    match kind {
        WGPEER_A_ENDPOINT => peer.outer = Some(endpoint(payload)?),
        WGPEER_A_LAST_HANDSHAKE_TIME => peer.last_handshake = Some(time(payload)?),
        WGPEER_A_RX_BYTES => peer.bytes[0] = number(payload).map(u64::from_ne_bytes)?,
        WGPEER_A_TX_BYTES => peer.bytes[1] = number(payload).map(u64::from_ne_bytes)?,
        WGPEER_A_ALLOWEDIPS => {
            for (_, allowed) in attributes(payload) {
                peer.prefixes.insert(prefix(allowed)?);
            }
        }
        _ => {}
    }
    Some(())
}

/// `sockaddr_in` or `sockaddr_in6`: family, port, address.
fn endpoint(bytes: &[u8]) -> Option<Outer> {
    let family = u16::from_ne_bytes(number(bytes)?);
    let port = u16::from_be_bytes(number(bytes.get(2..)?)?);
    let address = match i32::from(family) {
        libc::AF_INET => IpAddr::from(number::<4>(bytes.get(4..)?)?),
        libc::AF_INET6 => IpAddr::from(number::<16>(bytes.get(8..)?)?),
        _ => return None,
    };
    Some(Outer { address: Address::from(address.to_canonical()), port: Some(port) })
}

/// `__kernel_timespec`: seconds and nanoseconds.
fn time(bytes: &[u8]) -> Option<Utc> {
    let seconds = i64::from_ne_bytes(number(bytes)?);
    let ns = i64::from_ne_bytes(number(bytes.get(8..)?)?);
    Some(Utc::from_ns(seconds.saturating_mul(1_000_000_000).saturating_add(ns)))
}

fn prefix(allowed: &[u8]) -> Option<Prefix> {
    let address = attribute(allowed, WGALLOWEDIP_A_IPADDR)?;
    let address = match address.len() {
        4 => Ipv4Addr::from(number::<4>(address)?).into(),
        16 => IpAddr::from(Ipv6Addr::from(number::<16>(address)?)),
        _ => return None,
    };
    let [length] = number(attribute(allowed, WGALLOWEDIP_A_CIDR_MASK)?)?;
    Some(Prefix::from(IpNet::new(address, length).ok()?.trunc()))
}

/// The first bytes of a payload.
fn number<const BYTES: usize>(payload: &[u8]) -> Option<[u8; BYTES]> {
    payload.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        netlink::attribute_bytes,
        record::session::{Source, State},
    };

    fn key() -> PeerKey {
        PeerKey::new(vec![7; 32]).unwrap()
    }

    const NOW: Utc = Utc::from_ms(1_790_000_000_000);

    fn allowed(address: &[u8], length: u8) -> Vec<u8> {
        let attributes = [
            attribute_bytes(WGALLOWEDIP_A_CIDR_MASK, &[length]),
            attribute_bytes(WGALLOWEDIP_A_IPADDR, address),
        ];
        attribute_bytes(0x8000, &attributes.concat())
    }

    fn device(peers: &[Vec<u8>]) -> Vec<u8> {
        let peers: Vec<u8> = peers.iter().flat_map(|peer| attribute_bytes(0x8000, peer)).collect();
        let private_key = attribute_bytes(3, &[0xee; 32]);
        [vec![0, 1, 0, 0], private_key, attribute_bytes(WGDEVICE_A_PEERS | 0x8000, &peers)].concat()
    }

    fn read(messages: &[Vec<u8>]) -> Result<Vec<Entry>, Error> {
        let key = key();
        let mut peers = Peers::new(&key, NOW);
        messages.iter().try_for_each(|message| read_device(message, &mut peers))?;
        peers.finish()
    }

    fn peer(byte: u8, rest: &[Vec<u8>]) -> Vec<u8> {
        [attribute_bytes(WGPEER_A_PUBLIC_KEY, &[byte; 32]), rest.concat()].concat()
    }

    fn list(allowed: &[Vec<u8>]) -> Vec<u8> {
        attribute_bytes(WGPEER_A_ALLOWEDIPS | 0x8000, &allowed.concat())
    }

    #[test]
    fn a_peer_that_goes_on_in_the_next_message_is_one_peer() {
        let ns = 5_i64;
        let handshake = [1_789_999_990_i64.to_ne_bytes(), ns.to_ne_bytes()].concat();
        let endpoint =
            [&10_u16.to_ne_bytes()[..], &51820_u16.to_be_bytes(), &[0; 4], &[0x20; 16], &[0; 4]];
        let first = peer(
            1,
            &[
                attribute_bytes(2, &[0xee; 32]),
                attribute_bytes(WGPEER_A_ENDPOINT, &endpoint.concat()),
                attribute_bytes(WGPEER_A_LAST_HANDSHAKE_TIME, &handshake),
                attribute_bytes(WGPEER_A_RX_BYTES, &10_u64.to_ne_bytes()),
                attribute_bytes(WGPEER_A_TX_BYTES, &20_u64.to_ne_bytes()),
                list(&[allowed(&[10, 0, 0, 7], 24)]),
            ],
        );
        let more = peer(1, &[list(&[allowed(&[0x20; 16], 56)])]);
        let entries = read(&[device(&[first]), device(&[more, peer(2, &[list(&[])])])]).unwrap();
        let [entry] = entries.as_slice() else { panic!("{entries:?}") };
        let peer = key().peer(Source::Wireguard, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        assert_eq!(
            (entry.key.peer, entry.state, entry.bytes),
            (peer, State::Tunnel, Some([10, 20]))
        );
        let prefixes: Vec<_> = entry.prefixes.iter().map(|p| p.in_clear().to_string()).collect();
        assert_eq!(prefixes, ["10.0.0.0/24", "2020:2020:2020:2000::/56"]);
        let outer = entry.outer.unwrap();
        assert_eq!(outer.address.in_clear().to_string(), "2020:2020:2020:2020:2020:2020:2020:2020");
        assert_eq!(outer.port, Some(51820));
    }

    #[test]
    fn a_message_that_is_cut_or_lies_is_refused_or_has_less() {
        let whole = device(&[peer(1, &[list(&[allowed(&[10, 0, 0, 7], 32)])])]);
        for length in 0..whole.len() {
            let read = read(&[whole[..length].to_vec()]);
            assert!(read.is_err() || read.unwrap().is_empty(), "{length}");
        }
        let bad = [
            peer(1, &[list(&[allowed(&[10, 0, 0], 32)])]),
            peer(1, &[list(&[allowed(&[10, 0, 0, 7], 33)])]),
            peer(1, &[attribute_bytes(WGPEER_A_RX_BYTES, &[1])]),
            peer(1, &[attribute_bytes(WGPEER_A_ENDPOINT, &[0xff; 16])]),
            list(&[allowed(&[10, 0, 0, 7], 32)]),
        ];
        for bad in bad {
            assert!(matches!(read(&[device(&[bad])]).unwrap_err(), Error::MalformedMessage));
        }
    }

    #[test]
    fn the_interfaces_of_this_machine_are_listed() {
        let links = links().unwrap();
        assert!(links.iter().any(|link| link.name == b"lo" && !link.is_wireguard), "{links:?}");
    }

    #[test]
    fn an_interface_that_is_none_of_the_kernels_is_an_error() {
        assert!(matches!(entries(1, &key(), NOW).unwrap_err(), Error::Kernel { .. }));
    }
}
