//! What the ledgers in the store state to have been counted within a time.

use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use object_store::path::Path;

use super::stored;
use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    spool::identity::Lost,
    store::{self, Store},
    table::{
        HOUR, LEDGER, ObjectName, Partition, Reader,
        metadata::Facts,
        reader::{self, Rows},
    },
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Epochs of the numbering.
    pub(super) epochs: EpochSet,
    /// Times in which some interface was counted, nanoseconds of UTC.
    pub(super) times: Vec<(i64, i64)>,
}

/// More hours than flowlog is ever down are rather an error of the clock.
const MOST_HOURS: usize = 24 * 62;
const MILLISECOND: i64 = 1_000_000;

/// A ledger, and what it states of itself.
pub(super) struct Ledger {
    object: Path,
    facts: Facts,
    file: Bytes,
    /// Its epochs whose flows are gone.
    unproven: EpochSet,
}

/// The ledgers of the hours in which something was lost.
pub(super) async fn ledgers(store: &Store, lost: &Lost) -> Result<Vec<Ledger>, store::Error> {
    let mut files = vec![];
    let first = Utc::from_ns(lost.start_ns).floor(HOUR);
    let hours = std::iter::successors(Some(first), |hour| Some(hour.plus(HOUR)));
    for hour in hours.take_while(|hour| hour.ns() <= lost.end_ns).take(MOST_HOURS) {
        let folder = Partition::of(&LEDGER, &lost.gateway, hour).folder();
        for object in store.list_folder(&folder).await?.objects {
            if ObjectName::parse(&object.location).is_some() {
                let file = store.read(&object.location).await?;
                let Some(mut facts) = Facts::of(&file) else { continue };
                let object = object.location;
                let proven = stored::proven(store, &object, &facts).await?;
                let unproven = facts.epochs.as_ref().map(|epochs| epochs.minus(&proven));
                facts.epochs = facts.epochs.map(|_| proven);
                let unproven = unproven.unwrap_or_default();
                files.push(Ledger { object, facts, file, unproven });
            }
        }
    }
    Ok(files)
}

impl Counted {
    /// What ledgers state of something that is lost.
    pub(super) fn of(ledgers: &[Ledger], lost: &Lost) -> Self {
        let mut counted = Self::default();
        for Ledger { facts, .. } in ledgers {
            if facts.numbering.as_ref() == Some(&lost.numbering) {
                counted.epochs = counted.epochs.union(&facts.epochs.clone().unwrap_or_default());
            }
        }
        let missing = lost.epochs.minus(&counted.epochs);
        for Ledger { object, facts, file, unproven } in ledgers {
            let is_of = facts.numbering.as_ref() == Some(&lost.numbering);
            if lost.epochs.is_empty() || is_of {
                let missing = if is_of { missing.union(unproven) } else { unproven.clone() };
                counted.add_times(object, file, &missing);
            }
        }
        counted
    }

    /// Adds the times of the windows of a ledger of which no epoch is missing. What cannot be read of a ledger
    /// states nothing, nor does one of version 1, which has no numbers.
    fn add_times(&mut self, object: &Path, file: &Bytes, missing: &EpochSet) {
        let opened = Reader::open(&LEDGER, object, file.clone());
        let Some(reader) = opened.ok().filter(|reader| reader.version() > 1) else { return };
        let columns = ["observed_start", "observed_end", "epoch_first", "epoch_last"];
        let batches = reader.select(&columns).and_then(Reader::batches);
        for rows in batches.into_iter().flat_map(|batches| batches.map_while(Result::ok)) {
            self.add_rows(&rows, missing).unwrap_or_default();
        }
    }

    fn add_rows(&mut self, rows: &Rows, missing: &EpochSet) -> Result<(), reader::Error> {
        let (start, end) = (rows.times("observed_start")?, rows.times("observed_end")?);
        let number = |name| rows.numbers::<UInt64Type>(name);
        let (first, last) = (number("epoch_first")?, number("epoch_last")?);
        for row in 0..rows.count() {
            let epochs = EpochSet::range(first.value(row), last.value(row));
            let (start, end) = (start.value(row), end.value(row));
            if start < end && !epochs.meets(missing) {
                // What begins or ends within a millisecond is not known to the nanosecond.
                let (start, end) = (Utc::from_ms(start).ns(), Utc::from_ms(end).ns());
                self.times.push((start, end.saturating_add(MILLISECOND - 1)));
            }
        }
        Ok(())
    }
}
