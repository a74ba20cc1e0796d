//! Looking at objects, and reading them.

use std::{
    fs::File,
    io::{self, Read as _},
};

use nix::{errno::Errno, fcntl::OFlag};
use object_store::{ObjectMeta, path::Path};
use sha2::{Digest as _, Sha256};

use super::{Directory, folders::Folders, is_file, kind_of, odd, open_file};
use crate::{
    durable,
    store::{
        Mismatch,
        request::{Action, Entry, Failure},
    },
};

impl Directory {
    /// What is known of an object; nothing where there is none.
    pub(super) fn head(&self, object: &Path) -> Result<Option<Entry>, Failure> {
        let failed = Failure::of(Action::Read, object);
        let Some((folders, name)) = self.folders_of(object, Action::Read)? else { return Ok(None) };
        match durable::look(folders.last(), name).map_err(&failed)? {
            None => Ok(None),
            Some(found) if is_file(&found) => Ok(Some(Entry::new(object.to_string(), &found))),
            Some(found) => Err(failed(odd(kind_of(&found)))),
        }
    }

    /// An object that is open, and what is known of it.
    pub(in crate::store) fn open_object(
        &self,
        object: &Path,
    ) -> Result<(File, ObjectMeta), Failure> {
        let failed = Failure::of(Action::Read, object);
        let missing = || failed(Errno::ENOENT.into());
        let (folders, name) = self.folders_of(object, Action::Read)?.ok_or_else(missing)?;
        let (file, found) = open_file(folders.last(), name, OFlag::O_RDONLY).map_err(&failed)?;
        let meta = Entry::new(object.to_string(), &found).meta().ok_or_else(missing)?;
        Ok((file, meta))
    }

    /// An object, whole.
    pub(super) fn read(&self, object: &Path) -> Result<Vec<u8>, Failure> {
        let failed = Failure::of(Action::Read, object);
        let missing = || failed(Errno::ENOENT.into());
        let (folders, name) = self.folders_of(object, Action::Read)?.ok_or_else(missing)?;
        let (mut file, found) =
            open_file(folders.last(), name, OFlag::O_RDONLY).map_err(&failed)?;
        let mut bytes = vec![];
        let size = usize::try_from(found.st_size).unwrap_or(0);
        bytes.try_reserve_exact(size).map_err(|error| failed(io::Error::other(error)))?;
        file.read_to_end(&mut bytes).map_err(&failed)?;
        Ok(bytes)
    }

    /// What differs between an object and a file of this size, and with this digest if it is given.
    pub(super) fn compare(
        &self,
        object: &Path,
        size: u64,
        sha256: Option<[u8; 32]>,
    ) -> Result<Option<Mismatch>, Failure> {
        let Some(entry) = self.head(object)? else { return Ok(Some(Mismatch::Nothing)) };
        if entry.size != size {
            return Ok(Some(Mismatch::Size { is: entry.size, should_be: size }));
        }
        let Some(should_be) = sha256 else { return Ok(None) };
        let failed = Failure::of(Action::Read, object);
        let Some((folders, name)) = self.folders_of(object, Action::Read)? else {
            return Ok(Some(Mismatch::Nothing));
        };
        let (mut file, _) = match open_file(folders.last(), name, OFlag::O_RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Mismatch::Nothing));
            }
            opened => opened.map_err(&failed)?,
        };
        let mut digest = Sha256::new();
        io::copy(&mut file, &mut digest).map_err(&failed)?;
        let is: [u8; 32] = digest.finalize().into();
        Ok((is != should_be).then_some(Mismatch::Bytes))
    }

    /// The folders of an object, and its name in them; nothing where one of them is missing.
    pub(super) fn folders_of<'o>(
        &self,
        object: &'o Path,
        action: Action,
    ) -> Result<Option<(Folders<'_>, &'o str)>, Failure> {
        let (above, name) = split(object);
        match Folders::open(self.root(), above) {
            Ok(folders) => Ok(Some((folders, name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::of(action, object)(error)),
        }
    }
}

/// The folders that an object is in, and its name.
pub(super) fn split(object: &Path) -> (impl Iterator<Item = &str>, &str) {
    let (above, name) = object.as_ref().rsplit_once('/').unwrap_or(("", object.as_ref()));
    (above.split('/').filter(|name| !name.is_empty()), name)
}
