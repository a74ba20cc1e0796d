//! The files of the store that belong together: flow rows, and the ledger that proves them.

use bytes::Bytes;
use object_store::path::Path;

use super::{
    HourFile,
    files::FileIdentity,
    header::Header,
    merge::{Duplicates, Rows},
};
use crate::{
    record::clock::Utc,
    table::{
        self, FLOWS, FlowsWriter, LEDGER, ledger,
        metadata::{self, Description, Facts},
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
pub fn encode(file: &HourFile) -> Result<Encoded, Error> {
    let header = Header::of(&file.runs).unwrap_or_default();
    let mut rows = Rows::new(&file.runs, Duplicates::KeepBoth)?;
    let mut writer = FlowsWriter::new(vec![])?;
    while rows.next_row(|row| writer.push(row).map_err(Error::Table))? {}
    let count = writer.rows();
    let description = description(&file.identity, &header);
    let mut pairs = description.pairs(&FLOWS, count);
    pairs.push(metadata::ledger_pair(&header.windows));
    let flows = Bytes::from(writer.finish(pairs)?);
    let flows = (count > 0).then_some(flows);
    let ledger = ledger::encode(&header.windows, |rows| {
        let mut pairs = description.pairs(&LEDGER, rows as u64);
        pairs.extend(metadata::flows_pairs(count, flows.as_ref()));
        pairs
    })?;
    Ok(Encoded { flows, ledger })
}

/// Encodes the ledger of flows that the store has, of which its ledger does not account for all: some of the rest is
/// in runs of the file. `None` where none is, or where these runs have epochs that the flows have not.
pub fn complete(
    file: &HourFile,
    flows: &Bytes,
    object: &Path,
    ledger: &Bytes,
) -> Result<Option<Bytes>, Error> {
    let (Some(stored), Some(known)) = (Facts::of(flows), Facts::of(ledger)) else {
        return Ok(None);
    };
    let all = stored.epochs.unwrap_or_default();
    let known = known.epochs.unwrap_or_default();
    let rest = all.minus(&known);
    let mut runs = file.runs.clone();
    runs.retain(|run| run.header.held().meets(&rest));
    let Some(header) = Header::of(&runs) else { return Ok(None) };
    let held = header.held();
    if !all.contains(&held) {
        return Ok(None);
    }
    let these = description(&file.identity, &header);
    let start = stored.window_start.unwrap_or(these.start);
    let lineage = stored.lineage.as_deref().unwrap_or(these.lineage);
    let whole = Description { start, lineage, epochs: known.union(&held), ..these };
    let completed = ledger::complete(object, ledger, &header.windows, &held, |rows| {
        let mut pairs = whole.pairs(&LEDGER, rows as u64);
        pairs.extend(metadata::flows_pairs(stored.rows.unwrap_or(0), Some(flows)));
        pairs
    });
    Ok(completed?)
}

fn description<'a>(identity: &'a FileIdentity, header: &Header) -> Description<'a> {
    let FileIdentity { lineage, hour_ns, policy, window_ms, gateway, numbering, .. } = identity;
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use flowlog_common::flow::Direction;

    use super::*;
    use crate::{
        record::epoch::{Epoch, EpochNumber},
        spool::{
            Files,
            files::merge,
            tests::{epoch, key, spool},
        },
    };

    #[test]
    fn a_ledger_that_is_completed_is_the_one_that_was_lost() {
        let (spool, mut epochs) = spool();
        let mut files = Files::new(Arc::clone(&spool), vec![]);
        for minute in 1..5 {
            let (opened, closed) = (minute * 60, (minute + 1) * 60);
            let flows = [(key(1), opened, Direction::Up)];
            let epoch = Epoch { number: EpochNumber::new(minute), ..epoch(opened, closed, &flows) };
            let run = epochs.append(&epoch, Duration::ZERO).unwrap();
            let path = files.place(&run.header.windows[0], &run.header).unwrap();
            files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        }
        let all = files.growing().remove(0);
        let of = |places: &[usize]| HourFile {
            runs: places.iter().map(|place| all.runs[*place].clone()).collect(),
            ..all.clone()
        };
        let Encoded { flows: Some(flows), ledger } = encode(&all).unwrap() else { panic!() };
        let object = Path::from("ledger/before.parquet");
        let before = encode(&of(&[0, 1])).unwrap().ledger;
        // The spool has lost the second run since.
        let completed = complete(&of(&[0, 2, 3]), &flows, &object, &before).unwrap();
        assert_eq!(completed, Some(ledger));
        // It has lost the fourth, too.
        let completed = complete(&of(&[0, 2]), &flows, &object, &before).unwrap().unwrap();
        assert_eq!(Facts::of(&completed).unwrap().epochs, Some("1-3".parse().unwrap()));
        assert_eq!(complete(&of(&[0, 1]), &flows, &object, &before).unwrap(), None);
    }
}
