//! The network interfaces that exist, and what their packets begin with.

use std::{io, mem::offset_of};

use aya_obj::generated::ifinfomsg as InterfaceMessage;

use super::{Message, Netlink, Request, attribute, attributes, text, word};
use crate::{capture::Error, record::epoch::Counters};

pub(in crate::capture) use crate::netlink::name::{bytes as name_bytes, text as name_text};

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name; bytes that are no UTF-8 are written as `\xe9`.
    pub name: String,
    /// Its other names.
    pub alternative_names: Vec<String>,
    /// The kernel's index; another one each time the interface is made anew.
    pub kernel_index: u32,
    /// The kernel's number for its kind (`ARPHRD_*`).
    pub kind: u16,
    /// What made it, as the kernel names it (`tun`, `wireguard`); `None` where it is hardware.
    pub maker: Option<String>,
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

    /// What its own counters have.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match (self.maker.as_deref(), self.kind) {
            (Some("wireguard" | "amneziawg"), _) => Counters::WithKeepalives,
            (_, libc::ARPHRD_PPP) => Counters::WithControl,
            (Some(maker), _) if MAKERS.contains(&maker) => Counters::Same,
            (None, libc::ARPHRD_LOOPBACK) => Counters::Same,
            _ => Counters::Hardware,
        }
    }
}

/// Makers whose interfaces count the packets that come by the hooks, and no others.
const MAKERS: [&str; 18] = [
    "tun",
    "veth",
    "dummy",
    "bridge",
    "vlan",
    "macvlan",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "sit",
    "ipip",
    "ip6tnl",
    "vti",
    "vti6",
    "xfrm",
    "vxlan",
    "geneve",
];

// Not in libc.
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_EXT_MASK: u16 = 29;

/// Bytes of an `ifinfomsg`.
const IFINFOMSG_BYTES: usize = size_of::<InterfaceMessage>();
/// One that asks for any interface.
const ANY: [u32; IFINFOMSG_BYTES / 4] = [0; _];

/// The interfaces of this network namespace.
pub fn list() -> io::Result<Vec<Link>> {
    let request = Request::dump(libc::RTM_GETLINK)
        .words(&ANY)
        // Without counters, which are not asked for here and cost the most.
        .attribute(IFLA_EXT_MASK, &libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let mut links = vec![];
    Netlink::open()?.ask(request, |message| links.extend(parse(&message)))?;
    Ok(links)
}

/// The kernel's index of an interface, if there is one of this name or alternative name.
///
/// Asked of netlink: the C library opens a socket of another family for it, which the unit may forbid.
#[must_use]
pub fn kernel_index(name: &str) -> Option<u32> {
    let name = [name_bytes(name).as_slice(), &[0]].concat();
    // The kernel looks for the other names among the alternative ones too.
    let request = Request::get(libc::RTM_GETLINK)
        .words(&ANY)
        .attribute(IFLA_EXT_MASK, &libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes())
        .attribute(IFLA_ALT_IFNAME, &name);
    let mut found = None;
    Netlink::open().ok()?.ask(request, |message| found = index(message.body)).ok()?;
    found
}

/// The name of the interface that has this one as an alternative name.
#[must_use]
pub fn real_name(alternative: &str, links: &[Link]) -> Option<String> {
    let has_it = |link: &&Link| link.alternative_names.iter().any(|name| name == alternative);
    links.iter().find(has_it).map(|link| link.name.clone())
}

/// From a message that answers: `ifinfomsg` and its attributes.
fn parse(message: &Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let body = message.body;
    let kind = *body.get(offset_of!(InterfaceMessage, ifi_type)..)?.first_chunk()?;
    let (kernel_index, kind) = (index(body)?, u16::from_ne_bytes(kind));
    let (mut name, mut alternative_names, mut maker) = (None, vec![], None);
    // One walk: an interface has dozens of attributes.
    for (kind, payload) in attributes(body.get(IFINFOMSG_BYTES..)?) {
        match kind {
            libc::IFLA_IFNAME => name = Some(name_text(text(payload))),
            libc::IFLA_LINKINFO => {
                maker = attribute(payload, IFLA_INFO_KIND)
                    .map(|kind| String::from_utf8_lossy(text(kind)).into_owned());
            }
            IFLA_PROP_LIST => alternative_names.extend(
                attributes(payload)
                    .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
                    .map(|(_, name)| name_text(text(name))),
            ),
            _ => {}
        }
    }
    Some(Link { name: name?, alternative_names, kernel_index, kind, maker })
}

fn index(body: &[u8]) -> Option<u32> {
    word(body, offset_of!(InterfaceMessage, ifi_index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute_bytes;

    #[test]
    fn the_real_name_behind_an_alternative_one_is_found() {
        let link = Link {
            name: "wg0".to_owned(),
            alternative_names: vec!["members".to_owned()],
            ..Link::default()
        };
        assert_eq!(real_name("members", std::slice::from_ref(&link)).as_deref(), Some("wg0"));
        assert_eq!(real_name("wg0", &[link]), None);
    }

    #[test]
    fn the_loopback_interface_is_found_with_its_kind() {
        let links = list().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(loopback.layer().unwrap(), Layer::Ethernet);
        assert_eq!(loopback.counters(), Counters::Same);
        assert_eq!(nix::net::if_::if_nametoindex("lo").unwrap(), loopback.kernel_index);
        assert_eq!(kernel_index("lo"), Some(loopback.kernel_index));
        for none in ["", "no-such", "wg*", "a-name-that-is-longer-than-one-of-an-interface"] {
            assert_eq!(kernel_index(none), None, "{none:?}");
        }
        assert_eq!(kernel_index(&"x".repeat(200)), None);
    }

    #[test]
    fn a_kind_that_cannot_be_read_is_refused_by_name() {
        let link = Link { name: "can0".to_owned(), kernel_index: 9, kind: 280, ..Link::default() };
        assert!(link.layer().unwrap_err().to_string().contains("can0"));
    }

    #[test]
    fn a_message_that_is_cut_is_no_interface_or_one_with_less() {
        let attributes = [
            attribute_bytes(libc::IFLA_IFNAME, b"wg0\0"),
            attribute_bytes(IFLA_PROP_LIST, &attribute_bytes(IFLA_ALT_IFNAME, b"members\0")),
        ];
        let whole = [vec![0; IFINFOMSG_BYTES], attributes.concat()].concat();
        let parsed = |bytes: &[u8]| {
            parse(&Message { kind: libc::RTM_NEWLINK, body: bytes, is_interrupted: false })
        };
        let link = parsed(&whole).unwrap();
        assert_eq!(
            (link.name.as_str(), &link.alternative_names[..]),
            ("wg0", &["members".to_owned()][..])
        );
        for length in 0..whole.len() {
            assert!(parsed(&whole[..length]).is_none_or(|link| link.name == "wg0"), "{length}");
        }
    }
}
