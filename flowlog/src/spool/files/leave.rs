//! How a file leaves the spool: run by run, where one is lost or the store has it in another way, or as a whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        Error, IDENTITY, RUN,
        aside::Reason,
        disk::{list_any, remove_all},
        planted::{Bug, planted},
        run::Run,
        sync_directory,
    },
    FileIdentity, Files, HourFile, held_by,
};
use crate::record::epoch_set::EpochSet;

impl Files {
    /// Sets a run of a file aside, which cannot be read: its epochs are lost, unless the store has them.
    pub fn lose(&mut self, path: &Path) -> Result<(), Error> {
        for file in &mut self.growing {
            if let Some(place) = file.runs.iter().position(|run| run.path == path) {
                let (run, store) = (&file.runs[place], file.identity.store.as_ref());
                self.spool.lose_run(run, Reason::Damaged, &EpochSet::default(), store)?;
                file.runs.remove(place);
            }
        }
        Ok(())
    }

    /// Closes a file of which the store has these epochs in a way that cannot be added to. They leave the
    /// spool; what else there is of it goes on as another file.
    pub fn close(&mut self, lineage: &str, safe: &EpochSet) -> Result<(), Error> {
        let Some(place) = self.growing.iter().position(|file| file.identity.lineage == lineage)
        else {
            return Ok(());
        };
        let mut of_file = self.growing[place].identity.clone();
        let held = self.growing[place].held();
        let until = self.growing[place].until_of(safe);
        let stays = !self.growing[place].pending.is_empty();
        if stays {
            of_file.is_closed = true;
            self.growing[place].write(&self.spool, of_file.clone())?;
        }
        self.spool.sync_epochs()?;
        self.spool.know(|identity| {
            identity.stored(&of_file.numbering, &held.minus(&held.minus(safe)), until);
        })?;
        if !safe.contains(&held) {
            let next =
                FileIdentity { provisional: EpochSet::default(), is_closed: false, ..of_file };
            let mut next = self.begin(next)?;
            next.is_complete = self.growing[place].is_complete;
            self.growing.insert(place + 1, next);
        }
        while let Some(run) = self.growing[place].runs.first().cloned() {
            let held = run.header.held();
            let mut moved = None;
            if safe.contains(&held) || planted(Bug::NoRest) {
                run.remove()?;
            } else if safe.meets(&held) {
                let store = self.growing[place].identity.store.clone();
                self.spool.lose_run(&run, Reason::Double, safe, store.as_ref())?;
            } else {
                moved = self.move_run(&run, place + 1)?;
            }
            self.growing[place].runs.remove(0);
            if let Some(run) = moved {
                self.growing[place + 1].runs.push(run);
            }
        }
        let directory = self.growing[place].directory.clone();
        if !safe.contains(&held) {
            sync_directory(&self.spool.disk, &self.growing[place + 1].directory.join(IDENTITY))?;
            sync_directory(&self.spool.disk, &directory.join(IDENTITY))?;
        }
        if stays {
            self.growing[place].is_complete = true;
            return Ok(());
        }
        self.discard(&directory)
    }

    /// Moves a run to another file; `None` where somebody deleted it, so that its epochs are lost.
    fn move_run(&self, run: &Run, to: usize) -> Result<Option<Run>, Error> {
        let mut moved = run.clone();
        let name = run.path.file_name().unwrap_or_default();
        match moved.rename(self.growing[to].directory.join(name)) {
            Ok(()) => Ok(Some(moved)),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let store = self.growing[to].identity.store.as_ref();
                self.spool.lose_run(run, Reason::Damaged, &EpochSet::default(), store)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets a file that is in the store for good.
    pub fn remove(&mut self, file: &HourFile) -> Result<(), Error> {
        let held = held_by(&file.runs);
        self.spool.sync_epochs()?;
        self.spool.know(|identity| {
            if !held.is_empty() {
                identity.stored(&file.identity.numbering, &held, file.until());
            }
        })?;
        self.discard(&file.directory)
    }

    /// Deletes the directory of a file, of which nothing is needed any more.
    fn discard(&mut self, directory: &Path) -> Result<(), Error> {
        // At once: what is left of it when this process ends must not be taken for all of it.
        let name = directory.file_name().unwrap_or_default();
        let scratch = self.spool.scratch().join(name);
        let disk = &self.spool.disk;
        let ours = self.growing.iter().filter(|file| file.directory == directory);
        let ours: Vec<PathBuf> = ours.flat_map(|file| &file.runs).map(|r| r.path.clone()).collect();
        let mut entries = list_any(&**disk, directory).map_err(Error::io("list", directory))?;
        // A run of a newer version, or one that cannot be read at the moment: nobody knows that the
        // store has it.
        entries.retain(|entry| {
            let path = directory.join(&entry.name);
            let is_run = path.extension().is_some_and(|extension| extension == RUN);
            is_run && !ours.contains(&path) && Run::open(disk, &path).is_err()
        });
        if !entries.is_empty() {
            for path in ours {
                disk.remove(&path).map_err(Error::io("delete", &path))?;
            }
            self.growing.retain(|growing| growing.directory != directory);
            return Ok(());
        }
        match disk.rename(directory, &scratch).map_err(Error::io("rename", directory)) {
            // Somebody was faster.
            Err(error) if error.is_gone() => {
                self.growing.retain(|growing| growing.directory != directory);
                return if self.is_there(directory)? { Err(error) } else { Ok(()) };
            }
            renamed => renamed?,
        }
        sync_directory(disk, directory)?;
        self.growing.retain(|growing| growing.directory != directory);
        remove_all(&**disk, &scratch).map_err(Error::io("delete", &scratch))
    }
}
