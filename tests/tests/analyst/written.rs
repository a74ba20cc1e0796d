//! A store that is written row by row, so that each answer is known.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use flowlog::{
    record::{
        clock::Utc,
        flow::FlowRecord,
        ledger::{Gap, GapReason, LedgerEntry},
        window::WindowLedger,
    },
    table::{FLOWS, FlowsWriter, LEDGER, ObjectName, Table, ledger},
};
use flowlog_common::flow::Direction;

use super::flow;

const HOUR: Duration = Duration::from_hours(1);
const WINDOW: Duration = Duration::from_mins(5);

/// The instant that a text names.
pub fn utc(text: &str) -> Utc {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

/// A flow of TCP from a port of a member to a port of a remote, of a kilobyte up and two down.
pub fn tcp(
    member: &str,
    remote: &str,
    remote_port: u16,
    start: Utc,
    end: Utc,
) -> FlowRecord<'static> {
    let mut row = flow(0);
    row.member = member.parse::<std::net::IpAddr>().unwrap().into();
    row.remote = Some(remote.parse::<std::net::IpAddr>().unwrap().into());
    row.remote_port = remote_port;
    row.activity.start_ms = start.ms();
    row.activity.end_ms = end.ms();
    row.activity.bytes_up = 1_000;
    row.activity.bytes_down = 2_000;
    row
}

/// The same, to which nothing came back.
pub fn unanswered(mut row: FlowRecord<'static>) -> FlowRecord<'static> {
    row.activity.packets_down = 0;
    row.activity.bytes_down = 0;
    row.activity.tcp_flags_down = 0;
    row
}

/// The same, begun by the remote side.
pub fn from_outside(mut row: FlowRecord<'static>) -> FlowRecord<'static> {
    row.activity.initiator = Direction::Down;
    row
}

/// A store in a directory of its own.
pub struct Written {
    directory: tempfile::TempDir,
    flows: BTreeMap<(String, Utc), Vec<FlowRecord<'static>>>,
    windows: BTreeMap<(String, Utc), Vec<WindowLedger>>,
}

impl Written {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, flows: BTreeMap::new(), windows: BTreeMap::new() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds rows of a gateway, each to the hour in which it ends.
    pub fn flows(&mut self, gateway: &str, rows: impl IntoIterator<Item = FlowRecord<'static>>) {
        for row in rows {
            let hour = Utc::from_ms(row.activity.end_ms).floor(HOUR);
            self.flows.entry((gateway.to_owned(), hour)).or_default().push(row);
        }
    }

    /// Adds the ledger of a time in which an interface was counted, window by window.
    pub fn counted(&mut self, gateway: &str, interface: &str, from: Utc, to: Utc) {
        let mut start = from.floor(WINDOW);
        while start < to {
            let end = start.plus(WINDOW);
            let entry = LedgerEntry::new(interface.to_owned(), start.max(from), end.min(to));
            self.window(gateway, start, entry);
            start = end;
        }
    }

    /// Adds a gap, to the ledger of the window in which it ended.
    pub fn gap(&mut self, gateway: &str, interface: &str, from: Utc, to: Utc, reason: GapReason) {
        let mut entry = LedgerEntry::new(interface.to_owned(), to, to);
        entry.add_gap(Gap::between(from, to, reason));
        self.window(gateway, to.floor(WINDOW), entry);
    }

    fn window(&mut self, gateway: &str, start: Utc, entry: LedgerEntry) {
        let length_ms = u64::try_from(WINDOW.as_millis()).unwrap();
        let window =
            WindowLedger { start_ns: start.ns(), length_ms, epochs: None, rows: vec![entry] };
        self.windows.entry((gateway.to_owned(), start.floor(HOUR))).or_default().push(window);
    }

    /// Writes the files.
    pub fn write(self) -> tempfile::TempDir {
        for ((gateway, hour), rows) in &self.flows {
            let mut file = FlowsWriter::new(vec![]).unwrap();
            for row in rows {
                file.push(row).unwrap();
            }
            self.create(&FLOWS, gateway, *hour, &file.finish(vec![]).unwrap());
        }
        for ((gateway, hour), windows) in &self.windows {
            let file = ledger::encode(windows, |_| vec![]).unwrap();
            self.create(&LEDGER, gateway, *hour, &file);
        }
        self.directory
    }

    fn create(&self, table: &'static Table, gateway: &str, hour: Utc, file: &[u8]) {
        write_hour(self.path(), table, gateway, hour, file);
    }
}

/// Writes the file of an hour.
pub fn write_hour(
    store: &Path,
    table: &'static Table,
    gateway: &str,
    hour: Utc,
    file: &[u8],
) -> PathBuf {
    let name = ObjectName::new(table, gateway, hour, HOUR);
    let path = store.join(name.path().as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, file).unwrap();
    path
}
