//! Files of the store that are still growing: which runs each is made of.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::{
    Error, RUN, Spool,
    header::{Header, WindowLedger},
    list, make_directory,
    merge::{Merge, Same},
    run::{Cursor, Run, RunWriter},
    sound_runs, sync_directory,
};
use crate::clock::Utc;

/// Rows beyond which a file of the store does not grow any more: each window writes all of it again.
pub const MOST_ROWS: u64 = 4_000_000;
/// Runs of a file beyond which they become one: all of them are open when the file is written.
const MOST_RUNS: usize = 64;

const HOUR: Duration = Duration::from_hours(1);
const ABOUT: &str = "about.json";

/// The files of the store that are not there for good yet, in their order.
#[derive(Debug)]
pub struct Files {
    spool: Arc<Spool>,
    growing: Vec<Growing>,
}

/// A file of the store that is not there for good yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growing {
    directory: PathBuf,
    /// What it is.
    pub about: About,
    /// Its runs, in the order of their windows.
    pub runs: Vec<Run>,
    /// Whether nothing will be added to it.
    pub is_complete: bool,
}

/// What a file of the store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What tells it from every other file, in its metadata too.
    pub lineage: String,
    /// Beginning of its hour, nanoseconds of UTC.
    pub hour_ns: i64,
    /// What its flows were recorded under.
    pub policy: String,
    /// Length of its windows in milliseconds.
    pub window_ms: u64,
}

impl Files {
    /// Finds what is in the spool. Epochs that are in a run of it are of no use any more.
    pub fn open(spool: Arc<Spool>, epochs: &mut Vec<Run>) -> Result<Self, Error> {
        let mut growing = vec![];
        for directory in list(&spool.files_directory())? {
            let path = directory.join(ABOUT);
            // Without it, the directory was just being made.
            let Ok(json) = std::fs::read(&path) else {
                std::fs::remove_dir_all(&directory).map_err(Error::io("delete", &directory))?;
                continue;
            };
            let about =
                serde_json::from_slice(&json).map_err(|source| Error::Header { path, source })?;
            let runs = without_contained(&sound_runs(&directory)?)?;
            let merged = |epoch: &Run| runs.iter().any(|run| contains(run, epoch));
            for epoch in epochs.extract_if(.., |epoch| merged(epoch)) {
                epoch.remove()?;
            }
            growing.push(Growing { directory, about, runs, is_complete: true });
        }
        if let Some(last) = growing.last_mut() {
            last.is_complete = false;
        }
        Ok(Self { spool, growing })
    }

    /// The runs of all of them.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.growing.iter().flat_map(|file| &file.runs)
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn growing(&self) -> Vec<Growing> {
        self.growing.clone()
    }

    /// The file to which a window goes, and what its next run is to be called.
    pub fn place(&mut self, window: &WindowLedger, epochs: &Header) -> Result<PathBuf, Error> {
        let about = |lineage| About {
            lineage,
            hour_ns: window.start().floor(HOUR).ns(),
            policy: epochs.policy.clone(),
            window_ms: window.length_ms,
        };
        let fits = |file: &Growing| {
            let rows: u64 = file.runs.iter().map(|run| run.header.entry_count()).sum();
            !file.is_complete
                && file.about == about(file.about.lineage.clone())
                && (rows == 0 || rows + epochs.entry_count() <= MOST_ROWS)
        };
        if !self.growing.last().is_some_and(fits) {
            let file = self.begin(about(lineage()))?;
            self.complete();
            self.growing.push(file);
        }
        let directory = self.growing.last().map(|file| file.directory.clone()).unwrap_or_default();
        Ok(directory.join(format!("{:020}.{RUN}", epochs.epochs.0)))
    }

    /// Adds a run at the place that it was given.
    pub fn add(&mut self, run: Run) {
        let directory = run.path.parent();
        if let Some(file) =
            self.growing.iter_mut().find(|f| Some(f.directory.as_path()) == directory)
        {
            file.runs.push(run);
        }
    }

    /// Lets no file grow any more.
    pub fn complete(&mut self) {
        for file in &mut self.growing {
            file.is_complete = true;
        }
    }

    /// Puts one run in the place of those that it was merged from.
    pub fn replace(&mut self, merged: &Run) -> Result<(), Error> {
        let directory = merged.path.parent();
        for file in self.growing.iter_mut().filter(|f| Some(f.directory.as_path()) == directory) {
            for run in file.runs.extract_if(.., |run| contains(merged, run)) {
                if run.path != merged.path {
                    run.remove()?;
                }
            }
            file.runs.insert(0, merged.clone());
        }
        Ok(())
    }

    /// Forgets a file that is in the store for good.
    pub fn remove(&mut self, file: &Growing) -> Result<(), Error> {
        // At once: what is left of it when this process ends must not be taken for all of it.
        let name = file.directory.file_name().unwrap_or_default();
        let scratch = self.spool.scratch().join(name);
        std::fs::rename(&file.directory, &scratch).map_err(Error::io("rename", &file.directory))?;
        sync_directory(&file.directory)?;
        self.growing.retain(|growing| growing.directory != file.directory);
        std::fs::remove_dir_all(&scratch).map_err(Error::io("delete", &scratch))
    }

    fn begin(&self, about: About) -> Result<Growing, Error> {
        let hour = Timestamp::from(Utc::from_ns(about.hour_ns)).to_zoned(TimeZone::UTC);
        let hour = hour.strftime("%Y%m%dT%H").to_string();
        let of_hour = |file: &&Growing| file.about.hour_ns == about.hour_ns;
        let number = self.growing.iter().filter(of_hour).count();
        let name = format!("{hour}-{number:03}-{}", about.lineage);
        let directory = self.spool.files_directory().join(name);
        make_directory(&directory)?;
        let path = directory.join(ABOUT);
        let json = serde_json::to_vec(&about)
            .map_err(|source| Error::Header { path: path.clone(), source })?;
        write_whole(&path, &json)?;
        sync_directory(&directory)?;
        Ok(Growing { directory, about, runs: vec![], is_complete: false })
    }
}

impl Growing {
    /// Beginning of its hour.
    #[must_use]
    pub const fn hour(&self) -> Utc {
        Utc::from_ns(self.about.hour_ns)
    }

    /// Merges its runs into one, where there are many.
    pub fn merge_many(&self) -> Result<Option<Run>, Error> {
        let Some(first) = self.runs.first().filter(|_| self.runs.len() > MOST_RUNS) else {
            return Ok(None);
        };
        let last = self.runs.last().map_or(0, |run| run.header.epochs.1);
        let name = format!("{:020}-{last:020}.{RUN}", first.header.epochs.0);
        merge(&self.runs, self.directory.join(name), Same::Keep).map(Some)
    }
}

/// Merges runs into one.
pub fn merge(runs: &[Run], path: PathBuf, same: Same) -> Result<Run, Error> {
    let header = Header::of(runs).unwrap_or_default();
    let mut writer = RunWriter::create(path)?;
    copy(runs.iter().map(Run::v4), same, &mut writer)?;
    copy(runs.iter().map(Run::v6), same, &mut writer)?;
    writer.finish(header)
}

fn copy<const A: usize>(
    cursors: impl Iterator<Item = Result<Cursor<A>, Error>>,
    same: Same,
    writer: &mut RunWriter,
) -> Result<(), Error>
where
    std::net::IpAddr: From<[u8; A]>,
{
    let mut merged = Merge::new(cursors.collect::<Result<_, _>>()?, same)?;
    while let Some(entry) = merged.next_entry()? {
        writer.push(&entry)?;
    }
    Ok(())
}

/// A run may have been merged with others, which were then not deleted in time.
fn without_contained(runs: &[Run]) -> Result<Vec<Run>, Error> {
    let mut kept: Vec<Run> = vec![];
    for run in runs {
        if runs.iter().any(|other| other.path != run.path && contains(other, run)) {
            run.remove()?;
        } else {
            kept.push(run.clone());
        }
    }
    Ok(kept)
}

fn contains(whole: &Run, part: &Run) -> bool {
    let (first, last) = part.header.epochs;
    whole.header.epochs.0 <= first && last <= whole.header.epochs.1
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write as _;

    let temporary = path.with_extension(super::UNFINISHED);
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(Error::io("write", path))?;
    sync_directory(path)
}

/// A name that nothing else has.
fn lineage() -> String {
    use std::hash::{BuildHasher as _, RandomState};

    // Keyed by the system's random numbers.
    format!("{:016x}", RandomState::new().hash_one(crate::clock::now().ns()))
}
