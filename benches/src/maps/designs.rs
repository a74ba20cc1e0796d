//! The designs that are compared, as loaded programs with their maps.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use anyhow::Context as _;
use aya::{
    Ebpf, EbpfLoader,
    maps::{ArrayOfMaps, Map, MapData},
};

use super::batch::{Key, Reader, packets};
use crate::kernel::{Runnable, load};

/// Ways to keep the counters of flows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One hash for all CPUs, added to atomically.
    Shared,
    /// The same, added to plainly: CPUs that meet lose counts.
    Racy,
    /// One hash with a value for each CPU.
    PerCpu,
    /// A hash for each CPU.
    ByCpu,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Shared, Self::Racy, Self::PerCpu, Self::ByCpu];

    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Racy => "racy",
            Self::PerCpu => "per_cpu",
            Self::ByCpu => "by_cpu",
        }
    }
}

pub struct Design {
    pub up: Runnable,
    pub down: Runnable,
    /// Does nothing.
    pub empty: Runnable,
    /// Up, down and nothing, with other work for each packet, as most of what is done to one is.
    pub paced: Option<[Runnable; 3]>,
    pub stored: Stored,
    _ebpf: Ebpf,
}

impl Design {
    /// With room for so many flows; in every map, where there is one for each CPU.
    pub fn load(object: &Path, kind: Kind, flows: u32) -> anyhow::Result<Self> {
        let cpus = possible_cpus()?;
        let mut ebpf = open(object, kind, flows)?;
        // While the object still has the maps that they use.
        let up = load(&mut ebpf, &format!("{}_up", kind.name()))?;
        let down = load(&mut ebpf, &format!("{}_down", kind.name()))?;
        let empty = load(&mut ebpf, "empty")?;
        let paced = match kind {
            Kind::Shared | Kind::PerCpu => Some([
                load(&mut ebpf, &format!("{}_paced_up", kind.name()))?,
                load(&mut ebpf, &format!("{}_paced_down", kind.name()))?,
                load(&mut ebpf, "empty_paced")?,
            ]),
            Kind::Racy | Kind::ByCpu => None,
        };
        let maps = match kind {
            Kind::Shared | Kind::Racy => vec![hash(&mut ebpf, "SHARED")?],
            Kind::PerCpu => vec![hash(&mut ebpf, "PER_CPU")?],
            Kind::ByCpu => {
                let map = |_| hash(&mut open(object, Kind::Shared, flows)?, "SHARED");
                let maps = (0..cpus).map(map).collect::<anyhow::Result<Vec<_>>>()?;
                let by_cpu = ebpf.take_map("BY_CPU").context("BY_CPU")?;
                let mut by_cpu: ArrayOfMaps<MapData> = by_cpu.try_into()?;
                for (cpu, map) in (0..).zip(&maps) {
                    by_cpu.set(cpu, map, 0)?;
                }
                maps
            }
        };
        let copies = if kind == Kind::PerCpu { cpus } else { 1 };
        Ok(Self {
            up,
            down,
            empty,
            paced,
            stored: Stored { maps, reader: Reader::new(copies) },
            _ebpf: ebpf,
        })
    }
}

/// A per-CPU hash whose values stand for those of a machine with so many times the CPUs.
pub struct Wide {
    pub up: Runnable,
    pub empty: Runnable,
    pub stored: Stored,
    _ebpf: Ebpf,
}

impl Wide {
    pub const TIMES: [usize; 5] = [1, 4, 8, 16, 32];

    pub fn load(object: &Path, times: usize, flows: u32) -> anyhow::Result<Self> {
        let map = format!("WIDE_{times}");
        let mut ebpf = EbpfLoader::new().map_max_entries(&map, flows).load_file(object)?;
        Ok(Self {
            up: load(&mut ebpf, &format!("wide_{times}"))?,
            empty: load(&mut ebpf, "empty")?,
            stored: Stored {
                maps: vec![hash(&mut ebpf, &map)?],
                reader: Reader::new(possible_cpus()? * times),
            },
            _ebpf: ebpf,
        })
    }
}

/// What a design keeps flows in.
pub struct Stored {
    maps: Vec<MapData>,
    reader: Reader,
}

/// What was read of it.
#[derive(Default)]
pub struct Read {
    /// Those of each map.
    pub keys: Vec<Vec<Key>>,
    pub packets: u64,
}

impl Stored {
    /// Only calls the kernel.
    pub fn read(&mut self) -> anyhow::Result<()> {
        let Self { maps, reader } = self;
        Ok(maps.iter().try_for_each(|map| reader.read(map, |_, _| ()))?)
    }

    /// Reads, and adds up what was counted on all CPUs.
    pub fn read_and_add_up(&mut self) -> anyhow::Result<Read> {
        let Self { maps, reader } = self;
        let mut all = Read::default();
        for map in maps {
            let mut keys = vec![];
            reader.read(map, |batch, values| {
                keys.extend_from_slice(batch);
                all.packets += packets(values);
            })?;
            all.keys.push(keys);
        }
        Ok(all)
    }

    pub fn clear(&self, read: &Read) -> anyhow::Result<()> {
        for (map, keys) in self.maps.iter().zip(&read.keys) {
            flowlog::capture::drain::clear(map, keys)?;
        }
        Ok(())
    }

    /// Kernel memory of all maps, as the kernel accounts it.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        self.maps.iter().map(bytes).sum()
    }
}

fn bytes(map: &MapData) -> anyhow::Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
    let fields = std::fs::read_to_string(path)?;
    let locked = fields.lines().find_map(|line| line.strip_prefix("memlock:"));
    Ok(locked.context("the kernel does not say how large a map is")?.trim().parse()?)
}

fn open(object: &Path, kind: Kind, flows: u32) -> anyhow::Result<Ebpf> {
    let cpus = u32::try_from(possible_cpus()?)?;
    let mut loader = EbpfLoader::new();
    match kind {
        Kind::Shared | Kind::Racy => loader.map_max_entries("SHARED", flows),
        Kind::PerCpu => loader.map_max_entries("PER_CPU", flows),
        Kind::ByCpu => loader.map_max_entries("BY_CPU", cpus),
    };
    loader.load_file(object).with_context(|| object.display().to_string())
}

fn hash(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<MapData> {
    match ebpf.take_map(name) {
        Some(Map::HashMap(map) | Map::PerCpuHashMap(map)) => Ok(map),
        _ => anyhow::bail!("no hash map {name}"),
    }
}

fn possible_cpus() -> anyhow::Result<usize> {
    aya::util::nr_cpus().map_err(|(file, error)| anyhow::Error::new(error).context(file))
}
