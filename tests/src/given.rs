//! Packets given to the loaded kernel program by test runs, and judged by the oracle.

use std::{borrow::Cow, path::Path};

use flowlog::capture::MapSizes;

use super::{
    assert_equal_to_oracle,
    capture::{Layer, Writer, records_of},
    flowlog,
    kernel::{Loaded, store_epoch},
};

/// An entry point of the kernel program.
#[derive(Clone, Copy, Debug)]
pub struct EntryPoint {
    name: &'static str,
    layer: Layer,
}

impl EntryPoint {
    /// From the member, packets that begin at the IP header.
    pub const UP_L3: Self = Self { name: "up_l3", layer: Layer::L3 };
    /// To the member, packets that begin at the IP header.
    pub const DOWN_L3: Self = Self { name: "down_l3", layer: Layer::L3 };
    /// From the member, Ethernet frames.
    pub const UP_L2: Self = Self { name: "up_l2", layer: Layer::L2 };
    /// To the member, Ethernet frames.
    pub const DOWN_L2: Self = Self { name: "down_l2", layer: Layer::L2 };
}

/// Gives the packets of a capture file to an entry point, and fails unless flows and ledger are
/// what the oracle says of what was given.
///
/// Test runs lose nothing, and need no interface.
pub fn assert_given_equal_to_oracle(entry_point: EntryPoint, capture: &Path) -> Given {
    let directory = tempfile::tempdir().unwrap();
    let (given, store) = (directory.path().join("given.pcap"), directory.path().join("store"));
    let sizes = MapSizes { flows_v4: 1 << 16, flows_v6: 1 << 16, overflow: 1 << 12, interfaces: 4 };
    let mut loaded = Loaded::new(sizes);
    let count = replay_into_program(&mut loaded, entry_point, capture, &given);
    println!("{}: {count:?}", entry_point.name);
    store_epoch(&loaded.drain(), &store);
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    assert_equal_to_oracle(&given, &store, None).assert_equal_to_ledger(&store);
    count
}

/// What became of the packets of a capture file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Packets that the program was given.
    pub packets: u64,
    /// Of them, cut to what every kernel takes.
    pub cut: u64,
    /// Of them, frames given behind a VLAN tag.
    pub tagged: u64,
    /// Packets that the program could not be given.
    pub left_out: u64,
}

/// What every kernel takes: a page less what it keeps around the packet. Some take more.
const LONGEST: usize = 3_500;
/// Less is refused whatever it is: the test run takes off an Ethernet header, and puts it back.
const SHORTEST: usize = 14;
/// Less is refused where these bytes look like those of an Ethernet header before a cut IP header.
const SHORTEST_IP: usize = 14 + 40;

/// Gives the packets of a capture file to the kernel program by test runs, and writes what it was
/// given to another capture file, for the oracle to judge.
///
/// The test run refuses what is longer than a page or so, which is given as far as it is taken,
/// and Ethernet frames in which an IP header is cut, which are given behind a VLAN tag. Raw IP
/// packets that look like such a frame or are too short for one are left out.
fn replay_into_program(
    loaded: &mut Loaded,
    entry_point: EntryPoint,
    capture: &Path,
    given: &Path,
) -> Given {
    let EntryPoint { name, layer, .. } = entry_point;
    let bytes = std::fs::read(capture).unwrap();
    let mut was_given = Writer::new(layer);
    let mut count = Given::default();
    let mut takes = |packet: &[u8]| loaded.try_run(name, packet, 1).is_some();
    for (time, packet) in records_of(&bytes) {
        let packet: Cow<'_, [u8]> = if takes(packet) {
            packet.into()
        } else if packet.len() > LONGEST {
            count.cut += 1;
            assert!(takes(&packet[..LONGEST]), "{} bytes", packet.len());
            packet[..LONGEST].into()
        } else if layer == Layer::L2 && packet.len() >= SHORTEST {
            count.tagged += 1;
            let tagged = [&packet[..12], &[0x81, 0, 0, 1], &packet[12..]].concat();
            assert!(takes(&tagged), "{} bytes", packet.len());
            tagged.into()
        } else {
            assert!(packet.len() < SHORTEST_IP, "{} bytes are refused", packet.len());
            count.left_out += 1;
            continue;
        };
        count.packets += 1;
        was_given.put(time, &packet);
    }
    was_given.finish(given);
    count
}
