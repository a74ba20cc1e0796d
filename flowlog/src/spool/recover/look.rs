//! Reading what there is in a spool: names, headers, small files. Nothing is changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::super::{
    Error, IDENTITY, RUN, Spool, UNFINISHED,
    aside::DAMAGED_1,
    copies::{self, Small},
    disk::{Kind, SharedDisk, read_small},
    files::FileIdentity,
    incidents::Incident,
    name::RunName,
    run::Run,
};
use crate::record::epoch_set::EpochSet;

/// What is in a spool.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) epochs: Vec<Seen>,
    pub(super) directories: Vec<Directory>,
    /// Names beside the directories of files that are none.
    pub(super) strangers: Vec<PathBuf>,
}

/// A name in a directory of runs.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) name: Option<RunName>,
    pub(super) content: Content,
}

/// What it stands for.
#[derive(Debug)]
pub(super) enum Content {
    /// A run whose header is sound.
    Run(Box<Run>),
    /// Something that was being written.
    Unfinished,
    /// A run that is not what was written; its header, where that is sound.
    Damaged(Option<Box<Run>>),
    /// A run that version 1 found damaged, and left where it is.
    DamagedBefore,
    /// A run of a newer version, or one that cannot be read at the moment.
    Untouchable,
    /// Nothing of ours.
    Foreign,
}

/// A directory of a file of the store.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// What it states to be.
    pub(super) identity: Option<FileIdentity>,
    /// Beginning of the hour and lineage, by its name.
    pub(super) by_name: Option<(i64, String)>,
    pub(super) runs: Vec<Seen>,
}

/// The small file of version 1.
const ABOUT_1: &str = "about.json";

/// Looks at a spool.
pub(super) fn look(spool: &Spool) -> Listing {
    let mut listing =
        Listing { epochs: look_at_runs(spool, &spool.epochs_directory()), ..Listing::default() };
    let files = spool.files_directory();
    let entries = spool.disk.list(&files).map_err(Error::io("list", &files));
    for entry in entries.unwrap_or_else(nothing) {
        let path = files.join(&entry.name);
        if entry.kind == Kind::Directory {
            listing.directories.push(look_at_file(spool, path));
        } else {
            listing.strangers.push(path);
        }
    }
    listing.check_what_overlaps();
    listing
}

/// Whether this is the name of a file that states what a directory is.
pub(super) fn is_small_file(name: &std::ffi::OsStr) -> bool {
    [IDENTITY, "identity.copy", ABOUT_1].iter().any(|ours| name == *ours)
}

fn nothing<T>(error: Error) -> Vec<T> {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {}
        error => Incident::Failed { error: &error }.emit(),
    }
    vec![]
}

fn look_at_runs(spool: &Spool, directory: &Path) -> Vec<Seen> {
    let entries = spool.disk.list(directory).map_err(Error::io("list", directory));
    let entries = entries.unwrap_or_else(nothing).into_iter();
    let entries = entries.filter(|entry| !is_small_file(&entry.name));
    entries
        .map(|entry| {
            let path = directory.join(&entry.name);
            let extension = path.extension().unwrap_or_default().to_owned();
            let content = match entry.kind {
                Kind::File if extension == UNFINISHED => Content::Unfinished,
                Kind::File if extension == RUN => open(&spool.disk, &path),
                Kind::File if extension == DAMAGED_1 => Content::DamagedBefore,
                _ => Content::Foreign,
            };
            let name = RunName::parse(&path);
            // No run of ours has such a name.
            let is_foreign = name.is_none() && matches!(content, Content::Damaged(None));
            Seen { name, path, content: if is_foreign { Content::Foreign } else { content } }
        })
        .collect()
}

fn open(disk: &SharedDisk, path: &Path) -> Content {
    // Once more, as a disk may have stumbled.
    let opened = Run::open(disk, path).or_else(|_| Run::open(disk, path));
    match opened {
        Ok(run) => Content::Run(Box::new(run)),
        Err(error @ Error::Newer { .. }) => {
            Incident::Failed { error: &error }.emit();
            Content::Untouchable
        }
        Err(error) => {
            Incident::Unreadable { error: &error }.emit();
            if is_passing(&error) { Content::Untouchable } else { Content::Damaged(None) }
        }
    }
}

/// Whether it may be readable another time; a bad sector, and a link in the place of a file, are not.
fn is_passing(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let passing = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EACCES, libc::EPERM];
    source.raw_os_error().is_some_and(|error| passing.contains(&error))
}

fn look_at_file(spool: &Spool, path: PathBuf) -> Directory {
    let by_name = path.file_name().and_then(|name| parse_name(name.to_str()?));
    let of_file = match copies::read::<FileIdentity>(&*spool.disk, &path.join(IDENTITY)) {
        Ok((Small::Sound(of_file), _)) => Some(of_file),
        Ok((Small::Absent, _)) => about_1(&spool.disk, &path, by_name.as_ref()),
        Ok((Small::Damaged, _)) | Err(_) => None,
    };
    let runs = look_at_runs(spool, &path);
    Directory { path, identity: of_file, by_name, runs }
}

/// What a directory of version 1 states to be. It has no check, but must agree with the name.
fn about_1(
    disk: &SharedDisk,
    path: &Path,
    by_name: Option<&(i64, String)>,
) -> Option<FileIdentity> {
    let bytes = read_small(&**disk, &path.join(ABOUT_1)).ok()?;
    let of_file: FileIdentity = serde_json::from_slice(&bytes).ok()?;
    let (hour_ns, lineage) = by_name?;
    (of_file.hour_ns == *hour_ns && of_file.lineage == *lineage).then_some(of_file)
}

/// `20261122T09-000-3f62…`
fn parse_name(name: &str) -> Option<(i64, String)> {
    let mut words = name.splitn(3, '-');
    let (hour, _number, lineage) = (words.next()?, words.next()?, words.next()?);
    let hour: jiff::civil::DateTime = format!("{hour}0000").parse().ok()?;
    let hour = hour.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some((crate::record::clock::Utc::from(hour).ns(), lineage.to_owned()))
}

impl Listing {
    fn all(&mut self) -> impl Iterator<Item = &mut Seen> {
        self.directories.iter_mut().flat_map(|file| &mut file.runs).chain(&mut self.epochs)
    }

    /// The runs whose header is sound.
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        let seen = self.directories.iter().flat_map(|file| &file.runs).chain(&self.epochs);
        seen.filter_map(|seen| match &seen.content {
            Content::Run(run) => Some(&**run),
            _ => None,
        })
    }

    /// Runs of version 1 do not tell whose they are.
    pub(super) fn fill_in(&mut self, gateway: &str, numbering: &str) {
        for seen in self.all() {
            if let Content::Run(run) | Content::Damaged(Some(run)) = &mut seen.content
                && run.header.numbering.is_empty()
            {
                gateway.clone_into(&mut run.header.gateway);
                numbering.clone_into(&mut run.header.numbering);
            }
        }
        for of_file in self.directories.iter_mut().filter_map(|file| file.identity.as_mut()) {
            if of_file.numbering.is_empty() {
                gateway.clone_into(&mut of_file.gateway);
                numbering.clone_into(&mut of_file.numbering);
            }
        }
    }

    /// Nothing is deleted for being in another run before every byte of that was read.
    fn check_what_overlaps(&mut self) {
        let mut met: BTreeMap<String, EpochSet> = BTreeMap::new();
        let mut twice: BTreeMap<String, EpochSet> = BTreeMap::new();
        for run in self.runs() {
            let (held, numbering) = (run.header.held(), &run.header.numbering);
            let met = met.entry(numbering.clone()).or_default();
            let common = held.minus(&held.minus(met));
            let twice = twice.entry(numbering.clone()).or_default();
            *twice = twice.union(&common);
            *met = met.union(&held);
        }
        for seen in self.all() {
            let Content::Run(run) = &seen.content else { continue };
            let is_twice = twice
                .get(&run.header.numbering)
                .is_some_and(|twice| twice.meets(&run.header.held()));
            if is_twice && let Err(error) = run.check() {
                Incident::Unreadable { error: &error }.emit();
                seen.content = Content::Damaged(Some(run.clone()));
            }
        }
    }
}
