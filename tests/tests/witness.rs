//! The interfaces' own counters beside ours: what it costs a drain to read them.

use std::time::{Duration, Instant};

use flowlog::{capture::Witness, capture::interface, demo::Netns};

const INTERFACES: usize = 64;
const ROUNDS: usize = 200;
/// What a drain may take longer for each interface than without a witness.
const AT_MOST: Duration = Duration::from_micros(50);

#[test]
fn a_drain_takes_at_most_50_us_longer_for_each_interface() {
    let netns = Netns::new().unwrap();
    for number in 0..INTERFACES / 2 {
        let (name, peer) = (format!("a{number}"), format!("b{number}"));
        netns.ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]).unwrap();
    }
    let mut rounds = netns
        .run(|| {
            let witness = Witness::open();
            let links = interface::list().unwrap();
            let indices: Vec<u32> = links.iter().map(|link| link.kernel_index).collect();
            let rounds = (0..ROUNDS).map(|_| {
                let begun = Instant::now();
                assert!(indices.iter().all(|index| witness.read(*index).is_some()));
                begun.elapsed() / u32::try_from(indices.len()).unwrap()
            });
            Ok(rounds.collect::<Vec<Duration>>())
        })
        .unwrap();
    rounds.sort_unstable();
    let [least, median, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|place| rounds[place]);
    println!("reading the counters of an interface: {median:?} ({least:?} to {most:?})");
    assert!(median <= AT_MOST, "{median:?} an interface");
}
