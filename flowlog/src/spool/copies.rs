//! Small files that must not be lost: checked by a CRC, and each of them twice.
//!
//! ```text
//! {"format":2,"serial":7,"value":{…}}
//! crc32 1a2b3c4d
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Error, UNFINISHED,
    disk::{Disk, read_small},
    planted::{Bug, planted},
};

/// The version of the spool that this flowlog writes. Version 1 had no number.
pub const FORMAT: u32 = 2;

/// What was read of a small file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Small<T> {
    /// The newest sound copy.
    Sound(T),
    /// There is neither copy.
    Absent,
    /// There is something, and no copy of it is sound.
    Damaged,
}

/// What is known of something, in memory and in a small file.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) value: T,
    /// What is on the disk, in both copies.
    written: Option<T>,
    serial: u64,
    path: PathBuf,
    /// What there was of it.
    pub(super) found: Small<()>,
    /// Whether its copies differed: what a daemon knew was perhaps not written down.
    pub(super) may_be_old: bool,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> Kept<T> {
    /// Reads it.
    pub(super) fn read(disk: &dyn Disk, path: PathBuf) -> Result<Self, Error> {
        let (read, serial) = read::<T>(disk, &path)?;
        let (value, found) = match read {
            Small::Sound(value) => (value, Small::Sound(())),
            Small::Absent => (T::default(), Small::Absent),
            Small::Damaged => (T::default(), Small::Damaged),
        };
        let may_be_old = !agree(disk, &path);
        // Where the copies differ, one that is damaged later must not bring back the other.
        let is_durable = !may_be_old || planted(Bug::EventsDisagree);
        let written = is_durable.then(|| value.clone());
        Ok(Self { value, written, serial, path, found, may_be_old })
    }

    /// Whether the disk has it as it is.
    pub(super) fn is_durable(&self) -> bool {
        self.written.as_ref() == Some(&self.value)
    }

    /// Makes a change durable, or takes it back: whoever wanted it does not go on.
    pub(super) fn change<R>(
        &mut self,
        disk: &dyn Disk,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Error> {
        let before = self.value.clone();
        let changed = change(&mut self.value);
        let written = self.write(disk);
        if written.is_err() {
            self.value = before;
        }
        written.map(|()| changed)
    }

    /// Makes it durable as it is.
    pub(super) fn write(&mut self, disk: &dyn Disk) -> Result<(), Error> {
        if self.is_durable() {
            return Ok(());
        }
        // Whatever comes of it, what is on the disk is not known any more.
        self.written = None;
        self.serial += 1;
        write(disk, &self.path, self.serial, &self.value)?;
        self.written = Some(self.value.clone());
        Ok(())
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    format: u32,
    serial: u64,
    value: &'a T,
}

#[derive(Deserialize)]
struct Sealed {
    format: u32,
    #[serde(default)]
    serial: u64,
    #[serde(default)]
    value: serde_json::Value,
}

const COPY: &str = "copy";

/// Writes both copies, one after the other, so that one of them is sound at any time.
pub(super) fn write<T: Serialize>(
    disk: &dyn Disk,
    path: &Path,
    serial: u64,
    value: &T,
) -> Result<(), Error> {
    let envelope = Envelope { format: FORMAT, serial, value };
    let mut bytes = serde_json::to_vec(&envelope)
        .map_err(|source| Error::Header { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    let check = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!("crc32 {check:08x}\n").as_bytes());
    for path in [path.to_owned(), path.with_extension(COPY)] {
        write_copy(disk, &path, &bytes).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

fn write_copy(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(UNFINISHED);
    let written = disk.create(&temporary).and_then(|mut file| {
        file.write(bytes)?;
        file.sync()?;
        disk.rename(&temporary, path)
    });
    if written.is_err() {
        // Room for the next attempt.
        disk.remove(&temporary).unwrap_or_default();
    }
    written?;
    disk.sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Reads the newer one of the sound copies.
pub(super) fn read<T: DeserializeOwned>(
    disk: &dyn Disk,
    path: &Path,
) -> Result<(Small<T>, u64), Error> {
    let mut newest: Option<(u64, T)> = None;
    let mut is_there = false;
    for path in [path.to_owned(), path.with_extension(COPY)] {
        let bytes = match read_small(disk, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // The other copy may be readable.
            bytes => bytes.unwrap_or_default(),
        };
        is_there = true;
        let Some(sealed) = unseal(&bytes) else { continue };
        if sealed.format > FORMAT {
            return Err(Error::Newer { path, format: sealed.format });
        }
        if let Ok(value) = serde_json::from_value(sealed.value)
            && newest.as_ref().is_none_or(|(serial, _)| sealed.serial > *serial)
        {
            newest = Some((sealed.serial, value));
        }
    }
    Ok(match newest {
        Some((serial, value)) => (Small::Sound(value), serial),
        None if is_there => (Small::Damaged, 0),
        None => (Small::Absent, 0),
    })
}

/// Whether both copies are there and the same, or neither is.
pub(super) fn agree(disk: &dyn Disk, path: &Path) -> bool {
    let is_absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match [path.to_owned(), path.with_extension(COPY)].map(|path| read_small(disk, &path)) {
        [Ok(bytes), Ok(copy)] => bytes == copy,
        [Err(error), Err(other)] => is_absent(&error) && is_absent(&other),
        _ => false,
    }
}

fn unseal(bytes: &[u8]) -> Option<Sealed> {
    const CHECK: usize = "crc32 01234567\n".len();
    let (json, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
    let expected = format!("crc32 {:08x}\n", crc32fast::hash(json));
    (check == expected.as_bytes()).then(|| serde_json::from_slice(json).ok())?
}
