//! A segment: a file of events whose numbers follow each other.
//!
//! ```text
//! "flowevt1" · length of the header u32 · header (JSON) · CRC-32 of these · events
//! ```
//!
//! A segment gets its name when its first events are durable, and grows by those of one daemon. Later versions
//! keep this frame around the header.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::super::{
    Error, UNFINISHED,
    disk::{Disk, Output, ReadAt, SharedDisk},
    planted::{Bug, planted},
};

const MAGIC: [u8; 8] = *b"flowevt1";
/// All but the number of the version.
const FAMILY: &[u8] = b"flowevt";
/// Magic and length, and the check behind the header.
const FRAME: usize = 8 + 4 + 4;
/// Most bytes of a header.
const LONGEST: usize = 1 << 16;
/// Extension of a segment.
const EXTENSION: &str = "events";

/// What a segment states of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentHeader {
    /// Name of the gateway whose events these are.
    pub(super) gateway: String,
    /// The table that they are of.
    pub(super) table: String,
    /// 128 random bits, in hexadecimal digits.
    pub(super) id: String,
    /// Number of the first event.
    pub(super) first: u64,
    /// Where the events before it end; `None` where there are none.
    pub(super) follows: Option<End>,
}

/// Where a segment ends. Two segments that follow the same one are of a spool and its copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Id of the segment.
    pub segment: String,
    /// Number of its last event.
    pub last: u64,
}

/// Name of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) first: u64,
    pub(super) id: String,
}

impl SegmentName {
    pub(super) fn file_name(&self) -> String {
        format!("{:020}-{}.{EXTENSION}", self.first, self.id)
    }

    pub(super) fn parse(name: &Path) -> Option<Self> {
        let (first, id) = name.file_stem()?.to_str()?.split_once('-')?;
        let parsed = Self { first: first.parse().ok()?, id: id.to_owned() };
        let is_random = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_random && name.file_name()?.to_str()? == parsed.file_name()).then_some(parsed)
    }
}

/// Reads the header of a segment, and where the events begin; `None` where it is not what was written.
pub(super) fn read_header(
    file: &dyn ReadAt,
    path: &Path,
) -> Result<Option<(SegmentHeader, u64)>, Error> {
    let read = |length: usize| {
        let mut bytes = vec![0; length];
        let read = file.read_at(&mut bytes, 0).map_err(Error::io("read", path))?;
        bytes.truncate(read);
        Ok::<_, Error>(bytes)
    };
    let begin = read(12)?;
    let Some(length) = begin.last_chunk::<4>().filter(|_| begin.len() == 12) else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Ok(None);
    }
    let bytes = read(FRAME + length)?;
    let Some((magic, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    let Some((json, rest)) = rest.get(4..).and_then(|rest| rest.split_at_checked(length)) else {
        return Ok(None);
    };
    let is_sound = rest.starts_with(&crc32fast::hash(&bytes[..12 + length]).to_le_bytes());
    if !is_sound || !magic.starts_with(FAMILY) {
        return Ok(None);
    }
    if *magic != MAGIC {
        let format = u32::from(magic[7].wrapping_sub(b'0'));
        return Err(Error::Newer { path: path.to_owned(), format });
    }
    let header: Option<SegmentHeader> = serde_json::from_slice(json).ok();
    Ok(header.map(|header| (header, (FRAME + length) as u64)))
}

/// The segment that grows.
pub(super) struct SegmentWriter {
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    file: Box<dyn Output>,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(f)
    }
}

impl SegmentWriter {
    /// Begins a segment in a directory, with its first events.
    pub(super) fn create(
        disk: &SharedDisk,
        directory: &Path,
        header: &SegmentHeader,
        records: &[u8],
    ) -> Result<Self, Error> {
        let name = SegmentName { first: header.first, id: header.id.clone() };
        let path = directory.join(name.file_name());
        let json = serde_json::to_vec(header)
            .map_err(|source| Error::Header { path: path.clone(), source })?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&json);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(records);
        let written = write_new(&**disk, &path, &bytes);
        if written.is_err() {
            remove(&**disk, &path);
        }
        let file = written.map_err(Error::io("write", &path))?;
        Ok(Self { id: header.id.clone(), path, bytes: bytes.len() as u64, file })
    }

    /// Appends events, and makes them durable. After a failure the segment has an end that nobody knows, and
    /// takes no more.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), Error> {
        self.bytes += records.len() as u64;
        let written = self
            .file
            .write(records)
            .and_then(|()| if planted(Bug::EventsUnsynced) { Ok(()) } else { self.file.sync() });
        written.map_err(Error::io("write", &self.path))
    }
}

fn write_new(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn Output>> {
    let temporary = path.with_extension(UNFINISHED);
    let mut file = disk.create(&temporary)?;
    file.write(bytes)?;
    file.sync()?;
    if !planted(Bug::EventsUnnamed) {
        disk.rename(&temporary, path)?;
    }
    // Before anything states that these events count.
    disk.sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

/// Room for the next attempt: nothing of this segment counts.
pub(super) fn remove(disk: &dyn Disk, path: &Path) {
    for path in [path, &path.with_extension(UNFINISHED)] {
        // What stays is found by the next start.
        disk.remove(path).unwrap_or_default();
    }
}
