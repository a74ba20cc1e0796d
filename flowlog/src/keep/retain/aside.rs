//! Files that a spool has set aside: nobody publishes them, and they expire like everything else.
//!
//! When their packets passed cannot be told if they cannot be read: all did before they were written.
//! A daemon may be using the spool: it does not touch what is aside, and each deletion is one step.
//! Nothing is followed: directories are opened by descriptor, and a link is reported and kept.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::{
        stat::{FileStat, UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};

use super::{Rule, guard};
use crate::{
    durable,
    record::clock::{EARLIEST, Utc},
    store::Oddity,
    table::FLOWS,
};

/// Where a spool has what it set aside.
const ASIDE: &str = "aside";
/// Runs that were set aside where they were have this extension.
const DAMAGED: &str = "damaged";
/// Folders within folders that are looked into; a spool has three.
const DEEPEST: usize = 8;

/// What is aside in a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// Files that have expired.
    pub expired: Vec<PathBuf>,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of files that are kept.
    pub kept: usize,
    /// Files that were written by a clock that was wrong: their time counts from now on.
    pub misdated: Vec<PathBuf>,
    /// What is no file, or cannot be looked at: reported and kept.
    pub odd: Vec<Oddity>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct AsideDeletion {
    /// Files that are gone.
    pub files: usize,
    /// What could not be deleted, and why.
    pub failed: Vec<(PathBuf, io::Error)>,
}

impl Aside {
    /// Looks at what is aside in a spool.
    pub fn of(spool: &Path, rule: &Rule<'_>) -> io::Result<Self> {
        let mut aside = Self::default();
        let root = open_root(spool)?;
        look_into(root.as_fd(), Path::new(""), DEEPEST, rule, &mut aside)?;
        aside.expired.sort_unstable();
        Ok(aside)
    }

    /// Deletes what has expired; what is gone counts as deleted.
    pub fn delete(&self, spool: &Path) -> io::Result<AsideDeletion> {
        let mut done = AsideDeletion::default();
        if self.expired.is_empty() && self.misdated.is_empty() {
            return Ok(done);
        }
        let root = open_root(spool)?;
        for path in &self.expired {
            match delete(root.as_fd(), path) {
                Ok(()) => done.files += 1,
                Err(error) => done.failed.push((path.clone(), error)),
            }
        }
        for path in &self.misdated {
            if let Err(error) = date_now(root.as_fd(), path) {
                done.failed.push((path.clone(), error));
            }
        }
        Ok(done)
    }
}

fn look_into(
    folder: BorrowedFd<'_>,
    above: &Path,
    deepest: usize,
    rule: &Rule<'_>,
    aside: &mut Aside,
) -> io::Result<()> {
    for name in durable::names(folder)? {
        let name = OsString::from_vec(name.into_bytes());
        let path = above.join(&name);
        let mut odd = |reason: &str| {
            let path = path.as_os_str().as_bytes().escape_ascii().to_string();
            aside.odd.push(Oddity { path, reason: reason.to_owned() });
        };
        let is_aside = path.starts_with(ASIDE);
        let found = match durable::look(folder, name.as_os_str()) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) => {
                odd(Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc());
                continue;
            }
        };
        match found.st_mode & libc::S_IFMT {
            libc::S_IFDIR if deepest == 0 => odd("a directory that is nested too deeply"),
            libc::S_IFDIR => match open_below(folder, Path::new(&name)) {
                Ok(below) => look_into(below.as_fd(), &path, deepest - 1, rule, aside)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => odd(&error.to_string()),
            },
            libc::S_IFREG if is_aside || path.extension().is_some_and(|e| e == DAMAGED) => {
                aside.add(path, &found, rule);
            }
            // The spool's own.
            libc::S_IFREG => {}
            _ if is_aside => odd("not a file: flowlog does not touch it"),
            _ => {}
        }
    }
    Ok(())
}

impl Aside {
    fn add(&mut self, path: PathBuf, found: &FileStat, rule: &Rule<'_>) {
        let written = Utc::from_ms(found.st_mtime.saturating_mul(1000));
        if written < EARLIEST || written > rule.now.plus(guard::JUMP) {
            self.misdated.push(path);
            self.kept += 1;
        } else if rule.is_over(&FLOWS, written) {
            self.bytes += u64::try_from(found.st_size).unwrap_or(0);
            self.expired.push(path);
        } else {
            self.kept += 1;
        }
    }
}

/// The spool itself may be reached by a link: whoever names it means what is behind it.
fn open_root(spool: &Path) -> io::Result<OwnedFd> {
    let spool = spool.canonicalize()?;
    durable::open_directory(&spool)
}

fn open_below(folder: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut below = folder.try_clone_to_owned()?;
    for name in path {
        below = durable::enter(&below, name)?;
    }
    Ok(below)
}

fn delete(root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let (above, name) = parts(path)?;
    let folder = match open_below(root, above) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        folder => folder?,
    };
    durable::remove_file(&folder, name)?;
    // Durable before anybody is told.
    durable::sync_directory(folder)
}

fn date_now(root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let (above, name) = parts(path)?;
    let folder = open_below(root, above)?;
    let (now, flags) = (TimeSpec::UTIME_NOW, UtimensatFlags::NoFollowSymlink);
    Ok(utimensat(&folder, name, &now, &now, flags)?)
}

fn parts(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((path.parent().unwrap_or(Path::new("")), name))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        time::{Duration, SystemTime},
    };

    use flowlog_common::flow::Direction;

    use super::*;
    use crate::{
        keep::retain::Keep,
        record::{clock, period::parse_period},
        spool::tests::{epoch, key, recovered, spool},
    };

    const DAY: Duration = Duration::from_hours(24);

    fn write(path: &Path, written: SystemTime) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "flows").unwrap();
        File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
    }

    #[test]
    fn what_is_aside_expires_by_when_it_was_written_and_nothing_else_does() {
        let spool = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let (old, now) = (SystemTime::now() - 40 * DAY, SystemTime::now());
        let [gone, damaged] = ["aside/files/x/1.run", "epochs/3.damaged"];
        for path in [gone, damaged, "epochs/4.run", "identity.json"] {
            write(&spool.path().join(path), old);
        }
        write(&spool.path().join("aside/young"), now);
        write(&spool.path().join("aside/from-2050"), now + 8000 * DAY);
        write(&outside.path().join("old"), old);
        std::os::unix::fs::symlink(outside.path(), spool.path().join("aside/link")).unwrap();
        let keep = Keep::flows(parse_period("30d").unwrap());
        let now = clock::now();
        let rule = Rule { keep: &keep, at: now, now, gateways: None };

        let aside = Aside::of(spool.path(), &rule).unwrap();
        assert_eq!(aside.expired, [Path::new(gone), Path::new(damaged)]);
        assert_eq!((aside.kept, aside.bytes), (2, 10));
        assert_eq!(aside.odd.len(), 1, "{:?}", aside.odd);
        let done = aside.delete(spool.path()).unwrap();
        assert_eq!((done.files, done.failed.len()), (2, 0));
        assert!(!spool.path().join(gone).exists() && !spool.path().join(damaged).exists());
        assert!(outside.path().join("old").exists());
        assert!(spool.path().join("epochs/4.run").exists());

        let again = Aside::of(spool.path(), &rule).unwrap();
        assert_eq!((again.expired.len(), again.misdated.len(), again.kept), (0, 0, 2));
    }

    /// What is sound has its own end, however old it is.
    #[test]
    fn what_a_spool_has_set_aside_expires_and_what_is_sound_stays() {
        let (spool, mut epochs) = spool();
        let flows = [(key(1), 61, Direction::Up)];
        let [sound, young, old] =
            [70, 80, 90].map(|end| epochs.append(&epoch(60, end, &flows), Duration::ZERO).unwrap());
        for damaged in [&young, &old] {
            let bytes = std::fs::read(&damaged.path).unwrap();
            std::fs::write(&damaged.path, &bytes[..bytes.len() - 1]).unwrap();
        }
        let written = SystemTime::now() - 40 * DAY;
        for path in [&sound.path, &old.path] {
            File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
        }
        assert_eq!(recovered(&spool).found, std::slice::from_ref(&sound));
        let directory = spool.scratch().parent().unwrap().to_owned();
        let now = clock::now();
        for (keep, expired, kept) in [("41d", 0, 2), ("39d", 1, 1)] {
            let keep = Keep::flows(parse_period(keep).unwrap());
            let rule = Rule { keep: &keep, at: now, now, gateways: None };
            let aside = Aside::of(&directory, &rule).unwrap();
            assert_eq!((aside.delete(&directory).unwrap().files, aside.kept), (expired, kept));
        }
        assert!(sound.path.exists());
    }
}
