//! The bytes of an event: a header of fixed length, then the body, each with a check of its own.
//!
//! ```text
//! "evnt" · number u64 · time i64 · kind u16 · length of the body u32 · CRC-32 of the body · CRC-32 of these
//! ```
//!
//! All numbers are little-endian. The header alone numbers, dates and skips an event, so that the body may be
//! sealed. The check of a header begins with the segment's id: a record of another segment, wherever its bytes
//! come to lie, is none of this one.

use crate::record::clock::Utc;

/// What an event begins with.
pub(super) const MAGIC: [u8; 4] = *b"evnt";
/// Bytes of a header.
pub(super) const HEADER: usize = 34;
/// What the check of the header covers.
const CHECKED: usize = HEADER - 4;
/// Most bytes of a body.
pub const LONGEST_BODY: usize = 1 << 20;

/// An event that has no number yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// When it was.
    pub time: Utc,
    /// What the bytes of its body are; the table gives it a meaning.
    pub kind: u16,
    /// Its bytes.
    pub body: &'a [u8],
}

/// The header of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) number: u64,
    pub(super) time_ns: i64,
    pub(super) kind: u16,
    pub(super) length: u32,
    pub(super) body_check: u32,
}

impl NewEvent<'_> {
    /// Bytes of its record.
    pub(super) const fn bytes(&self) -> usize {
        HEADER + self.body.len()
    }

    /// Writes its record in a segment.
    pub(super) fn write(&self, number: u64, segment: &str, to: &mut Vec<u8>) {
        let begin = to.len();
        to.extend_from_slice(&MAGIC);
        to.extend_from_slice(&number.to_le_bytes());
        to.extend_from_slice(&self.time.ns().to_le_bytes());
        to.extend_from_slice(&self.kind.to_le_bytes());
        to.extend_from_slice(&u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_le_bytes());
        to.extend_from_slice(&crc32fast::hash(self.body).to_le_bytes());
        let check = header_check(segment, &to[begin..]);
        to.extend_from_slice(&check.to_le_bytes());
        to.extend_from_slice(self.body);
    }
}

impl RecordHeader {
    /// Reads a header of a segment; `None` where these bytes are none.
    pub(super) fn read(segment: &str, bytes: &[u8; HEADER]) -> Option<Self> {
        let (checked, check) = bytes.split_at(CHECKED);
        let fields = checked.strip_prefix(&MAGIC)?;
        if check != header_check(segment, checked).to_le_bytes() {
            return None;
        }
        let (number, fields) = fields.split_first_chunk()?;
        let (time, fields) = fields.split_first_chunk()?;
        let (kind, fields) = fields.split_first_chunk()?;
        let (length, fields) = fields.split_first_chunk()?;
        let (body_check, _) = fields.split_first_chunk()?;
        Some(Self {
            number: u64::from_le_bytes(*number),
            time_ns: i64::from_le_bytes(*time),
            kind: u16::from_le_bytes(*kind),
            length: u32::from_le_bytes(*length),
            body_check: u32::from_le_bytes(*body_check),
        })
    }
}

fn header_check(segment: &str, header: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(segment.as_bytes());
    check.update(header);
    check.finalize()
}
