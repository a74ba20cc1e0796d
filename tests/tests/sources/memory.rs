//! A search of this process's memory.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

/// What the search looks for is kept so, or it would find itself.
pub const MASK: u8 = 0x5a;

/// How often each of the masked texts is in the writable memory of this process.
pub fn occurrences(masked: &[Vec<u8>]) -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut found = vec![0; masked.len()];
    // Of a page on, and masked as soon as it is read, so that no copy is found later.
    let longest = masked.iter().map(Vec::len).max().unwrap_or(1);
    let mut buffer = vec![0; (1 << 20) + longest];
    let ours = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
        if !mode.starts_with("rw") || line.contains("[v") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [mut at, end] = [from, to].map(|hex| usize::from_str_radix(hex, 16).unwrap());
        while at < end {
            let length = buffer.len().min(end - at);
            memory.seek(SeekFrom::Start(at as u64)).unwrap();
            // A page may be gone.
            if at != ours.start && memory.read_exact(&mut buffer[..length]).is_ok() {
                for byte in &mut buffer[..length] {
                    *byte ^= MASK;
                }
                for (count, text) in found.iter_mut().zip(masked) {
                    *count += count_in(&buffer[..length], text);
                }
            }
            if length < buffer.len() {
                break;
            }
            at += length - longest;
        }
    }
    found
}

fn count_in(memory: &[u8], text: &[u8]) -> usize {
    let first = text[0];
    let places = memory.iter().enumerate().filter(|(_, byte)| **byte == first);
    places.filter(|(at, _)| memory[*at..].starts_with(text)).count()
}
