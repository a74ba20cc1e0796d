//! Maps as a daemon leaves them that was killed while it drained: one epoch that it closed and did not
//! clear, and one that is being counted.

use std::{path::Path, sync::Arc};

use flowlog::{
    capture::{Loaded, MapSizes, Pins, Program, presence::Presence},
    clock,
    config::Policy,
    drain::Drainer,
};
use flowlog_common::interface::Interface;
use flowlog_tests::Bpffs;
use serde_json::{Value, json};

use crate::{
    files::write_json,
    packets::{icmp, tcp, udp, v4, v6},
    pinned::PinnedMap,
};

/// As the tests configure the daemon that takes over; so small that some packets have no room.
const SIZES: MapSizes =
    MapSizes { flows_v4: 16, flows_v6: 8, overflow: 4, interfaces: MapSizes::MAX_INTERFACES };
const GATEWAY: &str = "golden";
const INTERFACE: &str = "flgold0";
/// Test runs come from the loopback interface.
const LOOPBACK: u32 = 1;
/// Epochs before these.
const LAST: u64 = 40;

pub fn make(folder: &Path) {
    let bpffs = Bpffs::mount();
    let pins = Pins::new(bpffs.base(), GATEWAY);
    let Loaded { mut program, maps, .. } =
        Program::load(SIZES, &Policy::FLOWS, Some(&pins)).expect("root");
    let presence = Arc::new(Presence::restore(SIZES.interfaces, Arc::clone(&maps.control)));
    let mut drainer = Drainer::new(maps, Arc::clone(&presence), LAST).unwrap();
    let slot = presence.slot(INTERFACE).unwrap();
    presence.attached(slot);
    program.count_interface(Interface { kernel_index: LOOPBACK, slot });
    // By direction, and within it by epoch.
    let mut sent = [[(0, 0); 2]; 2];
    for epoch in 0..2 {
        let [up, down] = &mut sent;
        send(&mut program, epoch, [&mut up[epoch], &mut down[epoch]]);
        if epoch == 0 {
            drainer.close().unwrap();
        }
    }
    let directory = bpffs.base().join(GATEWAY);
    let layout = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
    let layout = layout.map(|name| name.into_string().unwrap()).find(|name| name.starts_with('v'));
    let layout = layout.unwrap();
    let mut maps = serde_json::Map::new();
    for entry in std::fs::read_dir(directory.join(&layout)).unwrap() {
        let pin = entry.unwrap().path();
        let name = pin.file_name().unwrap().to_str().unwrap().to_owned();
        maps.insert(name, PinnedMap::read(&pin).to_json());
    }
    let control = json!(["CONTROL", [0, 16, 32]]);
    let flows = ["V4_0", "V4_1", "V6_0", "V6_1"]
        .iter()
        .flat_map(|name| [format!("FLOWS_{name}"), format!("OVERFLOW_{name}")])
        .map(|name| json!([name, [32, 40]]));
    let times: Vec<Value> = std::iter::once(control).chain(flows).collect();
    let expected = ["up", "down"].iter().zip(sent).map(|(direction, [first, second])| {
        json!([INTERFACE, direction, first.0 + second.0, first.1 + second.1])
    });
    let expected: Vec<Value> = expected.collect();
    let dump = json!({
        "gateway": GATEWAY,
        "layout": layout,
        "taken_ns": clock::monotonic_coarse(),
        "times": times,
        "maps": maps.iter().map(|(name, map)| json!([name, map])).collect::<Vec<_>>(),
        "expected": expected,
    });
    write_json(&folder.join("pins.json"), &dump);
}

/// Sends a little of everything, and counts it: packets and bytes from the member and to the member.
fn send(program: &mut Program, epoch: usize, counts: [&mut (u64, u64); 2]) {
    let [count_up, count_down] = counts;
    let (member, remote) = ([10, 20, 0, 7], [192, 0, 2, 1]);
    let (member_v6, remote_v6) = (address(7), address(0x53));
    let extra = u16::try_from(epoch).unwrap();
    let mut up = vec![
        (v4(member, remote, 6, &tcp(40_000, 443, 0x02)), 3),
        (v4(member, remote, 1, &icmp(8)), 2),
        (v6(member_v6, remote_v6, 17, &udp(53_000, 53, 40)), 4),
        (v6(member_v6, remote_v6, 58, &icmp(128)), 1),
        // Neither IP nor sound.
        ([&[2; 12][..], &[8, 6], &[0; 46]].concat(), 2),
        ([&[2; 12][..], &[8, 0], &[0x44; 30]].concat(), 1),
    ];
    let mut down = vec![
        (v4(remote, member, 6, &tcp(443, 40_000, 0x12)), 5),
        (v4(remote, member, 1, &icmp(0)), 2),
        (v6(remote_v6, member_v6, 17, &udp(53, 53_000, 200)), 4),
    ];
    // More flows than there is room for, of two members.
    for port in 0..20 + extra {
        up.push((v4([10, 20, 0, 8], remote, 17, &udp(1_000 + port, 9, 100)), 1));
        down.push((v6(remote_v6, address(9), 17, &udp(9, 1_000 + port, 50)), 2));
    }
    // More members than there is room for when the flows have none.
    for member in 20..30 {
        up.push((v4([10, 20, 0, member], remote, 17, &udp(1_000, 9, 10)), 1));
    }
    for (entry_point, packets, (count, bytes)) in
        [("up_l2", up, count_up), ("down_l2", down, count_down)]
    {
        for (frame, repeat) in packets {
            run(program, entry_point, &frame, repeat);
            *count += u64::from(repeat);
            *bytes += u64::from(repeat) * u64::try_from(frame.len() - 14).unwrap();
        }
    }
}

fn address(last: u16) -> [u8; 16] {
    std::net::Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, last).octets()
}

fn run(program: &mut Program, entry_point: &'static str, frame: &[u8], repeat: u32) {
    use aya::{TestRunOptions, programs::TestRun as _};

    let mut left = vec![0; frame.len()];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut left),
        repeat,
        ..TestRunOptions::default()
    };
    program.classifier(entry_point).unwrap().test_run(options).unwrap();
}
