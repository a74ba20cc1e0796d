//! A table of flows, as the daemon has them.

mod synthetic;

use std::{fs::File, net::IpAddr, path::Path};

use anyhow::{Context as _, ensure};
use arrow::{
    array::{Array, AsArray as _, FixedSizeBinaryArray, RecordBatch},
    datatypes::{ArrowPrimitiveType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt64Type},
    ipc::reader::FileReader,
};
use flowlog::record::flow::{Activity, FlowRecord};
use flowlog_common::flow::{Direction, FlowKey, detail};

/// The flows of both families.
#[derive(Default)]
pub struct Table {
    pub v4: Flows<4>,
    pub v6: Flows<16>,
}

/// The flows of one family.
pub struct Flows<const A: usize> {
    pub keys: Vec<FlowKey<A>>,
    pub activities: Vec<Activity>,
}

impl<const A: usize> Default for Flows<A> {
    fn default() -> Self {
        Self { keys: vec![], activities: vec![] }
    }
}

const ICMP: u8 = 1;
/// What an IPv4 address begins with where it stands among IPv6 addresses.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Table {
    /// Reads an Arrow file with the columns of the standard flow table: addresses of 16 bytes,
    /// times in microseconds, ICMP's type and code as the remote port.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let mut table = Self::default();
        for batch in FileReader::try_new_buffered(file, None)? {
            table.add(&batch?)?;
        }
        ensure!(table.rows() > 0, "{} has no rows", path.display());
        Ok(table)
    }

    /// A table for those who have none, always the same.
    pub fn synthetic() -> anyhow::Result<Self> {
        synthetic::table()
    }

    pub fn rows(&self) -> usize {
        self.v4.keys.len() + self.v6.keys.len()
    }

    pub fn records(&self) -> Vec<FlowRecord<'static>> {
        let v4 = (0..self.v4.keys.len()).map(|flow| self.v4.record(flow));
        let v6 = (0..self.v6.keys.len()).map(|flow| self.v6.record(flow));
        v4.chain(v6).collect()
    }

    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let start = numbers::<TimestampMicrosecondType>(batch, "start")?;
        let end = numbers::<TimestampMicrosecondType>(batch, "end")?;
        let (member, remote) = (addresses(batch, "member_ip")?, addresses(batch, "remote_ip")?);
        let member_port = numbers::<UInt16Type>(batch, "member_port")?;
        let remote_port = numbers::<UInt16Type>(batch, "remote_port")?;
        let protocol = numbers::<UInt8Type>(batch, "proto")?;
        let packets_up = numbers::<UInt64Type>(batch, "packets_up")?;
        let bytes_up = numbers::<UInt64Type>(batch, "bytes_up")?;
        let packets_down = numbers::<UInt64Type>(batch, "packets_down")?;
        let bytes_down = numbers::<UInt64Type>(batch, "bytes_down")?;
        let flags_up = numbers::<UInt8Type>(batch, "flags_up")?;
        let flags_down = numbers::<UInt8Type>(batch, "flags_down")?;
        let initiator = numbers::<UInt8Type>(batch, "initiator")?;
        for row in 0..batch.num_rows() {
            let activity = Activity {
                start_ms: start[row].div_euclid(1_000),
                end_ms: end[row].div_euclid(1_000),
                packets_up: packets_up[row],
                bytes_up: bytes_up[row],
                packets_down: packets_down[row],
                bytes_down: bytes_down[row],
                tcp_flags_up: flags_up[row],
                tcp_flags_down: flags_down[row],
                partial: 0,
                initiator: if initiator[row] == 0 { Direction::Up } else { Direction::Down },
            };
            let protocol = protocol[row];
            let remote_port = remote_port[row];
            let member_port = if protocol == ICMP { remote_port } else { member_port[row] };
            let ports = [member_port, remote_port];
            let (member, remote) = (member.value(row), remote.value(row));
            match (member.strip_prefix(&MAPPED), remote.strip_prefix(&MAPPED)) {
                (Some(member), Some(remote)) => {
                    self.v4.push(member, remote, ports, protocol, activity)?;
                }
                _ => self.v6.push(member, remote, ports, protocol, activity)?,
            }
        }
        Ok(())
    }
}

impl<const A: usize> Flows<A> {
    fn push(
        &mut self,
        member: &[u8],
        remote: &[u8],
        [member_port, remote_port]: [u16; 2],
        protocol: u8,
        activity: Activity,
    ) -> anyhow::Result<()> {
        self.keys.push(FlowKey {
            member: member.try_into()?,
            remote: remote.try_into()?,
            member_port: member_port.to_be_bytes(),
            remote_port: remote_port.to_be_bytes(),
            interface: 0,
            protocol,
            detail: detail::FULL,
        });
        self.activities.push(activity);
        Ok(())
    }

    pub fn record(&self, flow: usize) -> FlowRecord<'static>
    where
        IpAddr: From<[u8; A]>,
    {
        let key = &self.keys[flow];
        FlowRecord {
            interface: "wg0",
            member: IpAddr::from(key.member).into(),
            remote: Some(IpAddr::from(key.remote).into()),
            member_port: u16::from_be_bytes(key.member_port),
            remote_port: u16::from_be_bytes(key.remote_port),
            protocol: key.protocol,
            activity: self.activities[flow],
        }
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> anyhow::Result<&'a dyn Array> {
    let column = batch.column_by_name(name).with_context(|| format!("there is no {name}"))?;
    Ok(column.as_ref())
}

fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> anyhow::Result<&'a [T::Native]> {
    let column = column(batch, name)?.as_primitive_opt::<T>();
    Ok(column.with_context(|| format!("{name} has another type"))?.values())
}

fn addresses<'a>(batch: &'a RecordBatch, name: &str) -> anyhow::Result<&'a FixedSizeBinaryArray> {
    let column = column(batch, name)?.as_fixed_size_binary_opt();
    column.with_context(|| format!("{name} has another type"))
}
