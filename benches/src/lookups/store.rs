//! A store of the rows, by the product's own encoder: a file an hour.

use std::{fs, path::Path, time::Duration};

use flowlog::{
    record::{
        clock::Utc,
        epoch_set::EpochSet,
        flow::{Activity, FlowRecord},
        order,
    },
    table::{self, FLOWS, FlowsWriter, ObjectName, metadata::Description},
};
use flowlog_common::flow::Direction;

use super::rows::{Hour, Row};

const GATEWAY: &str = "bench";
const HOUR: Duration = Duration::from_hours(1);
const WINDOW_MS: u64 = 300_000;
const ICMP: [u8; 2] = [1, 58];

/// Writes an hour into the store, and returns how many rows that were.
pub fn write(store: &Path, hour: &Hour) -> anyhow::Result<usize> {
    let rows = hour.rows()?;
    let name = ObjectName::new(&FLOWS, GATEWAY, Utc::from_ms(hour.begins_ms), HOUR);
    let path = store.join(name.path().as_ref());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, encode(&rows, Utc::from_ms(hour.begins_ms))?)?;
    Ok(rows.len())
}

/// Encodes rows as a file; rows of one flow stay apart, as those of twelve windows do.
pub fn encode(rows: &[Row], start: Utc) -> Result<Vec<u8>, table::Error> {
    let mut records: Vec<_> = rows.iter().map(record).collect();
    let mut file = FlowsWriter::new(vec![])?;
    order::sorted(&mut records).try_for_each(|record| file.push(record))?;
    let description = Description {
        lineage: "bench",
        gateway: GATEWAY,
        policy: "",
        start,
        window_ms: WINDOW_MS,
        epochs: EpochSet::default(),
        numbering: "bench",
    };
    let rows = file.rows();
    file.finish(description.pairs(&FLOWS, rows))
}

fn record(row: &Row) -> FlowRecord<'static> {
    // The drain has type and code on both sides.
    let is_icmp = ICMP.contains(&row.protocol);
    FlowRecord {
        interface: "wg0",
        member: row.member.into(),
        remote: Some(row.remote.into()),
        member_port: if is_icmp { row.remote_port } else { row.member_port },
        remote_port: row.remote_port,
        protocol: row.protocol,
        activity: Activity {
            start_ms: row.start_ms,
            end_ms: row.end_ms,
            packets_up: row.packets_up,
            bytes_up: row.bytes_up,
            packets_down: row.packets_down,
            bytes_down: row.bytes_down,
            tcp_flags_up: row.tcp_flags_up,
            tcp_flags_down: row.tcp_flags_down,
            partial: 0,
            initiator: if row.is_from_remote { Direction::Down } else { Direction::Up },
        },
    }
}
