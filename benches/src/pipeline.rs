//! From the kernel's maps to a file in a store, by stage: how many flows for a second of a processor in
//! user space.
//!
//! The flows of a table are put into the maps as twelve epochs of one window, each of which is drained,
//! spooled and cleared; their runs are merged to the window's, which is encoded, and put into a
//! directory as the daemon does it, durable and read again. The kernel's own time is told apart.

use std::{os::fd::AsFd as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use flowlog::{
    capture::{Loaded, MapSizes, Program, drain::Drainer, presence::Presence},
    record::{
        clock::{Offset, Utc},
        epoch::EpochNumber,
        flow::Activity,
        policy::Policy,
    },
    spool::{
        Spool, encode,
        files::merge,
        merge::Duplicates,
        recover::{Recording, Recovered, recover},
    },
    store::{Created, Store},
    table::{FLOWS, LEDGER, ObjectName},
};
use flowlog_common::flow::{Direction, FlowCounters, FlowKey, marks};

use crate::{
    Measurement, Series, cpu,
    table::{Flows, Table},
};

const RUNS: usize = 5;
const EPOCHS: usize = 12;
const GATEWAY: &str = "bench";
const HOUR: Duration = Duration::from_hours(1);

pub fn measure(table: Option<&Path>) -> anyhow::Result<Vec<Measurement>> {
    let table = table.map_or_else(Table::synthetic, Table::read)?;
    let mut kernel = Kernel::load()?;
    let mut series = Series::default();
    for _ in 0..RUNS {
        once(&table, &mut kernel, &mut series)?;
    }
    Ok(series.0)
}

fn once(table: &Table, kernel: &mut Kernel, series: &mut Series) -> anyhow::Result<()> {
    let spool = Arc::new(Spool::temporary()?);
    let recording = Recording { gateway: GATEWAY.to_owned(), policy: "0".repeat(64), window: HOUR };
    let Recovered { mut epochs, mut files, .. } = recover(&spool, recording)?;
    let times = Times::of(table);
    let mut watch = Watch::default();
    let mut runs = vec![];
    let mut rows = 0;
    for part in 0..EPOCHS {
        rows += kernel.fill(table, part, &times)?;
        watch.begin();
        let closed = kernel.drainer.close_now()?;
        let mut epoch = kernel.drainer.read(&closed)?;
        watch.end("drain");
        // The flows are of another hour than the maps.
        (epoch.opened, epoch.closed, epoch.offset) = (times.begins, times.ends, times.offset);
        watch.begin();
        runs.push(epochs.append(&epoch, Duration::ZERO)?);
        watch.end("spool");
        kernel.drainer.clear(&closed, &epoch)?;
        watch.end("drain");
    }
    let spooled: u64 = runs.iter().map(|run| run.header.entry_count()).sum();
    ensure!(spooled == rows, "{spooled} of {rows} flows were drained");
    watch.begin();
    let path = files.place(&runs[0].header.windows[0], &runs[0].header)?;
    files.add(merge(&runs, path, Duplicates::Merge)?);
    watch.end("gather");
    let file = &files.growing()[0];
    let encoded = encode::encode(file)?;
    watch.end("encode");
    let bytes = encoded.flows.iter().chain([&encoded.ledger]).map(|file| file.len() as u64).sum();
    put(encoded, file.hour())?;
    watch.end("put");
    watch.report(rows, series)?;
    series.add("parquet_size", "bytes/flow", number(bytes)? / number(rows)?);
    Ok(())
}

/// Puts both files into a directory, and reads them again.
fn put(encoded: encode::Encoded, hour: Utc) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = Store::create(&directory.path().display().to_string())?;
    for (dataset, bytes) in [(&FLOWS, encoded.flows), (&LEDGER, Some(encoded.ledger))] {
        let Some(bytes) = bytes else { continue };
        let path = ObjectName::new(dataset, GATEWAY, hour, HOUR).path();
        let created = runtime.block_on(store.create_object(&path, &bytes))?;
        ensure!(created == Created::New, "an empty directory has a file");
        runtime.block_on(store.confirm(&path, &bytes, true))?;
    }
    Ok(())
}

/// The program in the kernel, attached to nothing, and its maps.
struct Kernel {
    _program: Program,
    drainer: Drainer,
    v4: [HashMap<MapData, FlowKey<4>, FlowCounters>; 2],
    v6: [HashMap<MapData, FlowKey<16>, FlowCounters>; 2],
    /// The set of maps of the open epoch.
    set: usize,
}

impl Kernel {
    fn load() -> anyhow::Result<Self> {
        let sizes =
            MapSizes { flows_v4: 1 << 21, flows_v6: 1 << 20, overflow: 1 << 10, interfaces: 1 };
        let Loaded { program, maps, .. } = Program::load(sizes, &Policy::FLOWS, None)?;
        let presence = Arc::new(Presence::new(sizes.interfaces));
        let slot = presence.slot("wg0").context("a slot")?;
        presence.attached(slot);
        let (v4, v6) = (hash_maps(&maps.flows_v4)?, hash_maps(&maps.flows_v6)?);
        let drainer = Drainer::new(maps, presence, EpochNumber::ZERO)?;
        Ok(Self { _program: program, drainer, v4, v6, set: 1 })
    }

    /// Puts a part of the flows into the maps, and returns how many they are.
    fn fill(&mut self, table: &Table, part: usize, times: &Times) -> anyhow::Result<u64> {
        let rows = fill(&mut self.v4[self.set], &table.v4, part, times)?
            + fill(&mut self.v6[self.set], &table.v6, part, times)?;
        self.set = 1 - self.set;
        Ok(rows)
    }
}

fn hash_maps<const A: usize>(
    maps: &[MapData; 2],
) -> anyhow::Result<[HashMap<MapData, FlowKey<A>, FlowCounters>; 2]>
where
    FlowKey<A>: Pod,
{
    let open = |map: &MapData| -> anyhow::Result<_> {
        let map = MapData::from_fd(map.fd().as_fd().try_clone_to_owned()?)?;
        Ok(HashMap::try_from(Map::HashMap(map))?)
    };
    Ok([open(&maps[0])?, open(&maps[1])?])
}

fn fill<const A: usize>(
    map: &mut HashMap<MapData, FlowKey<A>, FlowCounters>,
    flows: &Flows<A>,
    part: usize,
    times: &Times,
) -> anyhow::Result<u64>
where
    FlowKey<A>: Pod,
{
    let mut rows = 0;
    for (key, activity) in flows.keys.iter().zip(&flows.activities).skip(part).step_by(EPOCHS) {
        match map.insert(key, times.counters(activity), BPF_NOEXIST) {
            Ok(()) => rows += 1,
            // A flow that the table has twice.
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rows)
}

const BPF_NOEXIST: u64 = 1;

/// When the flows of a table were, and the clock of the kernel at that time.
struct Times {
    begins: Utc,
    ends: Utc,
    offset: Offset,
}

impl Times {
    fn of(table: &Table) -> Self {
        let activities = || table.v4.activities.iter().chain(&table.v6.activities);
        let begins = activities().map(|activity| activity.start_ms).min().unwrap_or(0);
        let ends = activities().map(|activity| activity.end_ms).max().unwrap_or(0);
        let begins = Utc::from_ms(begins);
        Self { begins, ends: Utc::from_ms(ends + 1), offset: Offset::from_ns(begins.ns()) }
    }

    /// What the kernel would have counted of a flow.
    fn counters(&self, activity: &Activity) -> FlowCounters {
        let monotonic = |ms| (Utc::from_ms(ms).ns() - self.begins.ns()).unsigned_abs();
        FlowCounters {
            packets_up: activity.packets_up,
            bytes_up: activity.bytes_up,
            packets_down: activity.packets_down,
            bytes_down: activity.bytes_down,
            first_ns: monotonic(activity.start_ms),
            last_ns: monotonic(activity.end_ms),
            marks: marks::of_packet(Direction::Up, activity.tcp_flags_up, 0)
                | marks::of_packet(Direction::Down, activity.tcp_flags_down, 0),
        }
    }
}

/// What each stage computed, in user space and in the kernel.
#[derive(Default)]
struct Watch {
    began: (f64, f64),
    stages: Vec<(&'static str, f64, f64)>,
}

impl Watch {
    fn begin(&mut self) {
        self.began = (cpu::user(), cpu::system());
    }

    /// Ends a stage, or a part of it; the next one begins.
    fn end(&mut self, name: &'static str) {
        let (user, system) = self.began;
        self.begin();
        let (user, system) = (self.began.0 - user, self.began.1 - system);
        match self.stages.iter_mut().find(|stage| stage.0 == name) {
            Some(stage) => (stage.1, stage.2) = (stage.1 + user, stage.2 + system),
            None => self.stages.push((name, user, system)),
        }
    }

    fn report(self, rows: u64, series: &mut Series) -> anyhow::Result<()> {
        let rows = number(rows)?;
        let (mut all_user, mut all_system) = (0.0, 0.0);
        for (name, user, system) in self.stages {
            series.add(name, "ns/flow", user * 1e9 / rows);
            series.add(format!("{name}, kernel"), "ns/flow", system * 1e9 / rows);
            all_user += user;
            all_system += system;
        }
        series.add("end to end", "flows/CPU-s", rows / all_user);
        series.add("end to end with the kernel", "flows/CPU-s", rows / (all_user + all_system));
        Ok(())
    }
}

fn number(count: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}
