//! What a gateway carries: iperf3 through an interface, while flowlog counts there and while it does
//! not, by turns.
//!
//! Member, gateway and the tunnel between them share the processors of one machine, which are all
//! busy: whatever flowlog takes of them is taken from the throughput. What else the machine does
//! takes far more, now and then. So one connection goes on all the time, and the kernel program comes
//! and goes several times a second: the two halves of a pair have nearly the same machine.

mod iperf;
mod recorder;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use flowlog::demo::{GATEWAY, Netns};
use flowlog_tests::{WireGuard, cable};

use crate::{Measurement, Series};
use iperf::{Client, Server};
use recorder::Recorder;

const SLICE: Duration = Duration::from_millis(200);
/// After the program has come or gone.
const SETTLE: Duration = Duration::from_millis(30);
/// Until a connection is as fast as it gets.
const WARM_UP: Duration = Duration::from_secs(3);

pub fn measure() -> anyhow::Result<Vec<Measurement>> {
    let mut series = Series::default();
    let keys = tempfile::tempdir()?;
    let tunnel = WireGuard::new(keys.path());
    let mut road = Road {
        gateway: &tunnel.vpn.gateway,
        member: &tunnel.vpn.member,
        interface: tunnel.interface(),
        address: GATEWAY[0],
        entry_points: ["up_l3", "down_l3"],
        pairs: 200,
    };
    compare(&road, &[], ["wireguard_up", "bare_wireguard_up"], &mut series)?;
    compare(&road, &["--reverse"], ["wireguard_down", "bare_wireguard_down"], &mut series)?;

    // No VPN: what takes the least besides flowlog. The kernel hands over super-packets, as for the
    // network card of a gateway.
    let (gateway, member) = cable([("cable0", "10.67.0.1/24"), ("cable1", "10.67.0.2/24")]);
    road = Road {
        gateway: &gateway,
        member: &member,
        interface: "cable0",
        address: [10, 67, 0, 1].into(),
        entry_points: ["up_l2", "down_l2"],
        pairs: 50,
    };
    compare(&road, &[], ["cable_up", "bare_cable_up"], &mut series)?;
    compare(&road, &["--reverse"], ["cable_down", "bare_cable_down"], &mut series)?;
    Ok(series.0)
}

/// What is between a member and a gateway.
struct Road<'a> {
    gateway: &'a Netns,
    member: &'a Netns,
    /// The gateway's.
    interface: &'a str,
    /// The gateway's.
    address: IpAddr,
    /// Of the kernel program, for packets from the member and to it.
    entry_points: [&'static str; 2],
    pairs: u32,
}

fn compare(
    road: &Road<'_>,
    options: &[&str],
    names: [&'static str; 2],
    series: &mut Series,
) -> anyhow::Result<()> {
    let _server = Server::start(road.gateway, road.address)?;
    let mut client = Client::start(road.member, road.address, options)?;
    let measured = std::thread::scope(|scope| {
        let by_turns = scope.spawn(|| by_turns(road));
        by_turns.join().ok().context("the thread at the gateway panicked")?
    })?;
    ensure!(client.is_running()?, "iperf3 ended before everything was measured");
    for (is_recorded, megabits) in measured {
        series.add(names[usize::from(!is_recorded)], "Mbit/s", megabits);
    }
    Ok(())
}

/// Throughput of each slice, and whether it was recorded; on a thread that stays at the gateway.
fn by_turns(road: &Road<'_>) -> anyhow::Result<Vec<(bool, f64)>> {
    road.gateway.enter()?;
    let mut recorder = Recorder::load(road.interface, road.entry_points)?;
    std::thread::sleep(WARM_UP);
    let mut slices = vec![];
    let mut recorded_bytes = 0;
    for pair in 0..road.pairs {
        // Who is first alternates: a machine that gets slower and slower favours neither.
        let recorded_first = pair % 2 == 0;
        for is_recorded in [recorded_first, !recorded_first] {
            recorder.switch(is_recorded)?;
            std::thread::sleep(SETTLE);
            let (before, began) = (carried(road.interface)?, Instant::now());
            std::thread::sleep(SLICE);
            let bytes = carried(road.interface)? - before;
            let seconds = began.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            slices.push((is_recorded, bytes as f64 * 8e-6 / seconds));
            recorded_bytes += if is_recorded { bytes } else { 0 };
        }
    }
    let seen = recorder.bytes_seen();
    ensure!(seen >= recorded_bytes, "flowlog saw {seen} of {recorded_bytes} bytes");
    Ok(slices)
}

/// Bytes that an interface of this thread's namespace has received and sent.
fn carried(interface: &str) -> anyhow::Result<u64> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface));
    let line = line.and_then(|line| line.strip_prefix(':'));
    let words: Vec<&str> = line.context("the interface is gone")?.split_whitespace().collect();
    let [received, sent] = [0, 8].map(|place| words.get(place).and_then(|word| word.parse().ok()));
    received.zip(sent).map(|(received, sent): (u64, u64)| received + sent).context("no counters")
}
