//! The files of the store that belong together: flow rows, and the ledger that proves them.

use bytes::Bytes;

use super::{
    Growing,
    files::About,
    header::Header,
    merge::{Rows, Same},
};
use crate::{
    record::clock::Utc,
    store::layout::Dataset,
    table::{
        self, FlowsWriter, ledger,
        metadata::{self, Description},
    },
};

/// Why a file cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rows cannot be read from the spool.
    #[error(transparent)]
    Spool(#[from] super::Error),
    /// The rows cannot be written as a table.
    #[error(transparent)]
    Table(#[from] table::Error),
}

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
    while rows.next_row(|row| writer.push(row).map_err(Error::Table))? {}
    let count = writer.rows();
    let description = description(&file.about, &header);
    let mut pairs = description.pairs(Dataset::Flows, count);
    pairs.push(metadata::ledger_pair(&header.windows));
    let flows = Bytes::from(writer.finish(pairs)?);
    let flows = (count > 0).then_some(flows);
    let ledger = ledger::encode(&header.windows, |rows| {
        let mut pairs = description.pairs(Dataset::Ledger, rows as u64);
        pairs.extend(metadata::flows_pairs(count, flows.as_ref()));
        pairs
    })?;
    Ok(Encoded { flows, ledger })
}

fn description<'a>(about: &'a About, header: &Header) -> Description<'a> {
    let About { lineage, hour_ns, policy, window_ms, gateway, numbering, .. } = about;
    let start = header.windows.first().map_or(*hour_ns, |window| window.start_ns);
    Description {
        lineage,
        gateway,
        policy,
        start: Utc::from_ns(start),
        window_ms: *window_ms,
        epochs: header.held(),
        numbering,
    }
}
