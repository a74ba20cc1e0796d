//! The directory of notes, as the daemon reads it. Whoever may write to it may put anything there.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, mode_t},
    unistd::{Group, fchown, geteuid},
};

use super::{BadNote, Fields, GROUP, Kind, Note, SERVER, Stamp, note::NoteName};
use crate::{
    durable::{self, Opened},
    record::clock::Utc,
};

/// Nothing that flowlog leaves is longer.
const MOST_BYTES: u64 = 64 << 10;
/// Most notes that are read at once.
const MOST_NOTES: usize = 1_000;
/// A note must not be further in the future.
const FUTURE: Duration = Duration::from_mins(5);
/// A hook that has written half of a note for so long will not end it: it has 20 ms, and dies then as soon as it runs
/// again. Until that is sure, nobody is known to be there; a few seconds of it are no gap yet.
const ABANDONED: Duration = Duration::from_secs(5);
/// From reading its clock, a hook has its file in the directory after this time, even on a busy machine.
const TO_BEGIN: Duration = Duration::from_millis(100);
/// For its owner, and for its group to write into; nobody removes what another one left.
const MODE: mode_t = 0o1730;

/// The directory of notes, for one source.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    kind: Kind,
    server: Option<String>,
    takes_unnamed: bool,
}

/// Why a file is not read. It stays where it is, unless it is only begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Its name is no name of a note.
    #[error("its name is not the name of a note")]
    Name,
    /// A link, a pipe, a directory.
    #[error("it is not a file")]
    Kind,
    /// It has another name elsewhere.
    #[error("it has several names")]
    Links,
    /// Others than its owner may change it.
    #[error("others may write to it (mode {mode:o})")]
    Mode {
        /// Its mode.
        mode: u32,
    },
    /// It is too long.
    #[error("it has {bytes} bytes; a note has at most {MOST_BYTES}")]
    Size {
        /// Its length.
        bytes: u64,
    },
    /// Its hook did not end it in time.
    #[error("its hook was ended while it wrote the note, which is lost")]
    Unfinished,
    /// Its time has not come.
    #[error("its time is more than {FUTURE:?} ahead")]
    Future,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable {
        /// The cause.
        source: io::Error,
    },
    /// Its content is no note.
    #[error(transparent)]
    Content(#[from] BadNote),
}

/// A file in the directory.
pub struct Found {
    /// Its name.
    pub name: CString,
    /// The note, or why it is none.
    pub note: Result<Note, Refused>,
}

/// The content of the directory at an instant.
pub struct Scan {
    /// The notes of this source, in the order of their times.
    pub found: Vec<Found>,
    /// Until here all notes are in the list, but for those of hooks that the machine let wait before they began to write.
    pub until: Utc,
    /// Whether there are more than could be read at once.
    pub has_more: bool,
}

impl Directory {
    /// The notes of a kind; of a server, and of no named one where it takes them too.
    #[must_use]
    pub const fn new(
        path: PathBuf,
        kind: Kind,
        server: Option<String>,
        takes_unnamed: bool,
    ) -> Self {
        Self { path, kind, server, takes_unnamed }
    }

    /// Makes the directory where it is not there. Reports that the group is missing where only root can leave notes.
    pub fn prepare(&self) -> io::Result<bool> {
        let above = self.path.parent().unwrap_or(Path::new("/"));
        if !above.exists() {
            durable::make_directories(above)?;
        }
        let parent = durable::open_root(above)?;
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        if durable::look(&parent, name)?.is_some() {
            return Ok(true);
        }
        durable::make_directory(&parent, name)?;
        let directory = durable::enter(&parent, name)?;
        let group = Group::from_name(GROUP).ok().flatten();
        let is_given = group.is_some_and(|group| fchown(&directory, None, Some(group.gid)).is_ok());
        fchmod(&directory, Mode::from_bits_truncate(MODE))?;
        Ok(is_given)
    }

    /// Reads the notes that are there, except those that were read before.
    pub fn scan(&self, known: &BTreeSet<CString>) -> io::Result<Scan> {
        let directory = self.open()?;
        let now = Stamp::now();
        let mut until = now.utc.minus(TO_BEGIN);
        let mut notes = BTreeSet::new();
        let mut found = vec![];
        for name in durable::names(&directory)? {
            let text = name.to_str().unwrap_or_default();
            if let Some(begun) = text.strip_prefix('.').and_then(NoteName::parse) {
                // Its hook is about to end it.
                if now.since_boot.saturating_sub(begun.stamp.since_boot) < ABANDONED {
                    until = until.min(begun.stamp.dated(now));
                } else {
                    durable::remove_file(&directory, name.as_c_str())?;
                    found.push(Found { name, note: Err(Refused::Unfinished) });
                }
                continue;
            }
            if known.contains(&name) || text.starts_with(SERVER) {
                continue;
            }
            match NoteName::parse(text) {
                Some(parsed) if self.is_mine(&parsed) => {
                    notes.insert((parsed, name));
                }
                Some(parsed) if parsed.is_known() => {}
                _ => found.push(Found { name, note: Err(Refused::Name) }),
            }
        }
        let has_more = notes.len() > MOST_NOTES;
        for (parsed, name) in notes.into_iter().take(MOST_NOTES) {
            if has_more {
                until = until.min(parsed.stamp.dated(now));
            }
            let note = self.read(&directory, &parsed, &name, now);
            found.push(Found { name, note });
        }
        Ok(Scan { found, until, has_more })
    }

    /// Removes notes that were read and taken.
    pub fn remove(&self, names: &BTreeSet<CString>) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let directory = self.open()?;
        for name in names {
            durable::remove_file(&directory, name.as_c_str())?;
        }
        Ok(())
    }

    fn is_mine(&self, name: &NoteName) -> bool {
        match name.server(self.kind) {
            None => false,
            Some("") => self.takes_unnamed,
            Some(server) => Some(server) == self.server.as_deref(),
        }
    }

    /// The directory, open; where others could have put notes there, none of them counts.
    fn open(&self) -> io::Result<OwnedFd> {
        let directory = durable::open_directory(&self.path)?;
        let status = fstat(&directory)?;
        let is_ours = status.st_uid == geteuid().as_raw() || status.st_uid == 0;
        if !is_ours || status.st_mode & 0o002 != 0 {
            let reason = "somebody else may write to it; it must have the mode 1730";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        Ok(directory)
    }

    fn read(
        &self,
        directory: &OwnedFd,
        name: &NoteName,
        file_name: &CString,
        now: Stamp,
    ) -> Result<Note, Refused> {
        let is_future = name.stamp.utc > now.utc.plus(FUTURE)
            || name.stamp.since_boot > now.since_boot.saturating_add(FUTURE);
        if is_future {
            return Err(Refused::Future);
        }
        let unreadable = |source| Refused::Unreadable { source };
        let opened = durable::open_file(directory, file_name.as_c_str(), OFlag::O_RDONLY);
        let Opened::File(file, status) = opened.map_err(unreadable)? else {
            return Err(Refused::Kind);
        };
        check(&status)?;
        let content = content(file).map_err(unreadable)?;
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if bytes > MOST_BYTES {
            return Err(Refused::Size { bytes });
        }
        let server = name.server(self.kind).filter(|server| !server.is_empty());
        let server = server.map(str::to_owned);
        let stamp = Stamp { utc: name.stamp.dated(now), ..name.stamp };
        Ok(Note { stamp, server, fields: Fields::parse(&content)? })
    }
}

fn check(status: &FileStat) -> Result<(), Refused> {
    let bytes = u64::try_from(status.st_size).unwrap_or(u64::MAX);
    if durable::kind(status) != SFlag::S_IFREG {
        Err(Refused::Kind)
    } else if status.st_nlink != 1 {
        Err(Refused::Links)
    } else if status.st_mode & 0o022 != 0 {
        Err(Refused::Mode { mode: status.st_mode & 0o7777 })
    } else if bytes > MOST_BYTES {
        Err(Refused::Size { bytes })
    } else {
        Ok(())
    }
}

fn content(file: File) -> io::Result<Vec<u8>> {
    let mut content = vec![];
    // It may grow meanwhile.
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
