//! Files whose directories somebody deleted while they grew: a daemon that runs does what a start does.

use std::path::Path;

use super::{
    super::{
        Error, aside::lost_of, error::report, identity::Lost, incidents::Incident, sync_directory,
    },
    FileIdentity, Files,
};

impl Files {
    /// Makes the directories of the spool again, and forgets files that are not there any more: what the store has
    /// of them stays, and the rest is lost. The store is asked which is which.
    pub fn restore(&mut self) -> Result<(), Error> {
        report(self.spool.make_way());
        self.spool.prepare_directories()?;
        let mut place = 0;
        while let Some(file) = self.growing.get(place) {
            let directory = file.directory.clone();
            if self.is_there(&directory)? {
                place += 1;
                continue;
            }
            Incident::Deleted { path: &directory }.emit();
            let store = file.identity.store.clone();
            let lost: Vec<Lost> = file
                .runs
                .iter()
                .map(|run| Lost { store: store.clone(), ..lost_of(run, &run.header.held()) })
                .collect();
            self.spool.know(|identity| lost.into_iter().for_each(|lost| identity.lose(lost)))?;
            let file = &mut self.growing[place];
            file.runs.clear();
            if file.pending.is_empty() {
                self.growing.remove(place);
                continue;
            }
            // The store may have the epochs that it waits for as a part of it; others go into another file.
            let disk = &self.spool.disk;
            disk.make_directory(&directory).map_err(Error::io("make", &directory))?;
            let of_file = FileIdentity { is_closed: true, ..file.identity.clone() };
            file.write(&self.spool, of_file)?;
            file.is_complete = true;
            sync_directory(disk, &directory)?;
            place += 1;
        }
        Ok(())
    }

    pub(super) fn is_there(&self, directory: &Path) -> Result<bool, Error> {
        match self.spool.disk.list(directory).map_err(Error::io("list", directory)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
