//! Pins of earlier versions, and of a later one.

use std::{fs, path::Path};

use flowlog::record::clock;
use flowlog_tests::PinnedMap;
use serde_json::Value;

use super::rig::{GATEWAY, Rig, assert_same, generations, rows, verify};

/// Those of the golden pins, which then go on.
pub const SAME_SIZES: [u32; 3] = [16, 8, 4];
/// With which the maps of the golden pins are drained, and go.
const OTHER_SIZES: [u32; 3] = [512, 512, 32];

/// Pins maps again as they were when their contents were written down, under this layout.
pub fn pin_again(dump: &Value, layout: &str, base: &Path) {
    pin_again_for(GATEWAY, dump, layout, base);
}

/// The same for another gateway.
pub fn pin_again_for(gateway: &str, dump: &Value, layout: &str, base: &Path) {
    let folder = base.join(gateway).join(layout);
    fs::create_dir_all(&folder).unwrap();
    let taken_ns = dump["taken_ns"].as_u64().unwrap();
    let passed_ns = clock::monotonic_coarse().ns().cast_signed() - taken_ns.cast_signed();
    for entry in dump["maps"].as_array().unwrap() {
        let name = entry[0].as_str().unwrap();
        let mut map = PinnedMap::from_json(&entry[1]);
        let times = dump["times"].as_array().unwrap().iter().find(|times| times[0] == name);
        if let Some(times) = times {
            let places = times[1].as_array().unwrap().iter();
            let places: Vec<usize> =
                places.map(|place| usize::try_from(place.as_u64().unwrap()).unwrap()).collect();
            map.move_times(&places, passed_ns);
        }
        map.pin(&folder.join(name));
    }
}

pub fn read_dump(generation: &Path) -> Value {
    serde_json::from_slice(&fs::read(generation.join("pins.json")).unwrap()).unwrap()
}

fn assert_taken_over(sizes: [u32; 3]) {
    for generation in generations("pins-") {
        let (rig, dump) = (Rig::new(), read_dump(&generation));
        pin_again(&dump, dump["layout"].as_str().unwrap(), &rig.bpffs.base());
        let expected = dump["expected"].as_array().unwrap();
        let all: u64 = expected.iter().map(|row| row[2].as_u64().unwrap()).sum();
        for _ in 0..2 {
            rig.run_until_stored(sizes, all);
            let seen = rows(
                &rig.store(),
                "SELECT interface, direction, sum(packets_seen)::BIGINT, sum(bytes_seen)::BIGINT
                 FROM ledger GROUP BY ALL",
            );
            assert_same(&seen, &dump["expected"]);
        }
        let verified = verify(&rig.store());
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        let of_a_flow = rows(
            &rig.store(),
            "SELECT sum(packets_up)::BIGINT, sum(packets_down)::BIGINT FROM flows
             WHERE member_ip = '10.20.0.7' AND remote_port = 443",
        );
        assert_eq!(of_a_flow, [serde_json::json!([6, 10])]);
    }
}

#[test]
fn pins_of_an_earlier_version_are_stored_to_the_packet_and_once() {
    assert_taken_over(SAME_SIZES);
}

#[test]
fn pins_of_an_earlier_version_in_other_sizes_are_stored_to_the_packet_and_once() {
    assert_taken_over(OTHER_SIZES);
}
