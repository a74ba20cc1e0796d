//! Super-packets: what the kernel hands over at once is counted as the packets that the wire
//! carries, against a capture behind the segmentation.
//!
//! The gateway's end of a cable cuts what it sends behind the hook and merges what it receives
//! before it; the peer's end does neither, so tcpdump sees there what a wire would carry. That is
//! compared exactly, both ways, for one and the same transfer. How TCP divides a stream differs
//! from one transfer to the next (acknowledgements, windows); between two transfers only what the
//! payload decides is compared: all of UDP, and of TCP the payload, which is the bytes less the
//! headers of every packet counted, and what TCP itself says it sent.

use std::net::{IpAddr, SocketAddr};

use flowlog::demo::Netns;
use flowlog_tests::{
    Bursts, Recording, TcpSent, allow_super_packets_of, assert_tcp_and_udp_equal_to_oracle,
    offload, record, set_ipv6, sysctl, tcp_both_ways, udp_both_ways, veth_pair,
};

const NEAR: &str = "flnear";
const FAR: &str = "flfar";
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Sizes of headers by IP version, with the timestamps of TCP.
const TCP_HEADERS: [(u8, u64); 2] = [(4, 20 + 32), (6, 40 + 32)];
const UDP_HEADERS: [(u8, u64); 2] = [(4, 20 + 8), (6, 40 + 8)];
/// Options that only the first packet each way has.
const SYN_OPTIONS: u64 = 8;

/// Fewer bursts than the ring of a veth has room for: 34 datagrams each, the last one short.
const BURSTS: Bursts = Bursts { count: 40, bytes: 40_000, segment: 1_200, at_once: true };

/// A gateway and a peer; what the gateway receives is up, from the peer.
struct Cable {
    gateway: Netns,
    peer: Netns,
}

impl Cable {
    fn new(mtu: &str) -> Self {
        let (gateway, peer) = veth_pair(NEAR, FAR);
        for (netns, name, host) in [(&gateway, NEAR, 1), (&peer, FAR, 2)] {
            // Then every packet of a connection but the first has the same options.
            sysctl(netns, "ipv4/tcp_sack", "0");
            sysctl(netns, &format!("ipv6/conf/{name}/accept_dad"), "0");
            netns.ip(&["link", "set", name, "mtu", mtu, "arp", "on"]).unwrap();
            set_ipv6(netns, name, true);
            for address in [format!("10.8.0.{host}/24"), format!("fd08::{host}/64")] {
                netns.ip(&["address", "add", &address, "dev", name]).unwrap();
            }
        }
        Self { gateway, peer }
    }

    /// Both ends cut by software, behind the hook and before the capture; the gateway's merges.
    fn with_super_packets(mtu: &str) -> Self {
        let cable = Self::new(mtu);
        for (netns, name, merges) in [(&cable.gateway, NEAR, true), (&cable.peer, FAR, false)] {
            offload(netns, name, &[("tso", false), ("tx-udp-segmentation", false)]);
            offload(netns, name, &[("gso", true), ("gro", merges)]);
        }
        cable
    }

    fn without_super_packets(mtu: &str) -> Self {
        let cable = Self::new(mtu);
        for (netns, name) in [(&cable.gateway, NEAR), (&cable.peer, FAR)] {
            offload(netns, name, &[("tso", false), ("tx-udp-segmentation", false)]);
            offload(netns, name, &[("gso", false), ("gro", false)]);
            // TCP makes super-packets whatever the device says, unless they may have one segment.
            netns.ip(&["link", "set", name, "gso_max_segs", "1"]).unwrap();
        }
        cable
    }

    /// Sends TCP and UDP both ways over both families; returns what TCP says of itself.
    fn transfer(&self, tcp_bytes: usize, receive_buffer: usize, bursts: Bursts) -> [TcpSent; 2] {
        [["10.8.0.1", "10.8.0.2"], ["fd08::1", "fd08::2"]].map(|addresses| {
            let [gateway, peer] = addresses.map(|address| address.parse::<IpAddr>().unwrap());
            let [server, client] = [(gateway, 7000), (peer, 7001)].map(SocketAddr::from);
            udp_both_ways((&self.peer, client), (&self.gateway, server), bursts);
            tcp_both_ways(&self.peer, (&self.gateway, server), tcp_bytes, receive_buffer)
        })
    }

    fn record(&self, directory: &tempfile::TempDir, traffic: impl FnOnce()) -> Recording {
        let witness = (&self.peer, FAR);
        record((&self.gateway, NEAR), witness, directory.path(), traffic)
    }
}

const TCP_BYTES: usize = 3_000_000;
/// The kernel doubles it; in packets of 1500 bytes, and with as many acknowledgements as the other
/// direction asks for, less than the ring of a veth.
const RECEIVE_BUFFER: usize = 100_000;

fn assert_payload_of_tcp(recording: &Recording, sent: [TcpSent; 2]) {
    for ((version, headers), sent) in TCP_HEADERS.into_iter().zip(sent) {
        let payload = recording.counted(version, TCP).payload(headers);
        let expected = [sent.by_client, sent.by_server].map(|bytes| bytes + SYN_OPTIONS);
        assert_eq!(payload, expected, "IPv{version}");
    }
}

fn assert_every_datagram_of_udp(recording: &Recording, bursts: Bursts) {
    for (version, headers) in UDP_HEADERS {
        let counted = recording.counted(version, UDP);
        assert_eq!(counted.packets, [bursts.datagrams(); 2], "IPv{version}");
        assert_eq!(counted.payload(headers), [bursts.payload(); 2], "IPv{version}");
    }
}

#[test]
fn super_packets_count_as_the_packets_that_the_wire_carries() {
    let directory = tempfile::tempdir().unwrap();
    let cable = Cable::with_super_packets("1500");
    let mut sent = None;
    let recording = cable.record(&directory, || {
        sent = Some(cable.transfer(TCP_BYTES, RECEIVE_BUFFER, BURSTS));
    });
    for hook in recording.hooks {
        assert!(hook.super_packets > 50, "there were none to be counted: {hook:?}");
    }
    assert_tcp_and_udp_equal_to_oracle(&recording.capture, &recording.store);
    assert_payload_of_tcp(&recording, sent.unwrap());
    assert_every_datagram_of_udp(&recording, BURSTS);
}

#[test]
fn the_same_transfer_without_super_packets_counts_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let cable = Cable::without_super_packets("1500");
    let one_by_one = Bursts { at_once: false, ..BURSTS };
    let mut sent = None;
    let recording = cable.record(&directory, || {
        sent = Some(cable.transfer(TCP_BYTES, RECEIVE_BUFFER, one_by_one));
    });
    for hook in recording.hooks {
        assert_eq!(hook.super_packets, 0);
    }
    assert_tcp_and_udp_equal_to_oracle(&recording.capture, &recording.store);
    assert_payload_of_tcp(&recording, sent.unwrap());
    assert_every_datagram_of_udp(&recording, BURSTS);
}

#[test]
fn super_packets_of_big_tcp_count_as_the_packets_that_the_wire_carries() {
    const LARGEST: u32 = 185_000;
    let directory = tempfile::tempdir().unwrap();
    // Packets so large that many super-packets fit into the ring of a veth.
    let cable = Cable::with_super_packets("9000");
    for (netns, name) in [(&cable.gateway, NEAR), (&cable.peer, FAR)] {
        allow_super_packets_of(netns, name, LARGEST);
    }
    let mut sent = None;
    let recording = cable.record(&directory, || {
        sent = Some(cable.transfer(15_000_000, 6 * RECEIVE_BUFFER, BURSTS));
    });
    for hook in recording.hooks {
        assert!(hook.giants > 10, "there was no BIG TCP: {hook:?}");
    }
    assert_tcp_and_udp_equal_to_oracle(&recording.capture, &recording.store);
    assert_payload_of_tcp(&recording, sent.unwrap());
}
