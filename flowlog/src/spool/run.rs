//! A run: a file of entries in the order of the flow table.
//!
//! ```text
//! magic · IPv4 entries · IPv6 entries · header (JSON)
//!   · CRC-32 of the IPv4 entries · of the IPv6 entries · length of the header · CRC-32 of these and the header · magic
//! ```
//!
//! A run is written beside its name, synced, and renamed: under its name it is whole. Its header can be
//! trusted without reading the rest, which is checked when it is read. In version 1 one CRC-32 was
//! of all of it: such a run is read once when it is opened.

mod cursor;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use cursor::Cursor;

use super::{
    Error,
    disk::{Output, ReadAt, SharedDisk},
    entry::Entry,
    header::Header,
    sync_directory,
};

const MAGIC: [u8; 8] = *b"flowrun2";
const MAGIC_1: [u8; 8] = *b"flowrun1";
/// All but the number of the version.
const FAMILY: &[u8] = b"flowrun";
/// Three checks, a length, and magic at the end.
const TRAILER: u64 = 4 * 4 + 8;
/// Length of the header, check and magic at the end of version 1.
const TRAILER_1: u64 = 4 + 4 + 8;
/// What is written, and read for a check, at a time.
const CHUNK: usize = 1 << 18;

/// A run on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// What it says of itself.
    pub header: Header,
    /// The checks of its IPv4 and IPv6 entries; `None` in version 1.
    checks: Option<[u32; 2]>,
    disk: SharedDisk,
}

impl Header {
    /// The union of what runs have; `None` where there are none.
    #[must_use]
    pub fn of(runs: &[Run]) -> Option<Self> {
        let (first, rest) = runs.split_first()?;
        let mut union = first.header.clone();
        for run in rest {
            union.absorb(&run.header);
        }
        Some(union)
    }
}

/// Writes a run.
pub struct RunWriter {
    disk: SharedDisk,
    file: Box<dyn Output>,
    temporary: PathBuf,
    path: PathBuf,
    checks: [crc32fast::Hasher; 2],
    /// Entries of the IP version that is being written.
    buffer: Vec<u8>,
    /// Whether IPv6 entries are being written.
    is_v6: bool,
    entries: (u64, u64),
    bytes: u64,
    is_finished: bool,
}

impl RunWriter {
    /// Begins a run that will have this path.
    pub fn create(disk: &SharedDisk, path: PathBuf) -> Result<Self, Error> {
        let temporary = path.with_extension(super::UNFINISHED);
        let mut file = disk.create(&temporary).map_err(Error::io("write", &temporary))?;
        let begun = file.write(&MAGIC).map_err(Error::io("write", &temporary));
        let writer = Self {
            disk: disk.clone(),
            file,
            temporary,
            path,
            checks: [crc32fast::Hasher::new(), crc32fast::Hasher::new()],
            buffer: Vec::with_capacity(CHUNK + 256),
            is_v6: false,
            entries: (0, 0),
            bytes: MAGIC.len() as u64,
            is_finished: false,
        };
        begun.map(|()| writer)
    }

    /// Adds an entry, those of IPv4 before those of IPv6.
    pub fn push<const A: usize>(&mut self, entry: &Entry<A>) -> Result<(), Error> {
        if A != 4 && !self.is_v6 {
            self.flush()?;
            self.is_v6 = true;
        }
        entry.write(&mut self.buffer);
        match A {
            4 => self.entries.0 += 1,
            _ => self.entries.1 += 1,
        }
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Writes the end, makes all of it durable, and gives it its name.
    pub fn finish(mut self, mut header: Header) -> Result<Run, Error> {
        header.entries = self.entries;
        self.flush()?;
        let checks = self.checks.each_ref().map(|check| check.clone().finalize());
        let end = end(&header, checks)
            .map_err(|source| Error::Header { path: self.path.clone(), source })?;
        self.write(&end)?;
        // What is never to have another name is of no use to the next process.
        if self.temporary != self.path {
            self.file.sync().map_err(Error::io("write", &self.temporary))?;
            self.disk
                .rename(&self.temporary, &self.path)
                .map_err(Error::io("rename", &self.path))?;
            sync_directory(&self.disk, &self.path)?;
        }
        self.is_finished = true;
        let (path, disk) = (self.path.clone(), self.disk.clone());
        Ok(Run { path, bytes: self.bytes, header, checks: Some(checks), disk })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.checks[usize::from(self.is_v6)].update(&self.buffer);
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        self.file.write(bytes).map_err(Error::io("write", &self.temporary))
    }
}

/// The header and what follows it.
fn end(header: &Header, checks: [u32; 2]) -> Result<Vec<u8>, serde_json::Error> {
    let mut end = serde_json::to_vec(header)?;
    let length = u32::try_from(end.len()).unwrap_or(u32::MAX);
    for number in [checks[0], checks[1], length] {
        end.extend_from_slice(&number.to_le_bytes());
    }
    let check = crc32fast::hash(&end);
    end.extend_from_slice(&check.to_le_bytes());
    end.extend_from_slice(&MAGIC);
    Ok(end)
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        // Room for the next attempt.
        if !self.is_finished {
            self.disk.remove(&self.temporary).unwrap_or_default();
        }
    }
}

impl Run {
    /// Opens a run: reads its header, and its end.
    pub fn open(disk: &SharedDisk, path: &Path) -> Result<Self, Error> {
        let damaged = || Error::Damaged { path: path.to_owned() };
        let read_error = || Error::io("read", path);
        let file = disk.open(path).map_err(read_error())?;
        let bytes = file.bytes().map_err(read_error())?;
        let magic = |offset| -> Result<[u8; 8], Error> {
            let mut magic = [0; 8];
            file.read_at(&mut magic, offset).map_err(read_error())?;
            Ok(magic)
        };
        let (first, last) = (magic(0)?, magic(bytes.checked_sub(8).ok_or_else(damaged)?)?);
        let length = match last {
            MAGIC => length(&*file, bytes, TRAILER, 8),
            MAGIC_1 => length(&*file, bytes, TRAILER_1, 0),
            _ if first == last && is_newer(last) => {
                return Err(Error::Newer { path: path.to_owned(), format: version(last) });
            }
            _ => return Err(damaged()),
        };
        let (length, trailer) = length.map_err(read_error())?.ok_or_else(damaged)?;
        let start = bytes.checked_sub(trailer + length).ok_or_else(damaged)?;
        let mut end = vec![0; usize::try_from(bytes - start).unwrap_or(0)];
        let read = file.read_at(&mut end, start).map_err(read_error())?;
        let json = end.get(..usize::try_from(length).unwrap_or(usize::MAX)).ok_or_else(damaged)?;
        if read != end.len() || first != last {
            return Err(damaged());
        }
        let checks = if last == MAGIC {
            Some(checks_of(&end, json.len()).ok_or_else(damaged)?)
        } else if is_sound_1(&*file, bytes).map_err(read_error())? {
            None
        } else {
            return Err(damaged());
        };
        let header: Header = serde_json::from_slice(json)
            .map_err(|source| Error::Header { path: path.to_owned(), source })?;
        let run = Self { path: path.to_owned(), bytes, header, checks, disk: disk.clone() };
        if run.v6_start().and_then(|start| start.checked_add(run.v6_bytes()?)) != Some(start) {
            return Err(damaged());
        }
        Ok(run)
    }

    /// A run that is on no disk.
    #[cfg(test)]
    pub(crate) fn of(path: PathBuf, header: Header) -> Self {
        let disk = SharedDisk(std::sync::Arc::new(super::model::disk::ModelDisk::default()));
        Self { path, bytes: 0, header, checks: None, disk }
    }

    /// Reads every byte of it, and fails where one is not what was written.
    pub fn check(&self) -> Result<(), Error> {
        let (mut v4, mut v6) = self.cursors()?;
        while v4.next_entry()?.is_some() {}
        while v6.next_entry()?.is_some() {}
        Ok(())
    }

    /// Its entries, of both IP versions. The file is open as long as either is.
    pub fn cursors(&self) -> Result<(Cursor<4>, Cursor<16>), Error> {
        let (v4, v6) = self.header.entries;
        let file = if v4 + v6 == 0 {
            None
        } else {
            Some(self.disk.open(&self.path).map_err(Error::io("read", &self.path))?)
        };
        let start = self.v6_start().unwrap_or(u64::MAX);
        let [check_v4, check_v6] = self.checks.map_or([None; 2], |checks| checks.map(Some));
        Ok((
            Cursor::new(file.clone(), &self.path, MAGIC.len() as u64, v4, check_v4),
            Cursor::new(file, &self.path, start, v6, check_v6),
        ))
    }

    fn v6_start(&self) -> Option<u64> {
        let v4 = self.header.entries.0.checked_mul(Entry::<4>::SIZE as u64)?;
        v4.checked_add(MAGIC.len() as u64)
    }

    fn v6_bytes(&self) -> Option<u64> {
        self.header.entries.1.checked_mul(Entry::<16>::SIZE as u64)
    }

    /// Deletes it; one that is gone is no error.
    pub fn remove(&self) -> Result<(), Error> {
        match self.disk.remove(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("delete", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Gives it another path.
    pub(super) fn rename(&mut self, path: PathBuf) -> Result<(), Error> {
        self.disk.rename(&self.path, &path).map_err(Error::io("rename", &self.path))?;
        self.path = path;
        Ok(())
    }

    /// Moves it to another directory, durably.
    pub fn move_to(&mut self, path: PathBuf) -> Result<(), Error> {
        let from = self.path.clone();
        self.rename(path)?;
        sync_directory(&self.disk, &self.path)?;
        sync_directory(&self.disk, &from)
    }

    /// The disk that it is on.
    pub(super) const fn disk(&self) -> &SharedDisk {
        &self.disk
    }
}

fn version(magic: [u8; 8]) -> u32 {
    u32::from(magic[7].wrapping_sub(b'0'))
}

fn is_newer(magic: [u8; 8]) -> bool {
    magic.starts_with(FAMILY) && magic[7].is_ascii_digit() && version(magic) > version(MAGIC)
}

/// The length of the header, which is so far from the beginning of the trailer.
fn length(
    file: &dyn ReadAt,
    bytes: u64,
    trailer: u64,
    offset: u64,
) -> io::Result<Option<(u64, u64)>> {
    let Some(start) = bytes.checked_sub(trailer) else { return Ok(None) };
    let mut length = [0; 4];
    file.read_at(&mut length, start + offset)?;
    Ok(Some((u64::from(u32::from_le_bytes(length)), trailer)))
}

/// The checks of the entries; `None` where header or end are not what was written.
fn checks_of(end: &[u8], header: usize) -> Option<[u32; 2]> {
    let number = |place: usize| -> Option<u32> {
        let bytes = end.get(header + 4 * place..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let is_sound = number(3)? == crc32fast::hash(end.get(..header + 12)?);
    is_sound.then_some([number(0)?, number(1)?])
}

/// Whether a run of version 1 is what was written.
fn is_sound_1(file: &dyn ReadAt, bytes: u64) -> io::Result<bool> {
    let checked = bytes.saturating_sub(12);
    let mut check = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < checked {
        let part = usize::try_from(checked - offset).unwrap_or(CHUNK).min(CHUNK);
        if file.read_at(&mut chunk[..part], offset)? != part {
            return Ok(false);
        }
        check.update(&chunk[..part]);
        offset += part as u64;
    }
    let mut expected = [0; 4];
    file.read_at(&mut expected, checked)?;
    Ok(expected == check.finalize().to_le_bytes())
}
