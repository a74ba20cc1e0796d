//! How much a spool may take.

use std::io;

use super::{Error, Spool, disk::bytes_under};

impl Spool {
    /// Whether there is no run in it. Then one is taken that is larger than the spool may be: the kernel could
    /// never get rid of it else.
    fn is_empty(&self) -> Result<bool, Error> {
        for directory in [self.epochs_directory(), self.files_directory()] {
            match self.disk.list(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                entries => {
                    if !entries.map_err(Error::io("list", &directory))?.is_empty() {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Fails where another `more` bytes are too many.
    pub(super) fn has_room(&self, more: u64) -> Result<(), Error> {
        let bytes = bytes_under(&*self.disk, &self.directory)
            .map_err(Error::io("measure", &self.directory))?;
        if bytes.saturating_add(more) <= self.limit || self.is_empty()? {
            return Ok(());
        }
        Err(Error::Full { bytes, limit: self.limit })
    }
}
