//! Super-packets that user space hands over, with a header that says how to cut them: a VPN that
//! reads and writes its tun that way, and whoever sends frames by a packet socket.
//!
//! The kernel does not say of these how many packets they stand for (`gso_segs` is zero), so that
//! the count is worked out of their sizes. Compared as in `superpackets.rs`, whose head says why.

use std::net::{IpAddr, SocketAddr};

use flowlog::demo::Netns;
use flowlog_tests::{
    Bursts, Cut, CutKind, assert_tcp_and_udp_equal_to_oracle, duckdb, offload, record, send_frames,
    set_ipv6, sysctl, tcp_both_ways, tunnel_of_super_packets, udp_both_ways, veth_pair,
};

/// The gateway's end of the tunnel, and of the cable to the peer.
const TUNNEL: &str = "fltun";
const NEAR: &str = "flnear";
const FAR: &str = "flfar";
const MEMBER_TUNNEL: &str = "flmember";
const TCP: u8 = 6;
const UDP: u8 = 17;

const BURSTS: Bursts = Bursts { count: 40, bytes: 40_000, segment: 1_200, at_once: true };

/// A member, a tunnel to the gateway, and a cable from there to a peer.
struct Road {
    member: Netns,
    gateway: Netns,
    peer: Netns,
}

const MEMBER: [&str; 2] = ["10.66.0.2", "fd66::2"];
const PEER: [&str; 2] = ["10.8.0.2", "fd08::2"];

impl Road {
    fn new() -> Self {
        let member = Netns::new().expect("these tests need root");
        let (gateway, peer) = veth_pair(NEAR, FAR);
        tunnel_of_super_packets([(&member, MEMBER_TUNNEL), (&gateway, TUNNEL)]);
        let ends = [
            (&member, MEMBER_TUNNEL, MEMBER, ["10.66.0.1", "fd66::1"]),
            (&gateway, TUNNEL, ["10.66.0.1", "fd66::1"], MEMBER),
            (&gateway, NEAR, ["10.8.0.1", "fd08::1"], PEER),
            (&peer, FAR, PEER, ["10.8.0.1", "fd08::1"]),
        ];
        for (netns, name, own, other) in ends {
            // Then every packet of a connection but the first has the same options.
            sysctl(netns, "ipv4/tcp_sack", "0");
            sysctl(netns, &format!("ipv6/conf/{name}/accept_dad"), "0");
            set_ipv6(netns, name, true);
            netns.ip(&["link", "set", name, "mtu", "1500", "up"]).unwrap();
            for (own, length) in own.iter().zip([24, 64]) {
                netns.ip(&["address", "add", &format!("{own}/{length}"), "dev", name]).unwrap();
            }
            if name != TUNNEL && name != NEAR {
                netns.ip(&["route", "add", "default", "via", other[0]]).unwrap();
                netns.ip(&["-6", "route", "add", "default", "via", other[1]]).unwrap();
            }
        }
        for (netns, name) in [(&gateway, NEAR), (&peer, FAR)] {
            netns.ip(&["link", "set", name, "arp", "on"]).unwrap();
            offload(netns, name, &[("tso", false), ("tx-udp-segmentation", false)]);
        }
        // What the peer sends is merged before it is forwarded, so that the tunnel gets super-packets.
        offload(&gateway, NEAR, &[("gro", true), ("rx-udp-gro-forwarding", true)]);
        for forwarding in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            sysctl(&gateway, forwarding, "1");
        }
        Self { member, gateway, peer }
    }
}

#[test]
fn super_packets_through_a_tunnel_count_as_the_packets_that_a_wire_behind_it_carries() {
    let directory = tempfile::tempdir().unwrap();
    let road = Road::new();
    let mut sent = vec![];
    let recording = record((&road.gateway, TUNNEL), (&road.peer, FAR), directory.path(), || {
        for (member, peer) in MEMBER.into_iter().zip(PEER) {
            let [from, to] = [(member, 7001), (peer, 7000)]
                .map(|(address, port)| SocketAddr::new(address.parse::<IpAddr>().unwrap(), port));
            udp_both_ways((&road.member, from), (&road.peer, to), BURSTS);
            sent.push(tcp_both_ways(&road.member, (&road.peer, to), 3_000_000, 100_000));
        }
    });
    let [up, down] = recording.hooks;
    assert!(up.super_packets > 50 && down.super_packets > 50, "{up:?} {down:?}");
    // What user space wrote says nothing of its packets' number; what the kernel merged does.
    assert_eq!((up.unnumbered, down.unnumbered), (up.super_packets, 0));
    assert_tcp_and_udp_equal_to_oracle(&recording.capture, &recording.store);
    for ((version, ip), sent) in [(4, 20), (6, 40)].into_iter().zip(sent) {
        // Only the first packet each way has eight bytes of options more.
        let tcp = recording.counted(version, TCP).payload(ip + 32);
        assert_eq!(tcp, [sent.by_client + 8, sent.by_server + 8], "IPv{version}");
        let udp = recording.counted(version, UDP);
        assert_eq!(udp.packets, [BURSTS.datagrams(); 2], "IPv{version}");
        assert_eq!(udp.payload(ip + 8), [BURSTS.payload(); 2], "IPv{version}");
    }
}

/// How long the payload of each frame is, into how many packets it is cut, and how.
const TAGGED: [(CutKind, u16, u16); 3] =
    [(CutKind::TcpV4, 6_001, 1_200), (CutKind::TcpV6, 6_000, 1_200), (CutKind::Udp, 7_000, 1_400)];
const PACKETS: [u64; 3] = [6, 5, 5];

#[test]
fn super_packets_within_a_vlan_count_as_the_packets_that_the_wire_carries_and_padding_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, peer) = veth_pair(NEAR, FAR);
    for (netns, name) in [(&gateway, NEAR), (&peer, FAR)] {
        netns.ip(&["link", "set", name, "mtu", "1500"]).unwrap();
        offload(netns, name, &[("tso", false), ("tx-udp-segmentation", false)]);
    }
    let recording = record((&gateway, NEAR), (&peer, FAR), directory.path(), || {
        let mut frames: Vec<_> = TAGGED.iter().map(|tagged| tagged_frame(*tagged)).collect();
        // The least that Ethernet carries: 46 bytes behind its header, of which 30 are IP.
        let mut small = ethernet(&[8, 0], &ipv4(UDP, 10), &udp(54, 10));
        small.resize(60, 0);
        frames.push((None, small));
        send_frames(&gateway, NEAR, frames);
    });
    assert_eq!((recording.hooks[1].super_packets, recording.hooks[1].unnumbered), (3, 3));
    assert_tcp_and_udp_equal_to_oracle(&recording.capture, &recording.store);
    let rows = duckdb(
        &recording.store,
        "SELECT packets_down::INT AS packets, bytes_down::INT AS bytes FROM flows
         WHERE packets_down > 0 ORDER BY protocol, contains(member_ip, ':'), packets_down DESC",
    );
    let bytes = |index: usize, headers: u64| u64::from(TAGGED[index].1) + PACKETS[index] * headers;
    let expected =
        [(PACKETS[0], bytes(0, 40)), (PACKETS[1], bytes(1, 60)), (PACKETS[2], bytes(2, 28))];
    let counted: Vec<_> = rows
        .iter()
        .map(|row| (row["packets"].as_u64().unwrap(), row["bytes"].as_u64().unwrap()))
        .collect();
    assert_eq!(counted, [&expected[..], &[(1, 30)]].concat());
}

/// Within 802.1Q.
fn tagged_frame((kind, payload, each): (CutKind, u16, u16)) -> (Option<Cut>, Vec<u8>) {
    let (ethertype, ip, transport) = match kind {
        CutKind::TcpV4 => ([8, 0], ipv4(TCP, 20 + payload), tcp()),
        CutKind::TcpV6 => ([0x86, 0xdd], ipv6(TCP, 20 + payload), tcp()),
        CutKind::Udp => ([8, 0], ipv4(UDP, 8 + payload), udp(53, 8 + payload)),
    };
    let tag = [&[0x81, 0, 0, 5][..], &ethertype].concat();
    let transport_at = u16::try_from(12 + tag.len() + ip.len()).unwrap();
    let mut frame = ethernet(&tag, &ip, &transport);
    frame.resize(frame.len() + usize::from(payload), 0x2a);
    (Some(Cut { kind, transport: transport_at, payload: each }), frame)
}

fn ethernet(tag: &[u8], ip: &[u8], transport: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], tag, ip, transport].concat()
}

fn ipv4(protocol: u8, payload: u16) -> Vec<u8> {
    let [high, low] = (20 + payload).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0];
    header.extend([10, 0, 0, 1, 192, 0, 2, 1]);
    header
}

fn ipv6(protocol: u8, payload: u16) -> Vec<u8> {
    let [high, low] = payload.to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, high, low, protocol, 64];
    for host in [1, 2] {
        header.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    header
}

fn tcp() -> Vec<u8> {
    vec![0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 2, 0, 0, 0, 0, 0]
}

fn udp(port: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    vec![0x9c, 0x41, 0, port, high, low, 0, 0]
}
