//! Where links and maps outlive the daemon: a directory of the BPF file system.
//!
//! ```text
//! <base>/<gateway>/                         locked by the daemon that counts for the gateway
//!     v1-65536-65536-4096-256/              layout and sizes of the maps
//!         CONTROL, TOTALS, FLOWS_…, OVERFLOW_…
//!         link-<kernel index>-<up|down>     TCX links
//!     clsact-<kernel index>/                empty: this queueing discipline was made by flowlog
//!     program-<kernel's number>/            empty: a filter with this program is flowlog's
//! ```

mod kept;
mod link;
mod numbers;
mod pinned;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use flowlog_common::LAYOUT;
use nix::sys::{
    stat::stat,
    statfs::{BPF_FS_MAGIC, fstatfs},
};

use super::{
    MapSizes,
    bpffs::is_bpffs,
    error::{Error, failure},
};
use crate::durable::{self, Lock, Refusal};
use numbers::is_number;

pub use kept::{Adoption, Kept, OtherGateway};
pub(super) use link::{LinkPin, word};
pub(super) use numbers::{
    forget_clsact, forget_program, own_clsacts, programs, remember_clsact, remember_program,
};
pub(super) use pinned::Pinned;

/// Maps that hold what was counted. The others are no state: each program brings its own.
pub(super) const MAPS: [&str; 10] = [
    "CONTROL",
    "TOTALS",
    "FLOWS_V4_0",
    "FLOWS_V4_1",
    "FLOWS_V6_0",
    "FLOWS_V6_1",
    "OVERFLOW_V4_0",
    "OVERFLOW_V4_1",
    "OVERFLOW_V6_0",
    "OVERFLOW_V6_1",
];

/// Where the links and maps of a gateway are to outlive the daemon.
#[derive(Clone, Debug)]
pub struct Pins {
    base: PathBuf,
    gateway: String,
}

impl Pins {
    /// Those of a gateway below a directory that they share with other gateways, such as
    /// `/sys/fs/bpf/flowlog`.
    pub fn new(base: impl Into<PathBuf>, gateway: impl Into<String>) -> Self {
        Self { base: base.into(), gateway: gateway.into() }
    }

    /// The gateways that have something below a directory. Whatever else somebody keeps there is not
    /// for flowlog to touch.
    pub(super) fn gateways(base: &Path) -> Result<Vec<Self>, Error> {
        let folders = directories(base)?.into_iter();
        let pins = folders.map(|folder| Self::new(base, folder.replace(DOT, ".")));
        let found = pins.map(|pins| Ok(pins.are_there()?.then_some(pins)));
        Ok(found.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
    }

    /// Whether the gateway's directory is there, with nothing in it but what flowlog puts there.
    pub(super) fn are_there(&self) -> Result<bool, Error> {
        let directory = self.directory();
        let names = names(&directory)?;
        if names.is_empty() || !is_directory_of_bpffs(&directory) {
            return Ok(false);
        }
        for name in names {
            let folder = directory.join(&name);
            let is_ours = is_number(&name) || (is_layout(&name) && has_only_ours(&folder)?);
            if !is_ours || !is_directory_of_bpffs(&folder) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The BPF file system has no names with dots.
    pub(super) fn directory(&self) -> PathBuf {
        self.base.join(self.gateway.replace('.', DOT))
    }

    /// Makes the directory for maps of these sizes, and keeps other daemons away from it.
    pub(super) fn claim(&self, sizes: MapSizes) -> Result<Claim, Error> {
        require_bpffs(&self.base)?;
        let directory = self.directory();
        let lock = loop {
            make(&directory)?;
            if let Some(lock) = self.lock()? {
                break Arc::new(lock);
            }
        };
        let current = directory.join(layout(sizes));
        let mut others = layouts(&directory)?;
        others.retain(|other| *other != current);
        refuse_newer(&others)?;
        let is_continued = MAPS.iter().all(|map| current.join(map).exists());
        make(&current)?;
        Ok(Claim { pins: self.clone(), lock, directory, current, is_continued, others })
    }

    /// Goes on with what the gateway has in the kernel under another name that it had.
    pub fn adopt(&self, former: &str) -> Result<Adoption, Error> {
        let former = Self::new(self.base.clone(), former);
        if !former.are_there()? {
            return Ok(Adoption::Nothing);
        }
        let (from, to) = (former.directory(), self.directory());
        // Nobody starts under the former name meanwhile.
        let Some(_lock) = former.lock()? else { return Ok(Adoption::Nothing) };
        if to.exists() {
            return Ok(Adoption::Kept);
        }
        // A later version goes on with them, and looks for them where they are.
        refuse_newer(&layouts(&from)?)?;
        fs::rename(&from, &to).map_err(|source| failure("rename", &from, source))?;
        Ok(Adoption::All)
    }

    /// What is there for a daemon with maps of these sizes to go on with.
    pub fn kept(&self, sizes: MapSizes) -> Result<Kept, Error> {
        require_bpffs(&self.base)?;
        let directory = self.directory();
        let is_whole = |folder: &Path| MAPS.iter().all(|map| folder.join(map).exists());
        let current = directory.join(layout(sizes));
        let (mut has_other_sizes, mut unreadable) = (false, vec![]);
        for folder in layouts(&directory)?.into_iter().filter(|folder| *folder != current) {
            if !is_readable(&folder) {
                unreadable.push(folder);
            } else if is_whole(&folder) {
                has_other_sizes = true;
            }
        }
        let mut others = vec![];
        for pins in
            Self::gateways(&self.base)?.into_iter().filter(|pins| pins.gateway != self.gateway)
        {
            let is_running = match pins.lock() {
                Ok(_) => false,
                Err(Error::Running { .. }) => true,
                Err(error) => return Err(error),
            };
            others.push(OtherGateway { name: pins.gateway, is_running });
        }
        Ok(Kept { goes_on: is_whole(&current), has_other_sizes, unreadable, others })
    }

    /// The lock of a directory that is there; `None` where it is not, or is not any more.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Error> {
        let directory = self.directory();
        let failed = |source| failure("lock", &directory, source);
        let file = match File::open(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let lock = match Lock::take(file) {
            Ok(lock) => lock,
            Err(Refusal::Held) => {
                return Err(Error::Running { gateway: self.gateway.clone() });
            }
            Err(Refusal::Failed(error)) => return Err(failed(error)),
        };
        // Somebody may have removed it in between.
        let is_there = match stat(&directory) {
            Ok(now) => lock.is_of(&now).map_err(failed)?,
            Err(_) => false,
        };
        Ok(is_there.then_some(lock))
    }
}

/// Instead of a dot.
const DOT: &str = "%2E";

/// A gateway's directory, and what is in it.
pub(super) struct Claim {
    pub(super) pins: Pins,
    /// Keeps other daemons away from the gateway.
    pub(super) lock: Arc<Lock>,
    pub(super) directory: PathBuf,
    /// Where the maps of the wanted sizes are.
    pub(super) current: PathBuf,
    /// Whether they were there already.
    pub(super) is_continued: bool,
    /// Where those of other sizes or layouts are.
    pub(super) others: Vec<PathBuf>,
}

/// Removes the directory of a layout and all pins in it.
pub(super) fn remove_layout(folder: &Path) -> Result<(), Error> {
    for name in names(folder)? {
        remove(&folder.join(name))?;
    }
    if_there(fs::remove_dir(folder)).map_err(|source| failure("remove", folder, source))
}

/// Removes a pin.
pub(super) fn remove(pin: &Path) -> Result<(), Error> {
    if_there(fs::remove_file(pin)).map_err(|source| failure("remove", pin, source))
}

/// The layouts of a gateway, whatever their number.
pub(super) fn layouts(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let folders = directories(directory)?.into_iter().filter(|name| is_layout(name));
    Ok(folders.map(|name| directory.join(name)).collect())
}

/// Whether the maps in a directory have the layout that this daemon reads.
pub(super) fn is_readable(folder: &Path) -> bool {
    version(folder) == Some(LAYOUT)
}

/// Whether a later version made the maps in a directory: it goes on with them, whatever this one does.
pub fn is_newer(folder: &Path) -> bool {
    version(folder).is_some_and(|version| version > LAYOUT)
}

/// Fails where a later version made one of these.
fn refuse_newer(layouts: &[PathBuf]) -> Result<(), Error> {
    match layouts.iter().find(|layout| is_newer(layout)) {
        Some(newer) => Err(Error::Newer { path: newer.display().to_string() }),
        None => Ok(()),
    }
}

/// The number of a layout.
fn version(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.split('-').next()?.strip_prefix('v')?.parse().ok()
}

fn layout(sizes: MapSizes) -> String {
    let MapSizes { flows_v4, flows_v6, overflow, interfaces } = sizes;
    format!("v{LAYOUT}-{flows_v4}-{flows_v6}-{overflow}-{interfaces}")
}

fn is_layout(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether what is in a layout, of whatever version, is what flowlog pins: maps and links.
fn has_only_ours(folder: &Path) -> Result<bool, Error> {
    let is_map = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_ours = |name: &String| name.starts_with(link::LINK) || name.chars().all(is_map);
    Ok(names(folder)?.iter().all(is_ours))
}

/// Whether a path is a directory of a BPF file system itself, and no link to one.
fn is_directory_of_bpffs(path: &Path) -> bool {
    durable::open_directory(path).is_ok_and(|directory| {
        fstatfs(directory).is_ok_and(|system| system.filesystem_type() == BPF_FS_MAGIC)
    })
}

pub(super) fn require_bpffs(base: &Path) -> Result<(), Error> {
    let there = base.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    if is_bpffs(there).map_err(|source| failure("look at", there, source))? {
        Ok(())
    } else {
        Err(Error::NoBpffs { path: base.display().to_string() })
    }
}

/// For their owner alone: who can open a map can read and change what was counted.
fn make(directory: &Path) -> Result<(), Error> {
    durable::make_directories(directory).map_err(|source| failure("make", directory, source))
}

fn directories(directory: &Path) -> Result<Vec<String>, Error> {
    // A link to one is somebody else's.
    let is_directory = |name: &String| {
        directory.join(name).symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
    };
    Ok(names(directory)?.into_iter().filter(is_directory).collect())
}

/// The names in a directory, in their order; none where there is no such directory.
fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let list = || -> io::Result<Vec<String>> {
        let mut names = vec![];
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        names => names.map_err(|source| failure("list", directory, source)),
    }
}

fn if_there(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

#[cfg(test)]
mod tests;
