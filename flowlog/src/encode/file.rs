//! The files of the store that belong together: flow rows, and the ledger that proves them.

use bytes::Bytes;

use super::{
    Error, FlowsWriter, ledger,
    metadata::{self, Pair},
};
use crate::{
    spool::{
        Growing,
        header::Header,
        merge::{Rows, Same},
    },
    store::layout::Dataset,
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
pub fn encode(file: &Growing) -> Result<Encoded, Error> {
    let header = Header::of(&file.runs).unwrap_or_default();
    let mut rows = Rows::new(&file.runs, Same::Keep)?;
    let mut writer = FlowsWriter::new(vec![])?;
    while rows.next_row(|row| writer.push(row))? {}
    let count = writer.rows();
    let pair = Pair { about: &file.about, header: &header };
    let mut pairs = pair.of(Dataset::Flows, count);
    pairs.push(metadata::ledger_pair(&header.windows));
    let flows = Bytes::from(writer.finish(pairs)?);
    let flows = (count > 0).then_some(flows);
    let ledger = ledger::encode(&header.windows, |rows| {
        let mut pairs = pair.of(Dataset::Ledger, rows as u64);
        pairs.extend(metadata::flows_pairs(count, flows.as_ref()));
        pairs
    })?;
    Ok(Encoded { flows, ledger })
}
