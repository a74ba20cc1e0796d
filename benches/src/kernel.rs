//! The kernel program by the kernel's own clock for test runs, beside a floor: the least that a
//! flow counter in C can do. And the drain of its maps.

mod packet;
mod programs;

use std::time::Instant;

use flowlog::capture::MapSizes;
use flowlog_tests::Loaded;

use crate::{Measurement, Series};
pub use packet::frame_v4;
use programs::Floor;
pub use programs::{Course, Objects, Runnable, Vary, load};

const RUNS: usize = 9;
const REPEAT: u32 = 2_000_000;
/// Room for flows, unless they are scanned.
const ROOM: u32 = 1 << 20;
/// Distinct flows of the random and the new ones.
const FLOWS: u32 = 1_000_000;
/// Room for flows when they are scanned.
const SCANNED: u32 = 1 << 16;

/// What can be measured of the kernel program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One flow over and over.
    Hot,
    /// Flows that come for the first time, then the same ones at random.
    Many,
    /// Ever new flows into a full map.
    Scan,
}

pub fn measure(group: Group, objects: &Objects) -> anyhow::Result<Vec<Measurement>> {
    let mut series = Series::default();
    match group {
        Group::Hot => hot(&mut series, objects)?,
        Group::Many => many(&mut series, objects)?,
        Group::Scan => scan(&mut series, objects)?,
    }
    Ok(series.0)
}

impl Series {
    pub fn cost(&mut self, name: impl Into<String>, nanoseconds: f64) {
        self.add(name, "ns/packet", nanoseconds);
    }
}

/// The kernel program with its maps, counting test runs.
fn load_flowlog(flows_v4: u32) -> Loaded {
    Loaded::new(MapSizes { flows_v4, flows_v6: 1 << 17, overflow: 1 << 12, interfaces: 4 })
}

fn entry_point(flowlog: &mut Loaded, name: &'static str) -> anyhow::Result<Runnable> {
    Runnable::of(flowlog.program.classifier(name)?)
}

/// Empties the maps, measured; clearing is counted by the entries that were read.
fn drain(flowlog: &mut Loaded, series: &mut Series) -> anyhow::Result<()> {
    let drainer = &mut flowlog.drainer;
    let closed = drainer.close()?;
    let began = Instant::now();
    let epoch = drainer.read(&closed)?;
    let entries = f64::from(u32::try_from(epoch.flows_v4.len())?);
    series.add("drain_read", "entries/s", entries / began.elapsed().as_secs_f64());
    let began = Instant::now();
    drainer.clear(&closed, &epoch)?;
    series.add("drain_clear", "entries/s", entries / began.elapsed().as_secs_f64());
    Ok(())
}

fn hot(series: &mut Series, objects: &Objects) -> anyhow::Result<()> {
    let mut flowlog = load_flowlog(ROOM);
    let empty = entry_point(&mut flowlog, "empty")?;
    let (l2, l3) = (entry_point(&mut flowlog, "up_l2")?, entry_point(&mut flowlog, "up_l3")?);
    let floors = objects
        .floor
        .as_deref()
        .map(|object| anyhow::Ok((Floor::load(object, 14, ROOM)?, Floor::load(object, 0, ROOM)?)))
        .transpose()?;
    let (frame_v4, frame_v6) = (packet::frame_v4(), packet::frame_v6());
    let (packet_v4, packet_v6) = (&frame_v4[14..], &frame_v6[14..]);
    // In turn, so that a change of the machine's speed meets all of them.
    for _ in 0..RUNS {
        series.cost("empty", empty.nanoseconds(&frame_v4, REPEAT)?);
        if let Some((floor_l2, floor_l3)) = &floors {
            series.cost("floor_hot_v4_l2", floor_l2.up.nanoseconds(&frame_v4, REPEAT)?);
            series.cost("floor_hot_v4_l3", floor_l3.up.nanoseconds(packet_v4, REPEAT)?);
        }
        series.cost("hot_v4_l2", l2.nanoseconds(&frame_v4, REPEAT)?);
        series.cost("hot_v4_l3", l3.nanoseconds(packet_v4, REPEAT)?);
        series.cost("hot_v6_l2", l2.nanoseconds(&frame_v6, REPEAT)?);
        series.cost("hot_v6_l3", l3.nanoseconds(packet_v6, REPEAT)?);
    }
    Ok(())
}

fn many(series: &mut Series, objects: &Objects) -> anyhow::Result<()> {
    let mut flowlog = load_flowlog(ROOM);
    let empty = entry_point(&mut flowlog, "empty")?;
    let ours = entry_point(&mut flowlog, "up_l2")?;
    let mut vary = Vary::load(&objects.vary, 14)?;
    let floor = objects.floor.as_deref().map(|object| Floor::load(object, 14, ROOM)).transpose()?;
    let frame = packet::frame_v4();
    for _ in 0..RUNS {
        let mut cost =
            |program: &Runnable, course| vary.cost(program, &empty, course, &frame, FLOWS);
        if let Some(floor) = &floor {
            series.cost("floor_new_v4", cost(&floor.up, Course::InTurn)?);
            series.cost("floor_random_v4", cost(&floor.up, Course::AtRandom)?);
            floor.empty_map()?;
        }
        series.cost("new_v4", cost(&ours, Course::InTurn)?);
        series.cost("random_v4", cost(&ours, Course::AtRandom)?);
        drain(&mut flowlog, series)?;
    }
    Ok(())
}

fn scan(series: &mut Series, objects: &Objects) -> anyhow::Result<()> {
    let mut flowlog = load_flowlog(SCANNED);
    let ours = entry_point(&mut flowlog, "up_l2")?;
    let floor =
        objects.floor.as_deref().map(|object| Floor::load(object, 14, SCANNED)).transpose()?;
    let mut vary = Vary::load(&objects.vary, 14)?;
    let frame = packet::frame_v4();
    for _ in 0..RUNS {
        let mut cost =
            |program: &Runnable| vary.nanoseconds(program, Course::InTurn, &frame, FLOWS);
        if let Some(floor) = &floor {
            series.cost("floor_scan_v4", cost(&floor.up)?);
            floor.empty_map()?;
        }
        series.cost("scan_v4", cost(&ours)?);
        flowlog.drain();
    }
    Ok(())
}
