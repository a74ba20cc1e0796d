//! How much a spool may take.

use std::{io, sync::atomic::Ordering};

use super::{
    Error, Spool,
    disk::{bytes_under, list_any},
};

/// Of so many bytes of a spool one is for events alone, where there are any.
const RESERVE: u64 = 64;
/// What of the disk is left for small files: nothing leaves the spool before it is written down where it went.
const FOR_SMALL_FILES: u64 = 64 << 10;

impl Spool {
    /// Whether there is no run in it. Then one is taken that is larger than the spool may be: the kernel could
    /// never get rid of it else.
    fn is_empty(&self) -> Result<bool, Error> {
        for directory in [self.epochs_directory(), self.files_directory()] {
            let entries = list_any(&*self.disk, &directory);
            if !entries.map_err(Error::io("list", &directory))?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fails where an epoch of another `more` bytes is too many. It does not take the room of events, so that
    /// a spool that is full of flows goes on to tell whose they are.
    pub(super) fn ensure_room(&self, more: u64) -> Result<(), Error> {
        let free = self.disk.free().map_err(Error::io("measure", &self.directory))?;
        if free < more.saturating_add(FOR_SMALL_FILES) {
            let full = io::Error::from_raw_os_error(libc::ENOSPC);
            return Err(Error::io("write", &self.epochs_directory())(full));
        }
        let events = bytes_under(&*self.disk, &self.events_directory())
            .map_err(Error::io("measure", &self.directory))?;
        let reserve = if events == 0 { 0 } else { (self.limit / RESERVE).saturating_sub(events) };
        let bytes = self.bytes()?;
        self.bytes.store(bytes, Ordering::Relaxed);
        if bytes.saturating_add(reserve).saturating_add(more) <= self.limit || self.is_empty()? {
            return Ok(());
        }
        Err(Error::Full { bytes, limit: self.limit })
    }

    /// Fails where events of another `more` bytes are too many.
    pub(super) fn ensure_room_for_events(&self, more: u64) -> Result<(), Error> {
        let bytes = self.bytes()?;
        if bytes.saturating_add(more) <= self.limit {
            return Ok(());
        }
        Err(Error::Full { bytes, limit: self.limit })
    }

    fn bytes(&self) -> Result<u64, Error> {
        bytes_under(&*self.disk, &self.directory).map_err(Error::io("measure", &self.directory))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::spool;

    #[test]
    fn a_tree_that_is_deeper_than_any_of_ours_is_not_measured_to_its_end() {
        let (spool, _epochs) = spool();
        let mut directory = spool.scratch();
        for _ in 0..200 {
            directory.push("deeper");
        }
        std::fs::create_dir_all(&directory).unwrap();
        let before = spool.bytes().unwrap();
        std::fs::write(directory.join("far"), [0; 100]).unwrap();
        assert_eq!(spool.bytes().unwrap(), before);
        std::fs::write(spool.scratch().join("near"), [0; 100]).unwrap();
        assert_eq!(spool.bytes().unwrap(), before + 100);
    }
}
