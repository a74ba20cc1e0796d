//! Flow rows read back, for showing a few of them.

use arrow::{
    array::{Array as _, PrimitiveArray},
    datatypes::{ArrowPrimitiveType, UInt8Type, UInt16Type, UInt64Type},
};
use serde::Serialize;

use crate::{
    ask::open::{Consultation, Error},
    table::{FLOWS, reader::Rows},
};

/// A flow row, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of the schema page")]
pub struct Row {
    pub member_ip: String,
    pub member_port: Option<u16>,
    pub remote_ip: String,
    pub remote_port: Option<u16>,
    pub protocol: u8,
    pub icmp_type: Option<u8>,
    pub packets_up: u64,
    pub bytes_up: u64,
    pub packets_down: u64,
    pub bytes_down: u64,
    pub initiator: String,
}

impl Row {
    /// The protocol as people call it.
    #[must_use]
    pub fn protocol_name(&self) -> String {
        match (self.protocol, self.icmp_type) {
            (1 | 58, Some(0 | 129)) => "pong".to_owned(),
            (1 | 58, Some(8 | 128)) => "ping".to_owned(),
            (1 | 58, Some(other)) => format!("icmp {other}"),
            (6, _) => "tcp".to_owned(),
            (17, _) => "udp".to_owned(),
            (other, _) => other.to_string(),
        }
    }
}

/// Reads the flow rows of a small store; a thread that may wait calls it.
pub fn read(consultation: &Consultation) -> Result<Vec<Row>, Error> {
    let mut rows = vec![];
    for gateway in consultation.gateways(&[&FLOWS])? {
        for object in consultation.all_objects(&FLOWS, &gateway)?.known {
            let reader = consultation.open(&FLOWS, &object)?;
            reader.for_each(|of_file| add(of_file, &mut rows))?;
        }
    }
    Ok(rows)
}

fn add(of_file: &Rows, rows: &mut Vec<Row>) -> Result<(), Error> {
    let text = |name| of_file.texts(name);
    let [member_ip, remote_ip, initiator] =
        [text("member_ip")?, text("remote_ip")?, text("initiator")?];
    let port = |name| of_file.numbers::<UInt16Type>(name);
    let [member_port, remote_port] = [port("member_port")?, port("remote_port")?];
    let byte = |name| of_file.numbers::<UInt8Type>(name);
    let [protocol, icmp_type] = [byte("protocol")?, byte("icmp_type")?];
    let count = |name| of_file.numbers::<UInt64Type>(name);
    let [packets_up, bytes_up] = [count("packets_up")?, count("bytes_up")?];
    let [packets_down, bytes_down] = [count("packets_down")?, count("bytes_down")?];
    rows.extend((0..of_file.count()).map(|row| Row {
        member_ip: member_ip.value(row).to_owned(),
        member_port: valid(member_port, row),
        remote_ip: if remote_ip.is_valid(row) { remote_ip.value(row) } else { "" }.to_owned(),
        remote_port: valid(remote_port, row),
        protocol: protocol.value(row),
        icmp_type: valid(icmp_type, row),
        packets_up: packets_up.value(row),
        bytes_up: bytes_up.value(row),
        packets_down: packets_down.value(row),
        bytes_down: bytes_down.value(row),
        initiator: initiator.value(row).to_owned(),
    }));
    Ok(())
}

/// The value of a row that may have none.
fn valid<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}
