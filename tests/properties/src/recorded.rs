//! A packet in memory that remembers how far it was read.

use std::cell::Cell;

use flowlog_common::packet::{Header, Packet};

/// A packet whose IP header is some bytes into a buffer, as it is in a socket buffer.
pub struct Recorded<'a> {
    buffer: &'a [u8],
    base: usize,
    read_to: Cell<usize>,
}

impl<'a> Recorded<'a> {
    /// The packet that begins `base` bytes into `buffer`.
    pub fn new(buffer: &'a [u8], base: usize) -> Self {
        Self { buffer, base, read_to: Cell::new(0) }
    }

    /// How many bytes of the packet were read, up to the last one that was.
    pub fn read_to(&self) -> usize {
        self.read_to.get()
    }
}

impl Packet for Recorded<'_> {
    fn read<H: Header>(&self, offset: u32) -> Option<H> {
        let start = offset as usize;
        let end = start + size_of::<H>();
        let bytes = self.buffer.get(self.base + start..self.base + end)?;
        self.read_to.set(self.read_to.get().max(end));
        // SAFETY: the slice has the size of the header, any bytes are a header.
        Some(unsafe { bytes.as_ptr().cast::<H>().read_unaligned() })
    }

    fn len(&self) -> u32 {
        u32::try_from(self.buffer.len().saturating_sub(self.base)).expect("a packet, not a file")
    }
}
