//! A run: a file of entries in the order of the flow table.
//!
//! ```text
//! magic · IPv4 entries · IPv6 entries · header (JSON) · length of the header · CRC-32 · magic
//! ```
//!
//! A run is written beside its name, synced, and renamed: under its name it is whole.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::{Error, entry::Entry, header::Header, sync_directory};

const MAGIC: [u8; 8] = *b"flowrun1";
/// Length of the header, check and magic at the end.
const TRAILER: u64 = 4 + 4 + 8;
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
}

/// Writes a run.
pub struct RunWriter {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    check: crc32fast::Hasher,
    buffer: Vec<u8>,
    entries: (u64, u64),
    bytes: u64,
}

impl RunWriter {
    /// Begins a run that will have this path.
    pub fn create(path: PathBuf) -> Result<Self, Error> {
        let temporary = path.with_extension(super::UNFINISHED);
        let file = File::create(&temporary).map_err(Error::io("write", &temporary))?;
        let mut writer = Self {
            file: BufWriter::new(file),
            temporary,
            path,
            check: crc32fast::Hasher::new(),
            buffer: Vec::with_capacity(CHUNK + 256),
            entries: (0, 0),
            bytes: 0,
        };
        writer.buffer.extend_from_slice(&MAGIC);
        Ok(writer)
    }

    /// Adds an entry, those of IPv4 before those of IPv6.
    pub fn push<const A: usize>(&mut self, entry: &Entry<A>) -> Result<(), Error> {
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
        let json = serde_json::to_vec(&header)
            .map_err(|source| Error::Header { path: self.path.clone(), source })?;
        self.buffer.extend_from_slice(&json);
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.flush()?;
        let check = std::mem::take(&mut self.check).finalize();
        self.buffer.extend_from_slice(&check.to_le_bytes());
        self.buffer.extend_from_slice(&MAGIC);
        self.flush()?;
        let write_error = Error::io("write", &self.temporary);
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(write_error)?;
        std::fs::rename(&self.temporary, &self.path).map_err(Error::io("rename", &self.path))?;
        sync_directory(&self.path)?;
        Ok(Run { path: self.path.clone(), bytes: self.bytes, header })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.check.update(&self.buffer);
        self.bytes += self.buffer.len() as u64;
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(Error::io("write", &self.temporary))
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        // Gone already where the run got its name; else room for the next attempt.
        std::fs::remove_file(&self.temporary).unwrap_or_default();
    }
}

impl Run {
    /// Opens a run and checks every byte of it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let damaged = || Error::Damaged { path: path.to_owned() };
        let read_error = || Error::io("read", path);
        let mut file = File::open(path).map_err(read_error())?;
        let bytes = file.metadata().map_err(read_error())?.len();
        let checked = bytes.checked_sub(12).ok_or_else(damaged)?;
        let check = check_of(&mut file, checked).map_err(read_error())?;
        let mut end = [0; 12];
        file.read_exact(&mut end).map_err(read_error())?;
        if end[..4] != check.to_le_bytes() || end[4..] != MAGIC {
            return Err(damaged());
        }
        let mut length = [0; 4];
        file.seek(SeekFrom::Start(checked - 4)).map_err(read_error())?;
        file.read_exact(&mut length).map_err(read_error())?;
        let length = u64::from(u32::from_le_bytes(length));
        let start = bytes.checked_sub(TRAILER + length).ok_or_else(damaged)?;
        file.seek(SeekFrom::Start(start)).map_err(read_error())?;
        let mut json = vec![];
        file.take(length).read_to_end(&mut json).map_err(read_error())?;
        let header: Header = serde_json::from_slice(&json)
            .map_err(|source| Error::Header { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), bytes, header })
    }

    /// The IPv4 entries.
    pub fn v4(&self) -> Result<Cursor<4>, Error> {
        Cursor::open(&self.path, MAGIC.len() as u64, self.header.entries.0)
    }

    /// The IPv6 entries.
    pub fn v6(&self) -> Result<Cursor<16>, Error> {
        let (v4, v6) = self.header.entries;
        let start = MAGIC.len() as u64 + v4 * Entry::<4>::SIZE as u64;
        Cursor::open(&self.path, start, v6)
    }

    /// Deletes it; one that is gone is no error.
    pub fn remove(&self) -> Result<(), Error> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("delete", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn check_of(file: &mut File, bytes: u64) -> io::Result<u32> {
    let mut check = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact(&mut chunk[..part])?;
        check.update(&chunk[..part]);
        left -= part as u64;
    }
    Ok(check.finalize())
}

/// Reads the entries of a run, one after the other.
pub struct Cursor<const A: usize> {
    file: BufReader<File>,
    path: PathBuf,
    left: u64,
}

/// Small, since many runs are read at once.
const BUFFER: usize = 1 << 14;

impl<const A: usize> Cursor<A> {
    fn open(path: &Path, start: u64, entries: u64) -> Result<Self, Error> {
        let open = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        };
        let file = open().map_err(Error::io("read", path))?;
        let file = BufReader::with_capacity(BUFFER, file);
        Ok(Self { file, path: path.to_owned(), left: entries })
    }

    /// The next entry; `None` behind the last one.
    pub fn next_entry(&mut self) -> Result<Option<Entry<A>>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let size = Entry::<A>::SIZE;
        if let Some(bytes) = self.file.buffer().get(..size) {
            let entry = Entry::read(bytes);
            self.file.consume(size);
            return Ok(entry);
        }
        // The one that reaches beyond the buffer.
        let mut bytes = [0; Entry::<16>::SIZE];
        let bytes = &mut bytes[..size];
        self.file.read_exact(bytes).map_err(Error::io("read", &self.path))?;
        Ok(Entry::read(bytes))
    }
}
