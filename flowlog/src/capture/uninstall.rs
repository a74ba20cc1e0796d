//! Removing what outlives the daemon: pins, links, filters, and the queueing disciplines made for them.
//!
//! What is to be removed is found out first, and kept from changing: nobody starts in between.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use aya::{
    maps::{HashMap, Map, MapData, MapInfo},
    programs::loaded_programs,
};
use flowlog_common::flow::{FlowCounters, FlowKeyV4, FlowKeyV6};
use serde::Serialize;

use super::{
    clsact,
    error::{Error, failure},
    filter::Filter,
    hook::{self, AttachmentLocation, ENTRY_POINTS},
    interface::{self, Link},
    pins::{self, LinkPin, MAPS, Pins},
    previous::{Contents, Counts, Previous},
};
use crate::{durable::Lock, record::gateway::GatewayName};

/// What is to be removed.
#[derive(Serialize)]
pub struct Removal {
    /// What each gateway has in the BPF file system.
    pub gateways: Vec<Installed>,
    /// Filters of daemons that were killed and kept nothing else.
    pub strays: Vec<Attachment>,
    #[serde(skip)]
    base: PathBuf,
}

/// What a gateway has.
#[derive(Serialize)]
pub struct Installed {
    /// The gateway.
    pub gateway: String,
    /// Pinned maps.
    pub maps: usize,
    /// Flows in them that no daemon has drained yet; `None` where the maps are another version's.
    pub flows: Option<usize>,
    /// Where its program is attached.
    pub attached: Vec<Attachment>,
    /// Indexes of interfaces on which it had filters, and which are gone or in another network
    /// namespace.
    pub not_here: Vec<u32>,
    #[serde(skip)]
    directory: PathBuf,
    #[serde(skip)]
    _lock: std::sync::Arc<Lock>,
}

const CLSACT: &str = "clsact";

/// Where a program is attached.
#[derive(Serialize)]
pub struct Attachment {
    /// Name of the interface; `None` where it is gone or in another network namespace.
    pub interface: Option<String>,
    /// The kernel's index of it, in its own network namespace.
    pub kernel_index: u32,
    /// `up` or `down`.
    pub direction: &'static str,
    /// `tcx` or `clsact`.
    pub by: &'static str,
    #[serde(skip)]
    location: AttachmentLocation,
}

impl Removal {
    /// Finds what all gateways have, or one, and keeps daemons from starting for them.
    ///
    /// Filters are looked for in this network namespace, and strays only for all gateways.
    /// Nothing but what flowlog made in a BPF file system is ever part of it.
    pub fn plan(base: &Path, gateway: Option<&GatewayName>) -> Result<Self, Error> {
        pins::require_bpffs(base)?;
        let links = interface::list().map_err(|source| Error::List { source })?;
        let gateways = match gateway {
            Some(gateway) => {
                let pins = Pins::new(base, gateway.as_str());
                if pins.are_there()? { vec![pins] } else { vec![] }
            }
            None => Pins::gateways(base)?,
        };
        let mut installed = vec![];
        for pins in &gateways {
            if let Some(lock) = pins.lock()? {
                installed.push(Installed::find(pins, lock, &links)?);
            }
        }
        let strays = if gateway.is_none() { strays(&links, &installed)? } else { vec![] };
        Ok(Self { gateways: installed, strays, base: base.to_owned() })
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.gateways.is_empty() && self.strays.is_empty()
    }

    /// Removes it.
    pub fn run(self) -> Result<(), Error> {
        for stray in &self.strays {
            stray.remove()?;
        }
        for installed in &self.gateways {
            installed.remove()?;
        }
        // Others may have theirs below it, and it may be where the file system is mounted.
        match fs::remove_dir(&self.base) {
            Err(error) if !is_in_use(&error) => Err(failure("remove", &self.base, error)),
            _ => Ok(()),
        }
    }
}

fn is_in_use(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTEMPTY | libc::EBUSY | libc::EEXIST)
    )
}

impl Installed {
    fn find(pins: &Pins, lock: Lock, links: &[Link]) -> Result<Self, Error> {
        let lock = std::sync::Arc::new(lock);
        let directory = pins.directory();
        let (mut maps, mut flows, mut attached) = (0, Some(0), vec![]);
        for layout in pins::layouts(&directory)? {
            for pin in LinkPin::list(&layout)? {
                attached.push(Attachment::tcx(pin, links));
            }
            let pinned = MAPS.iter().filter(|map| layout.join(map).exists()).count();
            maps += pinned;
            let held = match Previous::open(layout, &lock)? {
                None => Some(0),
                Some(previous) => match previous.contents {
                    Contents::Counts(counts) => Some(counts.flows()?),
                    Contents::Unreadable => None,
                },
            };
            flows = flows.zip(held).map(|(sum, held)| sum + held);
        }
        let programs = pins::programs(&directory)?;
        for (link, filter) in
            filters(links, |filter| filter.program.is_some_and(|id| programs.contains(&id)))?
        {
            attached.push(Attachment::clsact(link, filter));
        }
        let is_here = |kernel_index: u32| {
            attached.iter().any(|a| a.kernel_index == kernel_index && a.by == CLSACT)
        };
        let mut not_here = pins::own_clsacts(&directory)?.into_iter().collect::<Vec<_>>();
        not_here.retain(|kernel_index| !is_here(*kernel_index));
        let gateway = pins.gateway().to_owned();
        Ok(Self { gateway, maps, flows, attached, not_here, directory, _lock: lock })
    }

    fn remove(&self) -> Result<(), Error> {
        for attachment in &self.attached {
            attachment.remove()?;
        }
        for layout in pins::layouts(&self.directory)? {
            pins::remove_layout(&layout)?;
        }
        for kernel_index in pins::own_clsacts(&self.directory)? {
            // Where its filters are not, it is that of another interface.
            let is_here = !self.not_here.contains(&kernel_index);
            match is_here.then(|| clsact::remove_unless_used(kernel_index)).transpose() {
                Err(error) if !super::is_gone(&error) => {
                    tracing::warn!("a clsact queueing discipline stays: {error}");
                }
                _ => {}
            }
            pins::forget_clsact(&self.directory, kernel_index)?;
        }
        for program in pins::programs(&self.directory)? {
            pins::forget_program(&self.directory, program)?;
        }
        fs::remove_dir(&self.directory).map_err(|source| failure("remove", &self.directory, source))
    }
}

impl Attachment {
    fn tcx(pin: LinkPin, links: &[Link]) -> Self {
        let (kernel_index, direction) = (pin.kernel_index, pins::word(pin.direction));
        // Another interface has this index here where the pin is of another network namespace.
        let is_its_own = |link: &&Link| {
            link.kernel_index == kernel_index && hook::Attachment::pinned(&pin, link).is_some()
        };
        let interface = links.iter().find(is_its_own).map(|link| link.name.clone());
        Self {
            interface,
            kernel_index,
            direction,
            by: "tcx",
            location: AttachmentLocation::Pin(pin),
        }
    }

    fn clsact(link: &Link, filter: Filter) -> Self {
        let direction = pins::word(filter.direction);
        let (interface, kernel_index) = (Some(link.name.clone()), link.kernel_index);
        let location = AttachmentLocation::Filter(kernel_index, filter);
        Self { interface, kernel_index, direction, by: CLSACT, location }
    }

    /// The interface, as far as it is known.
    #[must_use]
    pub fn interface(&self) -> String {
        let number = || format!("interface number {}", self.kernel_index);
        self.interface.clone().unwrap_or_else(number)
    }

    fn remove(&self) -> Result<(), Error> {
        self.location.remove(&self.interface())
    }
}

impl Counts {
    fn flows(self) -> Result<usize, Error> {
        fn count<K: aya::Pod>(name: &'static str, maps: [MapData; 2]) -> Result<usize, Error> {
            let mut flows = 0;
            for map in maps {
                let map = HashMap::<_, K, FlowCounters>::try_from(Map::HashMap(map));
                let map = map.map_err(|source| super::error::map_error(name, source))?;
                flows += map.keys().count();
            }
            Ok(flows)
        }
        Ok(count::<FlowKeyV4>("FLOWS_V4", self.flows_v4)?
            + count::<FlowKeyV6>("FLOWS_V6", self.flows_v6)?
            + count::<FlowKeyV4>("OVERFLOW_V4", self.overflow_v4)?
            + count::<FlowKeyV6>("OVERFLOW_V6", self.overflow_v6)?)
    }
}

fn filters(
    links: &[Link],
    wanted: impl Fn(&Filter) -> bool,
) -> Result<Vec<(&Link, Filter)>, Error> {
    let mut found = vec![];
    for link in links {
        let filters = Filter::list(link.kernel_index).map_err(|source| Error::List { source })?;
        found.extend(filters.into_iter().filter(&wanted).map(|filter| (link, filter)));
    }
    Ok(found)
}

/// Filters whose program is flowlog's by its name and its maps, and which no gateway knows of.
fn strays(links: &[Link], known: &[Installed]) -> Result<Vec<Attachment>, Error> {
    let known: HashSet<u32> = known
        .iter()
        .flat_map(|installed| &installed.attached)
        .filter_map(|attachment| match &attachment.location {
            AttachmentLocation::Filter(_, filter) => filter.program,
            AttachmentLocation::Pin(_) => None,
        })
        .collect();
    let is_named = |filter: &Filter| ENTRY_POINTS.contains(&filter.name.as_str());
    let named = filters(links, |filter| {
        is_named(filter) && filter.program.is_some_and(|id| !known.contains(&id))
    })?;
    if named.is_empty() {
        return Ok(vec![]);
    }
    let mut maps_of = BTreeMap::new();
    for program in loaded_programs() {
        let failed =
            |source| Error::Load { source: Box::new(aya::EbpfError::ProgramError(source)) };
        let program = program.map_err(failed)?;
        maps_of.insert(program.id(), program.map_ids().map_err(failed)?.unwrap_or_default());
    }
    let mut strays = vec![];
    for (link, filter) in named {
        let Some(program) = filter.program else { continue };
        let maps = maps_of.get(&program).map(Vec::as_slice).unwrap_or_default();
        let name = |id: &u32| Some(MapInfo::from_id(*id).ok()?.name_as_str()?.to_owned());
        let of_maps: HashSet<String> = maps.iter().filter_map(name).collect();
        if !MAPS.iter().all(|map| of_maps.contains(*map)) {
            continue;
        }
        if let Some(process) = holder(program) {
            return Err(Error::RunningProcess { process, interface: link.name.clone() });
        }
        strays.push(Attachment::clsact(link, filter));
    }
    Ok(strays)
}

/// A process that has a program open, as a daemon has its own.
fn holder(program: u32) -> Option<u32> {
    let line = format!("prog_id:\t{program}");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.into_iter().find(|process| {
        let files = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten();
        let has = |path: PathBuf| {
            fs::read_to_string(path).is_ok_and(|text| text.lines().any(|found| found == line))
        };
        files.into_iter().any(|entry| has(entry.path()))
    })
}
