//! What a daemon keeps in the BPF file system while it runs, and makes again where somebody removes it.

use std::{
    collections::HashSet,
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{
    Claim, LinkPin, MAPS, Pins, make, programs, remember_clsact, remember_program, remove,
    require_bpffs,
};
use crate::{
    capture::{
        error::{Error, failure},
        tcx,
    },
    durable::Lock,
};

/// Where the links are pinned, and what is left of the daemon before.
pub(in crate::capture) struct Pinned {
    pins: Pins,
    /// The gateway's directory.
    pub(in crate::capture) directory: PathBuf,
    /// Where the maps are, and the links.
    pub(in crate::capture) current: PathBuf,
    /// The links of the daemon before, in whatever layout.
    pub(in crate::capture) links: Vec<LinkPin>,
    /// The kernel's numbers of its programs, by which its filters are known.
    pub(in crate::capture) programs_before: HashSet<u32>,
    /// The same of this daemon's programs.
    pub(in crate::capture) programs: HashSet<u32>,
    /// Whether it was reported that pins cannot be made again.
    pub(in crate::capture) is_lost: bool,
    /// The maps, open: they stay as long as the process, also when somebody removes their pins.
    maps: Vec<(PathBuf, OwnedFd)>,
    /// Which directory is locked.
    locked: (u64, u64),
    /// The lock of a directory that was made again.
    lock: Option<Lock>,
}

impl Pinned {
    /// After the program was loaded, which has pinned its maps.
    pub(in crate::capture) fn new(claim: &Claim) -> Result<Self, Error> {
        let Claim { pins, directory, current, .. } = claim;
        let open = |name: &&str| {
            let path = current.join(name);
            let map = tcx::open(&path).map_err(|source| failure("open", &path, source))?;
            Ok((path, map))
        };
        for unfinished in LinkPin::list_unfinished(current)? {
            // Whoever made it did not live to put it in the place of the one that is still there.
            if let Ok(link) = tcx::open(&unfinished)
                && let Err(error) = tcx::detach(link)
            {
                tracing::debug!("a link that is detached already: {error}");
            }
            remove(&unfinished)?;
        }
        Ok(Self {
            pins: pins.clone(),
            links: LinkPin::list(current)?,
            programs_before: programs(directory)?,
            programs: HashSet::new(),
            is_lost: false,
            maps: MAPS.iter().map(open).collect::<Result<_, Error>>()?,
            locked: inode(directory).map_err(|source| failure("look at", directory, source))?,
            directory: directory.clone(),
            current: current.clone(),
            lock: None,
        })
    }

    /// Remembers the programs before any of them is attached, so that the next daemon knows their
    /// filters.
    pub(in crate::capture) fn remember_programs(&self) -> Result<(), Error> {
        self.programs.iter().try_for_each(|id| remember_program(&self.directory, *id))
    }

    /// Pins again what somebody has removed; true where that was anything.
    pub(in crate::capture) fn restore(&mut self, clsacts: &HashSet<u32>) -> Result<bool, Error> {
        let missing = |path: &Path| !path.exists();
        if self.maps.iter().all(|(path, _)| !missing(path)) {
            return Ok(false);
        }
        // Where the file system itself is gone, there is nothing to pin in.
        require_bpffs(&self.pins.base)?;
        make(&self.directory)?;
        let now =
            inode(&self.directory).map_err(|source| failure("look at", &self.directory, source))?;
        if now != self.locked {
            // Another directory, which another daemon may have locked.
            self.lock = self.pins.lock()?;
            self.locked = now;
        }
        make(&self.current)?;
        for (path, map) in self.maps.iter().filter(|(path, _)| missing(path)) {
            tcx::pin(map, path).map_err(|source| failure("pin a map at", path, source))?;
        }
        self.remember_programs()?;
        clsacts.iter().try_for_each(|index| remember_clsact(&self.directory, *index))?;
        Ok(true)
    }
}

fn inode(directory: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(directory)?;
    Ok((metadata.dev(), metadata.ino()))
}
