//! The files of the store that belong together: flow rows, and the ledger that proves them.

use bytes::Bytes;

use super::{Error, FlowsWriter, ledger, metadata};
use crate::spool::{
    Growing,
    header::Header,
    merge::{Rows, Same},
};

/// What is put into the store.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The flow rows; `None` where there are none.
    pub flows: Option<Bytes>,
    /// The ledger.
    pub ledger: Bytes,
}

/// Encodes what there is of a file that grows.
pub fn encode(file: &Growing, gateway: &str) -> Result<Encoded, Error> {
    let header = Header::of(&file.runs).unwrap_or_default();
    let mut rows = Rows::new(&file.runs, Same::Keep)?;
    let mut writer = FlowsWriter::new(vec![])?;
    while rows.next_row(|row| writer.push(row))? {}
    let count = writer.rows();
    let mut pairs = metadata::pairs(&file.about, gateway, &header.windows, count);
    pairs.push(metadata::ledger_pair(&header.windows));
    let flows = Bytes::from(writer.finish(pairs)?);
    let ledger = ledger::encode(&header.windows, |rows| {
        metadata::pairs(&file.about, gateway, &header.windows, rows as u64)
    })?;
    Ok(Encoded { flows: (count > 0).then_some(flows), ledger })
}
