//! Reading maps whose values are as many as there are CPUs, which only the running kernel knows.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;

pub type Key = [u8; 16];

/// Eight-byte words of a `struct counters`, and of those the ones that count packets.
pub const WORDS: usize = 7;
const PACKETS: usize = 2;

const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
/// Entries that one call asks for.
const BATCH: usize = 4096;

/// The part of the kernel's `bpf_attr` that batch operations use.
#[derive(Default)]
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Where batches are read to, over and over, so that what is measured is the reading and not how
/// memory grows.
pub struct Reader {
    keys: Vec<Key>,
    values: Vec<u64>,
    /// Values of [`WORDS`] in an entry.
    copies: usize,
}

impl Reader {
    pub fn new(copies: usize) -> Self {
        Self { keys: vec![[0; 16]; BATCH], values: vec![0; BATCH * copies * WORDS], copies }
    }

    /// Reads a map that nothing writes to, and shows every batch as its keys and values.
    pub fn read(&mut self, map: &MapData, mut each: impl FnMut(&[Key], &[u64])) -> io::Result<()> {
        // A number of a bucket, which the kernel reads before it writes the next one.
        let mut position = 0_u32;
        let mut is_first = true;
        loop {
            let mut attr = BatchAttr {
                in_batch: if is_first { 0 } else { address(&raw mut position) },
                out_batch: address(&raw mut position),
                keys: address(self.keys.as_mut_ptr()),
                values: address(self.values.as_mut_ptr()),
                count: u32::try_from(BATCH).unwrap_or(u32::MAX),
                map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
                ..BatchAttr::default()
            };
            // SAFETY: the attribute has the size that is said, and there is room for a batch behind
            // its pointers.
            let outcome = unsafe {
                let attr = std::ptr::from_mut(&mut attr);
                libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_BATCH, attr, size_of::<BatchAttr>())
            };
            let error = io::Error::last_os_error();
            let is_last = outcome != 0 && error.raw_os_error() == Some(libc::ENOENT);
            if outcome != 0 && !is_last {
                return Err(error);
            }
            let read = attr.count as usize;
            each(&self.keys[..read], &self.values[..read * self.copies * WORDS]);
            if is_last {
                return Ok(());
            }
            is_first = false;
        }
    }
}

/// Packets in a sequence of values, in both of their halves.
pub fn packets(values: &[u64]) -> u64 {
    values.chunks_exact(WORDS).flat_map(|value| &value[..PACKETS]).sum()
}

fn address<T>(pointer: *mut T) -> u64 {
    pointer.expose_provenance() as u64
}
