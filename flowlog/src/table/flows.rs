//! The `flows` table: its description, and how it is written row by row.

mod chunk;
mod columns;
mod description;
mod hybrid;
pub mod layout;

use std::{io::Write, sync::Arc};

use flowlog_common::flow::{Direction, partial};
use parquet::{
    arrow::ArrowSchemaConverter,
    errors::ParquetError,
    file::{metadata::KeyValue, writer::SerializedFileWriter},
};
use zstd::bulk::Compressor;

use self::{chunk::Columns, columns::Column, layout::Layout};
use super::Error;
use crate::record::{
    address::{Key, Text},
    flow::{Activity, FlowRecord},
};

pub use description::FLOWS;

/// Writes the `flows` table row by row, with bounded memory, into anything.
pub struct FlowsWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    compressor: Compressor<'static>,
    row_group: usize,
    group: RowGroup,
    /// Of the row groups that are written.
    rows: u64,
}

impl<W: Write + Send> FlowsWriter<W> {
    /// Begins a file.
    pub fn new(to: W) -> Result<Self, Error> {
        Self::with_layout(to, &Layout::default())
    }

    /// Begins a file of another layout, to measure it.
    pub fn with_layout(to: W, layout: &Layout) -> Result<Self, Error> {
        let begin = || {
            let schema =
                ArrowSchemaConverter::new().schema_root(FLOWS.name).convert(&FLOWS.schema())?;
            let properties = Arc::new(layout.properties()?);
            SerializedFileWriter::new(to, schema.root_schema_ptr(), properties)
        };
        let file = begin().map_err(parquet)?;
        let compressor = Compressor::new(layout.zstd_level);
        let compressor = compressor.map_err(|source| parquet(source.into()))?;
        let (row_group, group) = (layout.row_group, RowGroup::default());
        Ok(Self { file, compressor, row_group, group, rows: 0 })
    }

    /// Adds a row; rows come in the order of the file, see [`crate::record::order`].
    pub fn push(&mut self, row: &FlowRecord<'_>) -> Result<(), Error> {
        self.group.push(row);
        if self.group.rows < self.row_group { Ok(()) } else { self.flush().map_err(parquet) }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows + self.group.rows as u64
    }

    /// Writes the footer with these key-value pairs.
    pub fn finish(mut self, metadata: Vec<KeyValue>) -> Result<W, Error> {
        let finish = || {
            if self.group.rows > 0 {
                self.flush()?;
            }
            for pair in metadata {
                self.file.append_key_value_metadata(pair);
            }
            Ok(())
        };
        finish().map_err(parquet)?;
        self.file.into_inner().map_err(parquet)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        self.rows += self.group.rows as u64;
        let properties = self.file.properties().clone();
        let columns = self.file.schema_descr().columns().to_vec();
        let mut columns = Columns {
            group: self.file.next_row_group()?,
            left: &columns,
            properties: &properties,
            compressor: &mut self.compressor,
        };
        self.group.write(&mut columns)?;
        columns.finish()
    }
}

fn parquet(source: ParquetError) -> Error {
    Error::Parquet { dataset: FLOWS.name, source }
}

/// The rows of a row group, by column.
#[derive(Default)]
struct RowGroup {
    rows: usize,
    /// Names of interfaces, by the first row that has them.
    interfaces: Vec<Box<str>>,
    interface: Column<usize>,
    flow_start: Column<i64>,
    flow_end: Column<i64>,
    member_ip: Column<Key>,
    remote_ip: Column<Key>,
    member_port: Column<i32>,
    remote_port: Column<i32>,
    protocol: Column<i32>,
    icmp_type: Column<i32>,
    icmp_code: Column<i32>,
    packets_up: Column<i64>,
    bytes_up: Column<i64>,
    packets_down: Column<i64>,
    bytes_down: Column<i64>,
    tcp_flags_up: Column<i32>,
    tcp_flags_down: Column<i32>,
    initiator: Column<Direction>,
    partial: Column<&'static str>,
}

impl RowGroup {
    fn push(&mut self, row: &FlowRecord<'_>) {
        // Destructured, so that a new field cannot be forgotten.
        let FlowRecord { interface, member, remote, member_port, remote_port, protocol, activity } =
            *row;
        let Activity {
            start_ms,
            end_ms,
            packets_up,
            bytes_up,
            packets_down,
            bytes_down,
            tcp_flags_up,
            tcp_flags_down,
            partial,
            initiator,
        } = activity;
        let port = |port: u16| Some(i32::from(port)).filter(|_| row.has_ports());
        let [icmp_type, icmp_code] = row.icmp().map_or([None; 2], |icmp| icmp.map(Some));
        let flags = |flags: u8| Some(i32::from(flags)).filter(|_| protocol == TCP);

        let name = self.interface_number(interface);
        self.interface.push(name);
        self.flow_start.push(start_ms);
        self.flow_end.push(end_ms);
        self.member_ip.push(Key::from(*member.in_clear()));
        self.remote_ip.push_optional(remote.map(|remote| Key::from(*remote.in_clear())));
        self.member_port.push_optional(port(member_port));
        self.remote_port.push_optional(remote.and_then(|_| port(remote_port)));
        self.protocol.push(protocol.into());
        self.icmp_type.push_optional(icmp_type.map(i32::from));
        self.icmp_code.push_optional(icmp_code.map(i32::from));
        self.packets_up.push(packets_up.cast_signed());
        self.bytes_up.push(bytes_up.cast_signed());
        self.packets_down.push(packets_down.cast_signed());
        self.bytes_down.push(bytes_down.cast_signed());
        self.tcp_flags_up.push_optional(flags(tcp_flags_up));
        self.tcp_flags_down.push_optional(flags(tcp_flags_down));
        self.initiator.push(initiator);
        self.partial.push_optional(partial_name(partial));
        self.rows += 1;
    }

    /// A number for the name of an interface, of which there are few.
    fn interface_number(&mut self, name: &str) -> usize {
        self.interfaces.iter().position(|known| **known == *name).unwrap_or_else(|| {
            self.interfaces.push(name.into());
            self.interfaces.len() - 1
        })
    }

    /// Writes the columns in the order of the schema, and is empty then.
    fn write<W: Write + Send>(&mut self, to: &mut Columns<'_, '_, W>) -> Result<(), ParquetError> {
        self.rows = 0;
        let interfaces = std::mem::take(&mut self.interfaces);
        self.interface.write_texts(to, |name| interfaces[name].as_bytes())?;
        self.flow_start.write(to)?;
        self.flow_end.write(to)?;
        self.member_ip.write_texts(to, Text::from)?;
        self.remote_ip.write_texts(to, Text::from)?;
        self.member_port.write(to)?;
        self.remote_port.write(to)?;
        self.protocol.write(to)?;
        self.icmp_type.write(to)?;
        self.icmp_code.write(to)?;
        self.packets_up.write(to)?;
        self.bytes_up.write(to)?;
        self.packets_down.write(to)?;
        self.bytes_down.write(to)?;
        self.tcp_flags_up.write(to)?;
        self.tcp_flags_down.write(to)?;
        self.initiator.write_texts(to, initiator_name)?;
        self.partial.write_texts(to, |name| name)
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// UDP, DCCP, SCTP and UDP-Lite, besides TCP.
const WITH_PORTS: [u8; 5] = [TCP, 17, 33, 132, 136];

impl FlowRecord<'_> {
    /// Whether the ports are known. Where the row is partial and both are zero they are not:
    /// nobody talks from port 0 to port 0.
    fn has_ports(&self) -> bool {
        let is_unknown =
            self.activity.partial != 0 && self.member_port == 0 && self.remote_port == 0;
        WITH_PORTS.contains(&self.protocol) && !is_unknown
    }

    /// ICMP type and code, which stand in place of the ports.
    fn icmp(&self) -> Option<[u8; 2]> {
        let of_this_version = if self.member.in_clear().is_ipv4() { ICMP } else { ICMPV6 };
        Some(self.member_port.to_be_bytes()).filter(|_| self.protocol == of_this_version)
    }
}

const fn initiator_name(initiator: Direction) -> &'static str {
    match initiator {
        Direction::Up => "member",
        Direction::Down => "remote",
    }
}

/// The gravest reason why a row is partial.
fn partial_name(reasons: u8) -> Option<&'static str> {
    [
        (partial::OVERFLOW, "overflow"),
        (partial::FRAGMENT_WITHOUT_FIRST, "fragment without first"),
        (partial::TRANSPORT_HEADER_CUT, "transport header cut"),
    ]
    .into_iter()
    .find_map(|(reason, name)| (reasons & reason != 0).then_some(name))
}

#[cfg(test)]
mod tests;
