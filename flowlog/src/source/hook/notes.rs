//! The notes of a source, as they come.

use std::{collections::BTreeSet, ffi::CString, sync::Arc, time::Duration};

use super::{
    super::{Error, blocking::Blocking, events::Event},
    Directory, Note, Refused,
    directory::Scan,
};
use crate::record::{clock::Utc, session::Instance};

/// A look at the directory takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// Reads the notes of a source, and removes them when their reports are in the spool.
pub(in crate::source) struct Notes {
    directory: Arc<Directory>,
    instance: Instance,
    blocking: Blocking<std::io::Result<Scan>>,
    /// Read, and still there.
    known: BTreeSet<CString>,
    /// Those of them whose reports were sent.
    sent: BTreeSet<CString>,
}

/// What is new.
pub(in crate::source) struct New {
    /// The notes, in the order of their times.
    pub(in crate::source) notes: Vec<Note>,
    /// Until here all of them are known.
    pub(in crate::source) until: Utc,
    /// Whether there are more.
    pub(in crate::source) has_more: bool,
}

impl Notes {
    pub(in crate::source) fn new(directory: Directory, instance: Instance) -> Self {
        let (known, sent) = (BTreeSet::new(), BTreeSet::new());
        Self {
            directory: Arc::new(directory),
            instance,
            blocking: Blocking::default(),
            known,
            sent,
        }
    }

    /// Makes the directory where it is not there.
    pub(in crate::source) async fn prepare(&mut self) -> Result<(), Error> {
        let directory = Arc::clone(&self.directory);
        let prepared = Blocking::default().run(LIMIT, move || directory.prepare()).await?;
        if !prepared.map_err(|source| Error::Directory { source })? {
            Event::NoGroup.emit();
        }
        Ok(())
    }

    /// Reads what is new. `are_recorded`: the reports of the notes before are in the spool, so that those can go.
    pub(in crate::source) async fn read(&mut self, are_recorded: bool) -> Result<New, Error> {
        let directory = Arc::clone(&self.directory);
        let (known, recorded) =
            (self.known.clone(), if are_recorded { self.sent.clone() } else { BTreeSet::new() });
        let look = {
            let recorded = recorded.clone();
            move || {
                directory.remove(&recorded)?;
                directory.scan(&known)
            }
        };
        let scan =
            self.blocking.run(LIMIT, look).await?.map_err(|source| Error::Directory { source })?;
        self.known.retain(|name| !recorded.contains(name));
        self.sent.retain(|name| !recorded.contains(name));
        let Scan { found, until, has_more } = scan;
        let mut notes = vec![];
        for found in found {
            self.known.insert(found.name.clone());
            match found.note {
                Ok(note) => {
                    self.sent.insert(found.name);
                    notes.push(note);
                }
                Err(error) => self.refuse(&error),
            }
        }
        Ok(New { notes, until, has_more })
    }

    /// A note makes no sense.
    pub(in crate::source) fn refuse(&self, error: &Refused) {
        Event::NoteRefused { instance: &self.instance, error }.emit();
    }
}
