//! The kernel program, by the kernel's own clock for test runs, and the drain of its maps.

use std::{sync::Arc, time::Instant};

use anyhow::Context as _;
use aya::{TestRunOptions, programs::TestRun as _};
use flowlog::{
    capture::{MapSizes, Program, presence::Presence},
    drain::Drainer,
};
use flowlog_common::interface::Interface;

use crate::Measurement;

const RUNS: usize = 9;
const REPEAT: u32 = 2_000_000;
const NEW_FLOWS: u32 = 100_000;
/// Test runs come from the loopback interface.
const LOOPBACK: u32 = 1;

pub fn measure() -> anyhow::Result<Vec<Measurement>> {
    let sizes = MapSizes { flows_v4: 1 << 20, flows_v6: 1 << 17, overflow: 1 << 10, interfaces: 4 };
    let (mut program, maps) = Program::load(sizes).context("the kernel benchmarks need root")?;
    let presence = Arc::new(Presence::new(4));
    let slot = presence.slot("lo").context("slot")?;
    let mut drainer = Drainer::new(maps, Arc::clone(&presence))?;
    presence.attached(slot);
    program.count_interface(Interface { kernel_index: LOOPBACK, slot, reserved: 0 })?;

    let (mut empty, mut hot_v4, mut hot_v6) = (vec![], vec![], vec![]);
    // In turn, so that a change of the machine's speed meets all of them.
    for _ in 0..RUNS {
        empty.push(nanoseconds(&mut program, "empty", &frame_v4(1), REPEAT)?);
        hot_v4.push(nanoseconds(&mut program, "up_l2", &frame_v4(1), REPEAT)?);
        hot_v6.push(nanoseconds(&mut program, "up_l2", &frame_v6(1), REPEAT)?);
    }
    let (mut new_v4, mut read, mut clear) = (vec![], vec![], vec![]);
    for _ in 0..RUNS {
        let mut sum = 0.0;
        for flow in 0..NEW_FLOWS {
            sum += nanoseconds(&mut program, "up_l2", &frame_v4(flow + 2), 1)?;
        }
        new_v4.push(sum / f64::from(NEW_FLOWS));
        let closed = drainer.close()?;
        let began = Instant::now();
        let epoch = drainer.read(&closed)?;
        let entries = f64::from(u32::try_from(epoch.flows_v4.len())?);
        read.push(entries / began.elapsed().as_secs_f64());
        let began = Instant::now();
        drainer.clear(&closed, &epoch)?;
        clear.push(entries / began.elapsed().as_secs_f64());
    }
    Ok(vec![
        Measurement::new("kernel_empty", "ns/packet", empty),
        Measurement::new("kernel_hot_flow_v4", "ns/packet", hot_v4),
        Measurement::new("kernel_hot_flow_v6", "ns/packet", hot_v6),
        Measurement::new("kernel_new_flow_v4", "ns/packet", new_v4),
        Measurement::new("drain_read", "entries/s", read),
        Measurement::new("drain_clear", "entries/s", clear),
    ])
}

/// Mean time of a run, as the kernel measures it.
fn nanoseconds(
    program: &mut Program,
    entry_point: &'static str,
    frame: &[u8],
    repeat: u32,
) -> anyhow::Result<f64> {
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
    let result = program.classifier(entry_point)?.test_run(options)?;
    Ok(result.duration.as_secs_f64() * 1e9)
}

/// A TCP packet of 64 bytes on Ethernet, of the flow with this number.
fn frame_v4(flow: u32) -> Vec<u8> {
    let [a, b, c, d] = flow.to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 50, 0, 1, 0, 0, 64, 6, 0, 0, 10, a, b, c, 192, 0, 2, d]);
    frame.extend(tcp_header());
    frame.resize(64, 0);
    frame
}

fn frame_v6(flow: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 30, 6, 64]);
    for last in [flow, 1] {
        frame.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    frame.extend(tcp_header());
    frame.resize(84, 0);
    frame
}

fn tcp_header() -> [u8; 20] {
    [0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 2, 0, 0, 0, 0, 0]
}
