//! Maps that are pinned in a BPF file system, as bytes: maps themselves cannot be kept in a
//! repository, but their contents can, and are pinned again from them.
//!
//! Nothing here depends on the library that is tested: its types change, these bytes do not.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use serde_json::{Value, json};

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_GET_NEXT_KEY: libc::c_int = 4;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

const ARRAY: u32 = 2;
const PERCPU_ARRAY: u32 = 6;

/// A map, with all that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    /// Keys with their values, in the order of the keys; those of arrays only where they are not
    /// zero, and those of all processors added up.
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl PinnedMap {
    /// Reads the map of a pin.
    pub fn read(pin: &Path) -> Self {
        let map = open(pin).unwrap_or_else(|error| panic!("{}: {error}", pin.display()));
        let info = info(&map);
        let mut this = Self {
            kind: info.kind,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            // What only concerns who may use the map, and how it is laid out, is as it was made.
            flags: info.map_flags,
            entries: vec![],
        };
        let mut key: Option<Vec<u8>> = None;
        while let Some(next) = next_key(&map, key.as_deref(), this.key_size as usize) {
            let value = this.folded(&lookup(&map, &next, this.room()));
            if !this.is_array() || value.iter().any(|byte| *byte != 0) {
                this.entries.push((next.clone(), value));
            }
            key = Some(next);
        }
        this.entries.sort();
        this
    }

    /// Makes a map that holds the same, and pins it.
    pub fn pin(&self, pin: &Path) {
        let map = self.create().unwrap_or_else(|error| panic!("{}: {error}", pin.display()));
        for (key, value) in &self.entries {
            let mut room = vec![0; self.room()];
            room[..value.len()].copy_from_slice(value);
            update(&map, key, &room);
        }
        let path = CString::new(pin.as_os_str().as_bytes()).unwrap();
        let mut attr = [address(path.as_ptr()), u64::from(fd(&map))];
        bpf(OBJ_PIN, &mut attr).unwrap_or_else(|error| panic!("{}: {error}", pin.display()));
    }

    /// Moves the instants at these places of each value by some nanoseconds; those that are zero or
    /// never stay so.
    pub fn move_times(&mut self, places: &[usize], by_ns: i64) {
        for (_, value) in &mut self.entries {
            for place in places {
                let bytes: &mut [u8; 8] = (&mut value[*place..*place + 8]).try_into().unwrap();
                let at = u64::from_ne_bytes(*bytes);
                if at != 0 && at | 1 != u64::MAX {
                    *bytes = at.saturating_add_signed(by_ns).max(1).to_ne_bytes();
                }
            }
        }
    }

    /// The map as JSON.
    pub fn to_json(&self) -> Value {
        let entries: Vec<Value> = self
            .entries
            .iter()
            .map(|(key, value)| json!({ "key": hex(key), "value": sparse(value) }))
            .collect();
        json!({
            "type": self.kind,
            "key_size": self.key_size,
            "value_size": self.value_size,
            "max_entries": self.max_entries,
            "flags": self.flags,
            "entries": entries,
        })
    }

    /// The map that JSON describes.
    pub fn from_json(json: &Value) -> Self {
        let number = |key: &str| u32::try_from(json[key].as_u64().unwrap()).unwrap();
        let value_size = number("value_size");
        let entries = json["entries"].as_array().unwrap().iter().map(|entry| {
            let mut value = vec![0; value_size as usize];
            for (at, bytes) in entry["value"].as_object().unwrap() {
                let (at, bytes) = (at.parse::<usize>().unwrap(), unhex(bytes.as_str().unwrap()));
                value[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            (unhex(entry["key"].as_str().unwrap()), value)
        });
        Self {
            kind: number("type"),
            key_size: number("key_size"),
            value_size,
            max_entries: number("max_entries"),
            flags: number("flags"),
            entries: entries.collect(),
        }
    }

    fn create(&self) -> io::Result<OwnedFd> {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let mut attr = [
            pair(self.kind, self.key_size),
            pair(self.value_size, self.max_entries),
            pair(self.flags, 0),
        ];
        let map = bpf(MAP_CREATE, &mut attr)?;
        // SAFETY: a new descriptor, which nobody else has.
        Ok(unsafe { OwnedFd::from_raw_fd(map) })
    }

    const fn is_array(&self) -> bool {
        matches!(self.kind, ARRAY | PERCPU_ARRAY)
    }

    /// Bytes that the kernel writes for a value.
    fn room(&self) -> usize {
        let size = (self.value_size as usize).next_multiple_of(8);
        if self.kind == PERCPU_ARRAY { size * processors() } else { size }
    }

    /// The value, or the sum of what all processors counted.
    fn folded(&self, value: &[u8]) -> Vec<u8> {
        let size = self.value_size as usize;
        if self.kind != PERCPU_ARRAY {
            return value[..size].to_vec();
        }
        let mut sum = vec![0_u64; size / 8];
        for of_processor in value.chunks_exact(size.next_multiple_of(8)) {
            for (sum, word) in sum.iter_mut().zip(of_processor.chunks_exact(8)) {
                *sum += u64::from_ne_bytes(word.try_into().unwrap());
            }
        }
        sum.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

fn processors() -> usize {
    aya::util::nr_cpus().unwrap()
}

/// The beginning of the kernel's `bpf_map_info`.
#[derive(Default)]
#[repr(C)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let map = bpf(OBJ_GET, &mut [address(path.as_ptr()), 0])?;
    // SAFETY: a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(map) })
}

fn info(map: &OwnedFd) -> MapInfo {
    let info = MapInfo::default();
    let size = u64::try_from(size_of::<MapInfo>()).unwrap();
    let mut attr = [u64::from(fd(map)) | size << 32, address(&raw const info)];
    bpf(OBJ_GET_INFO_BY_FD, &mut attr).unwrap();
    std::hint::black_box(info)
}

fn next_key(map: &OwnedFd, key: Option<&[u8]>, size: usize) -> Option<Vec<u8>> {
    let next = std::cell::RefCell::new(vec![0_u8; size]);
    let key = key.map_or(0, |key| address(key.as_ptr()));
    let found = {
        let mut next = next.borrow_mut();
        bpf(MAP_GET_NEXT_KEY, &mut [u64::from(fd(map)), key, address(next.as_mut_ptr())])
    };
    found.ok().map(|_| next.into_inner())
}

fn lookup(map: &OwnedFd, key: &[u8], room: usize) -> Vec<u8> {
    let mut value = vec![0_u8; room];
    let mut attr = [u64::from(fd(map)), address(key.as_ptr()), address(value.as_mut_ptr()), 0];
    bpf(MAP_LOOKUP_ELEM, &mut attr).unwrap();
    value
}

fn update(map: &OwnedFd, key: &[u8], value: &[u8]) {
    let mut attr = [u64::from(fd(map)), address(key.as_ptr()), address(value.as_ptr()), 0];
    bpf(MAP_UPDATE_ELEM, &mut attr).unwrap();
}

fn fd(map: &OwnedFd) -> u32 {
    u32::try_from(map.as_raw_fd()).unwrap()
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn bpf(command: libc::c_int, attr: &mut [u64]) -> io::Result<libc::c_int> {
    // SAFETY: the attribute has the size that is given, and its pointers outlive the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    match libc::c_int::try_from(outcome) {
        Ok(outcome) if outcome >= 0 => Ok(outcome),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The words that are not zero, by their place.
fn sparse(value: &[u8]) -> Value {
    let mut pieces: Vec<(usize, Vec<u8>)> = vec![];
    for (at, word) in value.chunks(8).enumerate().map(|(index, word)| (index * 8, word)) {
        if word.iter().all(|byte| *byte == 0) {
            continue;
        }
        match pieces.last_mut() {
            Some((start, bytes)) if *start + bytes.len() == at => bytes.extend(word),
            _ => pieces.push((at, word.to_vec())),
        }
    }
    pieces.iter().map(|(at, bytes)| (at.to_string(), Value::from(hex(bytes)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}
