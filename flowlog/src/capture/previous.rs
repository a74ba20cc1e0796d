//! What a daemon finds that the one before left behind.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use flowlog_common::total::Totals;

use super::{
    Control,
    error::Error,
    pins::{self, MAPS},
    presence::Presence,
};
use crate::{durable::Lock, record::epoch::EpochNumber};

/// What was there when the program was loaded.
#[derive(Default)]
pub struct PreviousState {
    /// The maps were there, with what they held, and go on.
    pub is_continued: bool,
    /// Maps in other sizes or in another layout. The kernel program goes on with maps of its own as
    /// soon as the interfaces have been looked at.
    pub maps: Vec<Previous>,
}

/// Maps that nothing counts in any more once the interfaces have been looked at. They are found
/// again by the next daemon until they are removed.
pub struct Previous {
    folder: PathBuf,
    /// What they hold.
    pub contents: Contents,
}

/// What can be read of maps that were left behind.
pub enum Contents {
    /// They are drained like those of the program, and have slots of their own.
    Counts(Box<Counts>),
    /// Their layout is another version's: what they held is lost.
    Unreadable,
}

/// Maps with what was counted; each pair by epoch.
pub struct Counts {
    /// What was announced, what the sets hold, and the interfaces.
    pub control: Arc<Control>,
    /// The interfaces' names.
    pub presence: Arc<Presence>,
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
}

impl Previous {
    /// What was counted, where it can be read.
    #[must_use]
    pub const fn counts(&self) -> Option<&Counts> {
        match &self.contents {
            Contents::Counts(counts) => Some(counts),
            Contents::Unreadable => None,
        }
    }

    /// The number of the last epoch that they hold; zero where that cannot be known.
    #[must_use]
    pub fn last_epoch(&self) -> EpochNumber {
        let held = self.counts().map(|counts| [0, 1].map(|set| counts.control.held(set).epoch));
        // The daemon may have died before the one that it had announced.
        held.map_or(EpochNumber::ZERO, |[even, odd]| EpochNumber::new(even.max(odd)).next())
    }

    /// Looks at what is in the directory of a layout; `None` where its maps are not all there:
    /// nothing was ever counted in them, or it was drained.
    pub(super) fn open(folder: PathBuf, lock: &Arc<Lock>) -> Result<Option<Self>, Error> {
        if !pins::is_readable(&folder) {
            return Ok(Some(Self { folder, contents: Contents::Unreadable }));
        }
        if !MAPS.iter().all(|map| folder.join(map).exists()) {
            return Ok(None);
        }
        let contents = Contents::Counts(Box::new(Counts::open(&folder, lock)?));
        Ok(Some(Self { folder, contents }))
    }

    /// What they hold, and what is to be removed when that is safe, or its loss is recorded.
    #[must_use]
    pub fn into_counts(self) -> (Option<Box<Counts>>, Emptied) {
        let Self { folder, contents } = self;
        let counts = match contents {
            Contents::Counts(counts) => Some(counts),
            Contents::Unreadable => None,
        };
        (counts, Emptied { folder })
    }
}

/// The pins of maps whose contents are safe.
pub struct Emptied {
    folder: PathBuf,
}

impl Emptied {
    /// Removes them.
    pub fn remove(self) -> Result<(), Error> {
        pins::remove_layout(&self.folder)
    }
}

impl Counts {
    fn open(folder: &Path, lock: &Arc<Lock>) -> Result<Self, Error> {
        let control = open_array(folder, "CONTROL")?;
        let control = Arc::new(Control::map(&control, Some(Arc::clone(lock)))?);
        let names = super::control::MAX_SLOTS_U16;
        Ok(Self {
            presence: Arc::new(Presence::restore(names, Arc::clone(&control))),
            control,
            totals: open(folder, "TOTALS")?
                .try_into()
                .map_err(|source| foreign(folder, "TOTALS", source))?,
            flows_v4: open_pair(folder, ["FLOWS_V4_0", "FLOWS_V4_1"])?,
            flows_v6: open_pair(folder, ["FLOWS_V6_0", "FLOWS_V6_1"])?,
            overflow_v4: open_pair(folder, ["OVERFLOW_V4_0", "OVERFLOW_V4_1"])?,
            overflow_v6: open_pair(folder, ["OVERFLOW_V6_0", "OVERFLOW_V6_1"])?,
        })
    }
}

fn open(folder: &Path, name: &'static str) -> Result<Map, Error> {
    MapData::from_pin(folder.join(name))
        .and_then(Map::from_map_data)
        .map_err(|source| foreign(folder, name, source))
}

fn open_pair(folder: &Path, [even, odd]: [&'static str; 2]) -> Result<[MapData; 2], Error> {
    let open = |name| match open(folder, name)? {
        Map::HashMap(data) => Ok(data),
        _ => Err(Error::Missing { name }),
    };
    Ok([open(even)?, open(odd)?])
}

fn open_array(folder: &Path, name: &'static str) -> Result<MapData, Error> {
    match open(folder, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(Error::Missing { name }),
    }
}

fn foreign(folder: &Path, name: &str, source: MapError) -> Error {
    Error::Foreign { path: folder.join(name).display().to_string(), source: Box::new(source) }
}
