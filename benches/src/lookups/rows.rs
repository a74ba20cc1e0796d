//! Rows of the standard flow table, and when they are.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// Hour 0 of the standard table: 2026-03-02, 00:00 UTC.
const EPOCH_MS: i64 = 1_772_409_600_000;
pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A flow, as `lookups/tables.py` writes it.
#[derive(Clone, Copy)]
pub struct Row {
    pub member: IpAddr,
    pub remote: IpAddr,
    pub start_ms: i64,
    pub end_ms: i64,
    pub packets_up: u64,
    pub bytes_up: u64,
    pub packets_down: u64,
    pub bytes_down: u64,
    pub member_port: u16,
    /// ICMP: type and code.
    pub remote_port: u16,
    pub protocol: u8,
    pub tcp_flags_up: u8,
    pub tcp_flags_down: u8,
    pub is_from_remote: bool,
}

const ROW_BYTES: usize = 88;

impl Row {
    fn parse(bytes: &[u8; ROW_BYTES], shift_ms: i64) -> Self {
        let word = |at: usize| u64::from_le_bytes(array(bytes, at));
        let time = |at: usize| i64::from_le_bytes(array(bytes, at)) + shift_ms;
        let port = |at: usize| u16::from_le_bytes(array(bytes, at));
        let address = |at: usize| Ipv6Addr::from(array::<16>(bytes, at)).to_canonical();
        Self {
            member: address(0),
            remote: address(16),
            start_ms: time(32),
            end_ms: time(40),
            packets_up: word(48),
            bytes_up: word(56),
            packets_down: word(64),
            bytes_down: word(72),
            member_port: port(80),
            remote_port: port(82),
            protocol: bytes[84],
            tcp_flags_up: bytes[85],
            tcp_flags_down: bytes[86],
            is_from_remote: bytes[87] != 0,
        }
    }
}

fn array<const N: usize>(bytes: &[u8; ROW_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

/// An hour of rows: a file of them, and the hour that they are moved to.
#[derive(Clone)]
pub struct Hour {
    pub begins_ms: i64,
    path: PathBuf,
    shift_ms: i64,
}

impl Hour {
    fn new(folder: &Path, number: i64, target: u64, shift_ms: i64) -> Self {
        Self {
            begins_ms: EPOCH_MS + number * HOUR_MS + shift_ms,
            path: folder.join(format!("{number}-{target}.rows")),
            shift_ms,
        }
    }

    /// Its rows, in the order in which they ended.
    pub fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let context = || self.path.display().to_string();
        let file = File::open(&self.path).with_context(context)?;
        let length = usize::try_from(file.metadata()?.len())?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut record = [0; ROW_BYTES];
        (0..length / ROW_BYTES)
            .map(|_| {
                file.read_exact(&mut record).with_context(context)?;
                Ok(Row::parse(&record, self.shift_ms))
            })
            .collect()
    }
}

/// The standard hour, and ninety days: 24 dense hours, which follow on 89 days of thin ones.
pub struct Tables {
    folder: PathBuf,
    dense_target: u64,
    thin_target: u64,
}

/// What the standard table is made with.
const STANDARD_TARGET: u64 = 2_500_000;
const THIN_DAYS: i64 = 89;

impl Tables {
    pub fn new(folder: PathBuf, rows: u64) -> Self {
        Self { folder, dense_target: rows / 24, thin_target: (rows / 60_000).max(100) }
    }

    /// Has `tables.py` make those that are not there yet.
    pub fn make(&self, python: &Path, flows: &Path) -> anyhow::Result<()> {
        let mut wanted = vec![(0, STANDARD_TARGET)];
        wanted.extend((0..24).map(|hour| (hour, self.dense_target)));
        wanted.extend((24..48).map(|hour| (hour, self.thin_target)));
        let mut script = super::script(python, "tables.py");
        script.arg(flows).arg(&self.folder);
        script
            .args(wanted.iter().flat_map(|(hour, target)| [hour.to_string(), target.to_string()]));
        super::run(&mut script)
    }

    /// The hour on which bytes a flow are quoted.
    pub fn standard(&self) -> Hour {
        Hour::new(&self.folder, 0, STANDARD_TARGET, 0)
    }

    /// The last of the ninety days.
    pub fn dense_day(&self) -> Vec<Hour> {
        (0..24).map(|hour| Hour::new(&self.folder, hour, self.dense_target, 0)).collect()
    }

    /// The days before it, which share their rows but for the date.
    pub fn thin_days(&self) -> Vec<Vec<Hour>> {
        let day = |before: i64| {
            // The hours of a thin day are made as those of the day after the dense one.
            let shift = -(before + 1) * DAY_MS;
            (24..48).map(|hour| Hour::new(&self.folder, hour, self.thin_target, shift)).collect()
        };
        (1..=THIN_DAYS).rev().map(day).collect()
    }
}
