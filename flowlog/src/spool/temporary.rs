//! Spools of daemons that were given none: they go with the process.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::{Error, incidents::Incident};
use crate::durable::Lock;

/// What the name of one begins with.
const NAME: &str = "flowlog-spool-";
/// Younger ones may not be locked yet.
const YOUNG: Duration = Duration::from_mins(1);

/// What is in a directory, in the order of the names.
fn list(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(directory).map_err(Error::io("list", directory))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// Makes the directory of one.
pub(super) fn make(parent: &Path) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix(NAME)
        .tempdir_in(parent)
        .map_err(Error::io("make a directory in", parent))
}

/// Removes temporary spools whose process was killed: what they have has no other end.
pub(super) fn remove_abandoned(parent: &Path) -> Result<(), Error> {
    for path in list(parent)? {
        let is_named = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(NAME.as_bytes()));
        // Somebody else's may be there, and may go meanwhile.
        let Some(metadata) = path.symlink_metadata().ok().filter(|_| is_named) else { continue };
        let is_own = metadata.is_dir() && metadata.uid() == geteuid().as_raw();
        let is_young =
            metadata.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age < YOUNG));
        if !is_own || is_young {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if let Ok(_lock) = Lock::take(file) {
            if let Err(error) = std::fs::remove_dir_all(&path) {
                Incident::TemporaryStays { path: &path, error: &error }.emit();
            } else {
                Incident::TemporaryDeleted.emit();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{
        super::{Spool, make_directory},
        *,
    };

    #[test]
    fn a_temporary_spool_of_a_killed_process_goes_with_the_next_one_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let living = Spool::temporary_in(parent.path()).unwrap();
        let directory = |name: &str| {
            let path = parent.path().join(name);
            make_directory(&path.join("epochs")).unwrap();
            std::fs::write(path.join("epochs/1.run"), "flows").unwrap();
            path
        };
        let [abandoned, young] = ["flowlog-spool-killed", "flowlog-spool-young"].map(directory);
        let others = directory("flowlog-elsewhere");
        for path in [&abandoned, &others, &living.directory] {
            let an_hour_ago = SystemTime::now() - 60 * YOUNG;
            File::open(path).unwrap().set_modified(an_hour_ago).unwrap();
        }
        let next = Spool::temporary_in(parent.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(
            [&young, &others, &living.directory, &next.directory].iter().all(|path| path.exists())
        );
    }
}
