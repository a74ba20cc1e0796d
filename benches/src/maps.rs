//! Ways to keep the counters of flows beside each other: what a packet costs, alone and while
//! another CPU counts too, what it costs to drain them, their memory, and what they lose.

mod batch;
mod designs;
mod two;

use std::{path::PathBuf, time::Instant};

use anyhow::ensure;

use crate::{
    Measurement, Series,
    kernel::{Course, Vary, frame_v4},
};
use designs::{Design, Kind, Stored, Wide};
use two::Load;

const RUNS: usize = 9;
const REPEAT: u32 = 2_000_000;
/// Distinct flows of the new and the random ones, and the room for them.
const FLOWS: u32 = 1_000_000;
const ROOM: u32 = 1 << 20;
/// Where values stand for those of many CPUs, which take much memory.
const WIDE_FLOWS: u32 = 60_000;
const WIDE_ROOM: u32 = 1 << 16;

/// Objects that were compiled for the benchmarks.
pub struct Objects {
    /// `maps.c`.
    pub maps: PathBuf,
    /// `vary.c`.
    pub vary: PathBuf,
}

pub fn measure(objects: &Objects) -> anyhow::Result<Vec<Measurement>> {
    two::stay()?;
    let mut series = Series::default();
    let load = |kind| anyhow::Ok((kind, Design::load(&objects.maps, kind, ROOM)?));
    let mut designs = Kind::ALL.into_iter().map(load).collect::<anyhow::Result<Vec<_>>>()?;
    let mut vary = Vary::load(&objects.vary, 14)?;
    // In turn, so that a change of the machine's speed meets all of them.
    for _ in 0..RUNS {
        for (kind, design) in &mut designs {
            hot(&mut series, *kind, design)?;
            paced(&mut series, *kind, design)?;
        }
        for (kind, design) in &mut designs {
            many(&mut series, *kind, design, &mut vary)?;
        }
    }
    drop(designs);
    for times in Wide::TIMES {
        wide(&mut series, times, objects, &mut vary)?;
    }
    Ok(series.0)
}

/// One flow over and over, by one CPU and by two.
fn hot(series: &mut Series, kind: Kind, design: &mut Design) -> anyhow::Result<()> {
    let frame = frame_v4();
    let mut other = frame.clone();
    other[29] = 2;
    let Design { up, down, stored, .. } = design;
    let name = kind.name();
    let alone = up.nanoseconds(&frame, REPEAT)?;
    series.cost(format!("{name}_hot"), alone);
    expect(name, u64::from(REPEAT), empty(stored)?)?;
    let measured = Load { program: up, packet: &frame };
    for (scene, beside) in [
        ("one_flow", Load { program: up, packet: &frame }),
        ("one_flow_up_and_down", Load { program: down, packet: &frame }),
        ("own_flows", Load { program: up, packet: &other }),
    ] {
        let outcome = two::measure(measured, beside)?;
        series.cost(format!("{name}_two_on_{scene}"), outcome.nanoseconds);
        let counted = empty(stored)?;
        if kind == Kind::Racy {
            #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
            let lost = 100.0 * (1.0 - counted as f64 / outcome.packets as f64);
            series.add(format!("{name}_two_on_{scene}_lost"), "% of packets", lost);
        } else {
            expect(name, outcome.packets, counted)?;
        }
    }
    Ok(())
}

/// One flow, whose packets have more done to them than to be counted: alone, and with its other
/// direction on the other CPU.
fn paced(series: &mut Series, kind: Kind, design: &mut Design) -> anyhow::Result<()> {
    let Design { paced: Some([up, down, nothing]), stored, .. } = design else { return Ok(()) };
    let (frame, name) = (frame_v4(), kind.name());
    let load = |program| Load { program, packet: &frame };
    for (scene, program, beside) in
        [("work", &*nothing, &*nothing), ("alone", &*up, &*nothing), ("up_and_down", &*up, &*down)]
    {
        let outcome = two::measure(load(program), load(beside))?;
        series.cost(format!("{name}_paced_{scene}"), outcome.nanoseconds);
    }
    empty(stored).map(|_| ())
}

/// Flows that come for the first time, then at random; then their drain.
fn many(
    series: &mut Series,
    kind: Kind,
    design: &mut Design,
    vary: &mut Vary,
) -> anyhow::Result<()> {
    let frame = frame_v4();
    let Design { up, empty, stored, .. } = design;
    let name = kind.name();
    if kind != Kind::Racy {
        let began = Instant::now();
        stored.read()?;
        let time = per(began, ROOM);
        series.add(format!("{name}_read_nothing"), "ns/slot", time);
    }
    let new = vary.cost(up, empty, Course::InTurn, &frame, FLOWS)?;
    series.cost(format!("{name}_new"), new);
    let random = vary.cost(up, empty, Course::AtRandom, &frame, FLOWS)?;
    series.cost(format!("{name}_random"), random);
    if kind != Kind::Racy {
        let bytes = f64::from(u32::try_from(stored.bytes()?)?) / f64::from(ROOM);
        series.add(format!("{name}_memory"), "bytes/slot", bytes);
        let counted = drain(series, name, stored, FLOWS)?;
        expect(name, 2 * u64::from(FLOWS), counted)?;
        return Ok(());
    }
    self::empty(stored).map(|_| ())
}

/// What the values of so many times the CPUs cost.
fn wide(
    series: &mut Series,
    times: usize,
    objects: &Objects,
    vary: &mut Vary,
) -> anyhow::Result<()> {
    let frame = frame_v4();
    let design = &mut Wide::load(&objects.maps, times, WIDE_ROOM)?;
    let name = format!("wide_{times}");
    for _ in 0..RUNS {
        let new = vary.cost(&design.up, &design.empty, Course::InTurn, &frame, WIDE_FLOWS)?;
        series.cost(format!("{name}_new"), new);
        let random = vary.cost(&design.up, &design.empty, Course::AtRandom, &frame, WIDE_FLOWS)?;
        series.cost(format!("{name}_random"), random);
        let bytes = f64::from(u32::try_from(design.stored.bytes()?)?) / f64::from(WIDE_ROOM);
        series.add(format!("{name}_memory"), "bytes/slot", bytes);
        drain(series, &name, &mut design.stored, WIDE_FLOWS)?;
    }
    Ok(())
}

/// Reads and clears, measured for each of the flows that are there; gives the packets.
fn drain(series: &mut Series, name: &str, stored: &mut Stored, flows: u32) -> anyhow::Result<u64> {
    let began = Instant::now();
    stored.read()?;
    series.add(format!("{name}_read"), "ns/flow", per(began, flows));
    let read = stored.read_and_add_up()?;
    let entries: usize = read.keys.iter().map(Vec::len).sum();
    ensure!(entries == flows as usize, "{name} has {entries} entries for {flows} flows");
    let began = Instant::now();
    stored.clear(&read)?;
    series.add(format!("{name}_clear"), "ns/flow", per(began, flows));
    Ok(read.packets)
}

/// Empties the maps; gives the packets that were in them.
fn empty(stored: &mut Stored) -> anyhow::Result<u64> {
    let read = stored.read_and_add_up()?;
    stored.clear(&read)?;
    Ok(read.packets)
}

fn expect(name: &str, sent: u64, counted: u64) -> anyhow::Result<()> {
    ensure!(sent == counted, "{name} counted {counted} of {sent} packets");
    Ok(())
}

fn per(began: Instant, flows: u32) -> f64 {
    began.elapsed().as_secs_f64() * 1e9 / f64::from(flows)
}
