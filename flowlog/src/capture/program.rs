//! The kernel program: the object that is built in, loaded into the kernel.

use std::{collections::HashSet, sync::Arc};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, MapError, PerCpuArray},
    programs::{ProgramError, SchedClassifier},
};
use flowlog_common::{
    flow::{FlowCounters, FlowKeyV4, FlowKeyV6},
    interface::Interface,
    policy::profile,
    total::{Totals, table_size},
};

use super::{
    Control, Pins, PreviousState, Targets,
    error::{Error, is_permission, map_error},
    hook::ENTRY_POINTS,
    pins::{self, Claim, LinkPin, MAPS, Pinned},
    previous::{Contents, Previous},
};
use crate::{
    config::CaptureSettings,
    record::policy::{Policy, Profile},
};

#[cfg(not(feature = "trace"))]
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/flowlog.bpf.o"));
#[cfg(feature = "trace")]
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf/flowlog-trace.bpf.o"));

/// How many entries the kernel's maps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSizes {
    /// IPv4 flows of an epoch.
    pub flows_v4: u32,
    /// IPv6 flows of an epoch.
    pub flows_v6: u32,
    /// Members with a protocol, of each family, that are told apart when those are full.
    pub overflow: u32,
    /// Interface names.
    pub interfaces: u16,
}

/// What the kernel keeps beside the key and the value of an entry of a hash map.
const ENTRY_OVERHEAD: usize = 48;
/// What it keeps for each entry that there may be, so that entries are found.
const BUCKET: usize = 16;

impl MapSizes {
    /// Interface names that can be told apart at most.
    pub const MAX_INTERFACES: u16 = super::control::MAX_SLOTS_U16;

    /// Those that the settings ask for.
    #[must_use]
    pub const fn configured(settings: &CaptureSettings) -> Self {
        Self {
            flows_v4: settings.max_flows_v4,
            flows_v6: settings.max_flows_v6,
            overflow: settings.max_overflow,
            interfaces: Self::MAX_INTERFACES,
        }
    }

    /// Kernel memory of the flow maps, which is taken when they are made.
    #[must_use]
    pub fn kernel_bytes(&self) -> u64 {
        let entry = |key: usize| (key + size_of::<FlowCounters>() + ENTRY_OVERHEAD + BUCKET) as u64;
        let v4 = u64::from(self.flows_v4 + self.overflow) * entry(size_of::<FlowKeyV4>());
        let v6 = u64::from(self.flows_v6 + self.overflow) * entry(size_of::<FlowKeyV6>());
        2 * (v4 + v6)
    }
}

/// The maps that the daemon drains; each pair by epoch.
pub struct Maps {
    /// What announces the change of epoch.
    pub control: Arc<Control>,
    /// Totals by interface, direction and epoch.
    pub totals: PerCpuArray<MapData, Totals>,
    /// IPv4 flows.
    pub flows_v4: [MapData; 2],
    /// IPv6 flows.
    pub flows_v6: [MapData; 2],
    /// What had no room among the IPv4 flows.
    pub overflow_v4: [MapData; 2],
    /// What had no room among the IPv6 flows.
    pub overflow_v6: [MapData; 2],
    /// Whom the profile `targeted` records.
    pub targets: Targets,
}

/// The program in the kernel; it goes when this is dropped, unless it is attached by what outlives
/// the process.
pub struct Program {
    ebpf: Ebpf,
    pub(super) control: Arc<Control>,
    pub(super) pinned: Option<Pinned>,
}

/// What has just been loaded.
pub struct Loaded {
    /// The program.
    pub program: Program,
    /// The maps that it counts in.
    pub maps: Maps,
    /// What was there before.
    pub previous: PreviousState,
}

impl Program {
    /// Loads the program and hands out the maps that it counts in: those that a daemon before left
    /// behind, where they are to outlive it.
    pub fn load(sizes: MapSizes, policy: &Policy, pins: Option<&Pins>) -> Result<Loaded, Error> {
        let claim = pins.map(|pins| pins.claim(sizes)).transpose()?;
        let mut ebpf = load(sizes, policy, claim.as_ref())?;
        let lock = claim.as_ref().map(|claim| Arc::clone(&claim.lock));
        let control = Arc::new(Control::map(&take_data(&mut ebpf, "CONTROL")?, lock)?);
        let maps = Maps {
            control: Arc::clone(&control),
            totals: take(&mut ebpf, "TOTALS")?,
            flows_v4: take_pair(&mut ebpf, ["FLOWS_V4_0", "FLOWS_V4_1"])?,
            flows_v6: take_pair(&mut ebpf, ["FLOWS_V6_0", "FLOWS_V6_1"])?,
            overflow_v4: take_pair(&mut ebpf, ["OVERFLOW_V4_0", "OVERFLOW_V4_1"])?,
            overflow_v6: take_pair(&mut ebpf, ["OVERFLOW_V6_0", "OVERFLOW_V6_1"])?,
            targets: Targets {
                v4: take(&mut ebpf, "TARGETS_V4")?,
                v6: take(&mut ebpf, "TARGETS_V6")?,
                wanted: policy.targets.clone(),
            },
        };
        let (pinned, previous) = match claim {
            Some(claim) => {
                let (mut pinned, previous) = look_around(claim, &control)?;
                pinned.programs = entry_points(&ebpf)?;
                pinned.remember_programs()?;
                (Some(pinned), previous)
            }
            None => (None, PreviousState::default()),
        };
        Ok(Loaded { program: Self { ebpf, control, pinned }, maps, previous })
    }

    /// An entry point by its name, for attaching and for test runs.
    pub fn classifier(&mut self, name: &'static str) -> Result<&mut SchedClassifier, ProgramError> {
        self.ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
    }

    /// Counts the packets of an interface from now on.
    pub fn count_interface(&self, counted: Interface) {
        self.control.count(counted);
    }

    /// Does not count the packets of an interface any more.
    pub fn ignore_interface(&self, kernel_index: u32) {
        self.control.ignore(kernel_index);
    }
}

fn load(sizes: MapSizes, policy: &Policy, claim: Option<&Claim>) -> Result<Ebpf, Error> {
    let profile = match policy.profile {
        Profile::Flows => profile::FLOWS,
        Profile::Attribution => profile::ATTRIBUTION,
        Profile::Targeted => profile::TARGETED,
    };
    // One more: before late 2024 the kernel refused to change an entry of a trie that is full.
    let targets = u32::try_from(policy.targets.len()).unwrap_or(u32::MAX).saturating_add(1);
    let mut loader = EbpfLoader::new();
    loader
        .override_global("PROFILE", &profile, true)
        .map_max_entries("TARGETS_V4", targets)
        .map_max_entries("TARGETS_V6", targets)
        .map_max_entries("FLOWS_V4_0", sizes.flows_v4)
        .map_max_entries("FLOWS_V4_1", sizes.flows_v4)
        .map_max_entries("FLOWS_V6_0", sizes.flows_v6)
        .map_max_entries("FLOWS_V6_1", sizes.flows_v6)
        .map_max_entries("OVERFLOW_V4_0", sizes.overflow)
        .map_max_entries("OVERFLOW_V4_1", sizes.overflow)
        .map_max_entries("OVERFLOW_V6_0", sizes.overflow)
        .map_max_entries("OVERFLOW_V6_1", sizes.overflow)
        .map_max_entries("TOTALS", table_size(sizes.interfaces));
    if let Some(claim) = claim {
        for map in MAPS {
            loader.map_pin_path(map, claim.current.join(map));
        }
    }
    let mut ebpf = loader.load(OBJECT).map_err(load_error)?;
    for name in ["up_l3", "down_l3", "up_l2", "down_l2", "empty"] {
        let program: &mut SchedClassifier = ebpf
            .program_mut(name)
            .ok_or(Error::Missing { name })?
            .try_into()
            .map_err(|_| Error::Missing { name })?;
        program.load().map_err(|source| program_error(name, source))?;
    }
    #[cfg(feature = "trace")]
    start_logger(&mut ebpf);
    Ok(ebpf)
}

/// Looks at what else is there of the daemon before.
fn look_around(claim: Claim, control: &Control) -> Result<(Pinned, PreviousState), Error> {
    let mut pinned = Pinned::new(&claim)?;
    let Claim { lock, is_continued, others, .. } = claim;
    let mut state = PreviousState { is_continued, maps: vec![] };
    let mut is_new = !is_continued;
    for folder in others {
        let of_folder = LinkPin::list(&folder)?;
        let Some(previous) = Previous::open(folder.clone(), &lock)? else {
            // What it had is drained, or never was.
            pins::remove_layout(&folder)?;
            continue;
        };
        if let Contents::Counts(counts) = &previous.contents
            && is_new
        {
            // The same slots go on in the new maps.
            control.copy_interfaces(&counts.control);
            is_new = false;
        }
        pinned.links.extend(of_folder);
        state.maps.push(previous);
    }
    Ok((pinned, state))
}

/// The kernel's numbers of the entry points.
fn entry_points(ebpf: &Ebpf) -> Result<HashSet<u32>, Error> {
    let number = |name| {
        let program = ebpf.program(name).ok_or(Error::Missing { name })?;
        program.info().map(|info| info.id()).map_err(|source| program_error(name, source))
    };
    ENTRY_POINTS.into_iter().map(number).collect()
}

fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    let map = ebpf.take_map(name).ok_or(Error::Missing { name })?;
    map.try_into().map_err(|source| map_error(name, source))
}

fn take_pair(ebpf: &mut Ebpf, [even, odd]: [&'static str; 2]) -> Result<[MapData; 2], Error> {
    Ok([take_data(ebpf, even)?, take_data(ebpf, odd)?])
}

fn take_data(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, Error> {
    match ebpf.take_map(name) {
        Some(Map::Array(data) | Map::HashMap(data)) => Ok(data),
        _ => Err(Error::Missing { name }),
    }
}

fn load_error(source: aya::EbpfError) -> Error {
    let is_refused = matches!(&source, aya::EbpfError::MapError(MapError::CreateError { io_error, .. })
        if is_permission(io_error));
    if is_refused {
        Error::Permission { action: "create the kernel program's maps" }
    } else {
        Error::Load { source: Box::new(source) }
    }
}

fn program_error(name: &'static str, source: ProgramError) -> Error {
    match &source {
        ProgramError::LoadError { io_error, .. } if is_permission(io_error) => {
            Error::Permission { action: "load the kernel program" }
        }
        _ => {
            tracing::debug!("{name}: {source}");
            Error::LoadProgram { name, source: Box::new(source) }
        }
    }
}

#[cfg(feature = "trace")]
fn start_logger(ebpf: &mut Ebpf) {
    if let Err(error) = aya_log::EbpfLogger::init(ebpf) {
        tracing::warn!("the kernel program logs nothing: {error}");
    }
}
