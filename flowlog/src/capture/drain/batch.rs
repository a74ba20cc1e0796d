//! The batch operations of BPF maps (kernel 5.6), for which aya has no wrapper.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Pod,
    maps::{MapData, MapType},
};
use aya_obj::generated::{bpf_attr, bpf_cmd};

use crate::{
    capture::syscall::{attribute, bpf},
    record::epoch::Entries,
};

/// Entries that one call asks for.
const BATCH: usize = 4096;

/// Reads a hash map that nothing writes to.
///
/// # Errors
///
/// Also where its keys or values have other sizes than these types.
pub fn read<K: Pod, V: Pod>(map: &MapData) -> io::Result<Entries<K, V>> {
    require::<K>(map, Some(size_of::<V>()))?;
    let mut entries = Entries { keys: vec![], values: vec![] };
    // Where the next call goes on: a number of a bucket, opaque to us.
    let mut position = 0_u32;
    let mut is_first = true;
    let mut room = BATCH;
    loop {
        entries.keys.reserve(room);
        entries.values.reserve(room);
        let next = std::cell::UnsafeCell::new(0_u32);
        let mut attr = of_map(map);
        attr.batch.in_batch = if is_first { 0 } else { address(&raw const position) };
        attr.batch.out_batch = address(next.get());
        attr.batch.keys = address(entries.keys.spare_capacity_mut().as_ptr());
        attr.batch.values = address(entries.values.spare_capacity_mut().as_ptr());
        attr.batch.count = u32::try_from(room).unwrap_or(u32::MAX);
        let outcome = call(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr);
        let is_last = match outcome {
            Ok(()) => false,
            Err(ref error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            // A bucket holds more than there is room for.
            Err(ref error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        // SAFETY: what the attribute was used for, and an integer in any case.
        let read = unsafe { attr.batch.count } as usize;
        // SAFETY: the kernel wrote this many keys and values into the spare capacity, and any
        // bytes are a value of a `Pod`.
        unsafe {
            entries.keys.set_len(entries.keys.len() + read);
            entries.values.set_len(entries.values.len() + read);
        }
        if is_last {
            return Ok(entries);
        }
        position = next.into_inner();
        is_first = false;
    }
}

/// Removes entries of a map. Every key must be there.
///
/// # Errors
///
/// Also where its keys have another size than this type.
pub fn clear<K: Pod>(map: &MapData, keys: &[K]) -> io::Result<()> {
    require::<K>(map, None)?;
    for batch in keys.chunks(BATCH) {
        let mut attr = of_map(map);
        attr.batch.keys = address(batch.as_ptr());
        attr.batch.count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        call(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut attr)?;
    }
    Ok(())
}

/// The kernel writes and reads as many bytes as the map says.
fn require<K>(map: &MapData, value: Option<usize>) -> io::Result<()> {
    let info = map.info().map_err(io::Error::other)?;
    let is_hash = matches!(info.map_type(), Ok(MapType::Hash | MapType::LruHash));
    let has_key = info.key_size() as usize == size_of::<K>();
    let has_value = value.is_none_or(|value| info.value_size() as usize == value);
    if is_hash && has_key && has_value {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "the map has entries of another kind"))
    }
}

fn of_map(map: &MapData) -> bpf_attr {
    let mut attr = attribute();
    attr.batch.map_fd = u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX);
    attr
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<()> {
    loop {
        match bpf(command, attr) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome.map(drop),
        }
    }
}
