//! Gateways with many peers, each of which is a WireGuard of its own.
//!
//! All members are in one namespace, behind one cable, with an interface each: a namespace for each of them would change
//! nothing but the time that it takes. What they send is written to their interfaces as it is, so that they need no
//! addresses and routes, and can send from any address of a prefix.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicU8, Ordering},
};

use flowlog::{demo::Netns, record::clock::Utc};

use super::{
    capture::{Capture, packet_socket, records_of},
    rig::cable,
    wire::sysctl,
    wireguard::{add_wireguard, end, key, socket, wait_for_wireguard, wg},
};

/// The gateways' side of the cable.
const UNDER: &str = "192.168.79.1";
/// The port of the first gateway, and of the first member.
const PORTS: [usize; 2] = [51_820, 20_000];
/// To where members send: nobody listens there.
const DISCARD: u16 = 9;

/// The first user whose processes are members, and how many each has: the kernel gives a user 128 of the watches on files of
/// which `wireguard-go` needs one.
const USERS: u32 = 60_001;
const OF_A_USER: usize = 50;

/// How many there were in this process.
static MADE: AtomicU8 = AtomicU8::new(0);

/// Gateways in one namespace, members in another one, and a cable between them.
pub struct Members {
    /// Where the gateways are.
    pub gateway: Netns,
    there: Netns,
    gateways: Vec<Interface>,
    all: Vec<Member>,
}

/// A WireGuard.
struct Interface {
    name: String,
    private_key: PathBuf,
    public_key: String,
    port: usize,
    /// Root, where it is none.
    user: Option<u32>,
    /// In user space, while it lives.
    process: Option<Child>,
}

struct Member {
    interface: Interface,
    /// What it sends goes into this; `None` where it is not there.
    wire: Option<OwnedFd>,
    /// The gateway that it has as its peer.
    gateway: Option<usize>,
}

/// A packet of a member that came out of its tunnel at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Utc,
    /// From where.
    pub source: IpAddr,
    /// Whose it is by what is in it.
    pub member: usize,
}

impl Members {
    /// Makes so many gateways and members, with keys in this folder. Nobody is assigned or connected.
    pub fn new(directory: &Path, gateways: usize, members: usize) -> Self {
        let near = format!("{UNDER}/24");
        let (gateway, there) = cable([("under0", &near), ("under1", "192.168.79.2/24")]);
        for netns in [&gateway, &there] {
            // Interfaces that come would greet their neighbours.
            sysctl(netns, "ipv6/conf/default/disable_ipv6", "1");
        }
        let (id, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let interface = |side: char, place: usize, first: usize| {
            let name = format!("f{side}{number}{id:x}-{place}");
            let (private_key, public_key) = key(directory, &name);
            Interface {
                name,
                private_key,
                public_key,
                port: first + place,
                user: None,
                process: None,
            }
        };
        let member = |place| {
            let user = Some(USERS + u32::try_from(place / OF_A_USER).unwrap());
            let interface = Interface { user, ..interface('m', place, PORTS[1]) };
            Member { interface, wire: None, gateway: None }
        };
        let mut made = Self {
            gateways: (0..gateways).map(|place| interface('g', place, PORTS[0])).collect(),
            all: (0..members).map(member).collect(),
            gateway,
            there,
        };
        // All of them at once, for they come up slowly.
        for interface in &mut made.gateways {
            interface.add(&made.gateway);
        }
        for member in &mut made.all {
            member.interface.add(&made.there);
        }
        for interface in &made.gateways {
            interface.bring_up(&made.gateway);
        }
        for member in &mut made.all {
            member.bring_up(&made.there);
        }
        made
    }

    /// How many members there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The interface of a gateway.
    pub fn interface(&self, gateway: usize) -> &str {
        &self.gateways[gateway].name
    }

    /// What tells a member from others.
    pub fn public_key(&self, member: usize) -> &str {
        &self.all[member].interface.public_key
    }

    /// Gives members the addresses that these are at a gateway, and no others; whoever had them has them no more.
    pub fn assign(&self, gateway: usize, members: &[(usize, String)]) {
        let mut arguments = vec!["set", self.interface(gateway)];
        for (member, prefixes) in members {
            arguments.extend(["peer", self.public_key(*member), "allowed-ips", prefixes]);
        }
        wg(&self.gateway, &arguments);
    }

    /// A gateway does not know a member any more.
    pub fn remove(&self, gateway: usize, member: usize) {
        let arguments = ["set", self.interface(gateway), "peer", self.public_key(member), "remove"];
        wg(&self.gateway, &arguments);
    }

    /// A member takes a gateway as its peer, as if for the first time: what it sends next makes a handshake.
    pub fn connect(&mut self, member: usize, gateway: usize) {
        let name = &self.all[member].interface.name;
        if let Some(before) = self.all[member].gateway {
            let peer = &self.gateways[before].public_key;
            wg(&self.there, &["set", name, "peer", peer, "remove"]);
        }
        let Interface { public_key, port, .. } = &self.gateways[gateway];
        let endpoint = format!("{UNDER}:{port}");
        let peer = ["peer", public_key, "endpoint", &endpoint, "allowed-ips", "0.0.0.0/0,::/0"];
        wg(&self.there, &[&["set", name][..], &peer].concat());
        self.all[member].gateway = Some(gateway);
    }

    /// The process of a member is killed, and its interface goes with it.
    pub fn crash(&mut self, member: usize) {
        let Member { interface, wire, gateway } = &mut self.all[member];
        (*wire, *gateway) = (None, None);
        match &mut interface.process {
            Some(process) => {
                process.kill().unwrap();
                process.wait().unwrap();
                interface.process = None;
                std::fs::remove_file(socket(&interface.name)).unwrap();
            }
            None => self.there.ip(&["link", "delete", &interface.name]).unwrap(),
        }
    }

    /// It is there again, with the same key, and not connected.
    pub fn start_again(&mut self, member: usize) {
        self.all[member].interface.add(&self.there);
        self.all[member].bring_up(&self.there);
    }

    /// A member speaks from another port from now on: its gateway sees that with its next packet.
    pub fn roam(&mut self, member: usize, port: usize) {
        let interface = &mut self.all[member].interface;
        interface.port = port;
        wg(&self.there, &["set", &interface.name, "listen-port", &port.to_string()]);
    }

    /// When a member's last handshake was, by its own account.
    pub fn handshake(&self, member: usize) -> Option<Utc> {
        let name = &self.all[member].interface.name;
        let shown = wg(&self.there, &["show", name, "latest-handshakes"]);
        let seconds: i64 = shown.split_whitespace().nth(1)?.parse().unwrap();
        (seconds > 0).then(|| Utc::from_ms(seconds * 1_000))
    }

    /// Sends a packet with the member's number from one of its addresses through its tunnel.
    pub fn send(&self, member: usize, from: IpAddr, to: IpAddr) {
        let wire = self.all[member].wire.as_ref().expect("a member that is there");
        let number = u32::try_from(member).unwrap();
        let packet = packet(from, to, &number.to_be_bytes());
        assert_eq!(nix::unistd::write(wire.as_fd(), &packet).unwrap(), packet.len());
    }

    /// Begins to capture what members send, behind the tunnels of a gateway.
    pub fn capture(&self, gateway: usize, file: &Path) -> Capture {
        Capture::of(&self.gateway, self.interface(gateway), file, "udp dst port 9")
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let members = self.all.iter_mut().map(|member| &mut member.interface);
        let interfaces = self.gateways.iter_mut().chain(members);
        let (sockets, mut processes): (Vec<PathBuf>, Vec<Child>) =
            interfaces.filter_map(|of| Some((socket(&of.name), of.process.take()?))).unzip();
        end(&mut processes);
        // One that could not come up leaves its socket.
        for socket in sockets {
            std::fs::remove_file(socket).unwrap_or_default();
        }
    }
}

impl Interface {
    fn add(&mut self, netns: &Netns) {
        self.process = add_wireguard(netns, &self.name, self.user);
    }

    fn bring_up(&self, netns: &Netns) {
        wait_for_wireguard(&self.name);
        let (port, key) = (self.port.to_string(), self.private_key.to_str().unwrap());
        wg(netns, &["set", &self.name, "listen-port", &port, "private-key", key]);
        netns.ip(&["link", "set", &self.name, "up"]).unwrap();
    }
}

impl Member {
    fn bring_up(&mut self, there: &Netns) {
        self.interface.bring_up(there);
        let name = self.interface.name.clone();
        self.wire = Some(there.run(move || packet_socket(&name)).unwrap());
    }
}

impl Seen {
    /// All of a capture, in the order of time.
    pub fn all(capture: Capture) -> Vec<Self> {
        let file = std::fs::read(capture.stop()).unwrap();
        records_of(&file).filter_map(|(time, packet)| Self::of(time, packet)).collect()
    }

    fn of(time: &[u8], packet: &[u8]) -> Option<Self> {
        let number = |at: usize| u32::from_le_bytes(time[at..at + 4].try_into().unwrap());
        let at = Utc::from_ns(i64::from(number(0)) * 1_000_000_000 + i64::from(number(4)));
        let (source, payload) = if packet[0] >> 4 == 4 {
            let source: [u8; 4] = packet[12..16].try_into().unwrap();
            (IpAddr::from(source), packet.get(28..32)?)
        } else {
            let source: [u8; 16] = packet[8..24].try_into().unwrap();
            (IpAddr::from(source), packet.get(48..52)?)
        };
        let member = u32::from_be_bytes(payload.try_into().unwrap());
        Some(Self { at, source, member: usize::try_from(member).unwrap() })
    }
}

/// A datagram as IP has it.
fn packet(from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => header_v4(from, to, length),
        (IpAddr::V6(from), IpAddr::V6(to)) => header_v6(from, to, length),
        _ => panic!("from one family to the other"),
    };
    for number in [40_000, DISCARD, length, 0] {
        packet.extend(number.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

fn header_v4(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + length).to_be_bytes());
    header.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    // RFC 1071; whoever forwards it looks.
    let (words, _) = header.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    header[10..12].copy_from_slice(&[high, low]);
    header
}

fn header_v6(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([17, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}
