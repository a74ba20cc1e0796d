//! Programs in the kernel that can be given packets by test runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aya::{
    Ebpf, EbpfLoader, TestRunOptions,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, TestRun as _},
};
use flowlog::{capture::drain, record::epoch::Entries};

/// Objects that were compiled for the benchmarks.
pub struct Objects {
    /// `vary.c`.
    pub vary: PathBuf,
    /// The floor, where there is one to measure beside.
    pub floor: Option<PathBuf>,
}

/// A loaded program; by its descriptor, so that whoever loaded it is free meanwhile.
pub struct Runnable(SchedClassifier);

impl Runnable {
    pub fn of(program: &SchedClassifier) -> anyhow::Result<Self> {
        let info = program.info()?;
        Ok(Self(SchedClassifier::from_program_info(info, "measured".into())?))
    }

    /// Mean time of a run, as the kernel measures it.
    pub fn nanoseconds(&self, packet: &[u8], repeat: u32) -> anyhow::Result<f64> {
        let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::default() };
        Ok(self.0.test_run(options)?.duration.as_secs_f64() * 1e9)
    }

    fn fd(&self) -> anyhow::Result<&ProgramFd> {
        Ok(self.0.fd()?)
    }
}

/// The least that a flow counter can do, in C.
pub struct Floor {
    pub up: Runnable,
    flows: MapData,
    _ebpf: Ebpf,
}

impl Floor {
    /// For packets whose IP header begins at this offset, with room for so many flows.
    pub fn load(object: &Path, l2_len: u32, flows: u32) -> anyhow::Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .override_global("l2_len", &l2_len, true)
            .map_max_entries("FLOWS_A", flows)
            .load_file(object)
            .with_context(|| object.display().to_string())?;
        let up = load(&mut ebpf, "up")?;
        let Some(Map::HashMap(flows)) = ebpf.take_map("FLOWS_A") else {
            bail!("{} has no hash map FLOWS_A", object.display());
        };
        Ok(Self { up, flows, _ebpf: ebpf })
    }

    /// Empties its flow map as flowlog empties its own.
    pub fn empty_map(&self) -> anyhow::Result<()> {
        let entries: Entries<[u8; 16], [u8; 64]> = drain::read(&self.flows)?;
        Ok(drain::clear(&self.flows, &entries.keys)?)
    }
}

/// How the flows follow each other.
#[derive(Clone, Copy)]
pub enum Course {
    InTurn,
    AtRandom,
}

/// Gives every run another flow.
pub struct Vary {
    _ebpf: Ebpf,
    in_turn: Runnable,
    at_random: Runnable,
    next: ProgramArray<MapData>,
    course: Array<MapData, [u32; 2]>,
}

impl Vary {
    pub fn load(object: &Path, ip_offset: u32) -> anyhow::Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .override_global("ip_offset", &ip_offset, true)
            .load_file(object)
            .with_context(|| object.display().to_string())?;
        Ok(Self {
            in_turn: load(&mut ebpf, "in_turn")?,
            at_random: load(&mut ebpf, "at_random")?,
            next: ebpf.take_map("NEXT").context("NEXT")?.try_into()?,
            course: ebpf.take_map("COURSE").context("COURSE")?.try_into()?,
            _ebpf: ebpf,
        })
    }

    /// Mean time of a run with this many packets of as many flows, the choice of the flow included.
    pub fn nanoseconds(
        &mut self,
        program: &Runnable,
        course: Course,
        packet: &[u8],
        flows: u32,
    ) -> anyhow::Result<f64> {
        self.next.set(0, program.fd()?, 0)?;
        self.course.set(0, [0, flows], 0)?;
        let first = match course {
            Course::InTurn => &self.in_turn,
            Course::AtRandom => &self.at_random,
        };
        first.nanoseconds(packet, flows)
    }

    /// As [`Self::nanoseconds`], less what the choice of the flow costs, which a program shows that
    /// does nothing.
    pub fn cost(
        &mut self,
        program: &Runnable,
        empty: &Runnable,
        course: Course,
        packet: &[u8],
        flows: u32,
    ) -> anyhow::Result<f64> {
        let varied = self.nanoseconds(program, course, packet, flows)?;
        let of_varying = self.nanoseconds(empty, course, packet, flows)?;
        Ok(varied - of_varying + empty.nanoseconds(packet, flows)?)
    }
}

/// Loads a program of an object.
pub fn load(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Runnable> {
    let program: &mut SchedClassifier =
        ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().with_context(|| format!("the kernel refuses {name}"))?;
    Runnable::of(program)
}
