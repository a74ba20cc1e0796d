//! What the store has of an hour.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::path::Path;

use super::events::Event;
use crate::{
    record::{clock::Utc, epoch_set::EpochSet},
    spool::{
        decide::{Facts, Stored},
        files::FileIdentity,
    },
    store::{self, Kind, Store},
    table::{FLOWS, HOUR, LEDGER, ObjectName, Partition, Reader, Table, digest::sha256, metadata},
};

/// Reads what the files state that are in the store of a gateway's hour.
pub(super) async fn of_hour(
    store: &Store,
    identity: &FileIdentity,
) -> Result<Vec<Stored>, store::Error> {
    let first = |table: &'static Table| {
        ObjectName::new(table, &identity.gateway, Utc::from_ns(identity.hour_ns), HOUR)
    };
    let mut stored: BTreeMap<u32, Stored> = BTreeMap::new();
    let mut flows = vec![];
    for table in [&LEDGER, &FLOWS] {
        let expected = first(table);
        for object in store.list_folder(&expected.partition.folder()).await?.objects {
            let Some(name) = ObjectName::parse(&object.location) else { continue };
            if (ObjectName { part: name.part, ..expected.clone() }) != name {
                continue;
            }
            let file = stored.entry(name.part).or_default();
            file.part = name.part;
            if *table == LEDGER {
                file.ledger = Some(facts(store, &name).await?);
            } else {
                flows.push(name);
            }
        }
    }
    for name in flows {
        let file = stored.entry(name.part).or_default();
        let claimed = file.ledger.as_ref();
        // A ledger that accounts for none proves them whatever is there.
        let is_read = claimed.is_none_or(|ledger| ledger.flow_rows != Some(0));
        let digest = claimed.and_then(|ledger| ledger.digest.clone());
        let flows =
            if is_read { Some(flows_of(store, &name, digest.as_ref()).await?) } else { None };
        file.flows = Some(flows.unwrap_or_default());
    }
    Ok(stored.into_values().collect())
}

/// What a file of flows states, and which of the epochs of its ledger it proves.
async fn flows_of(
    store: &Store,
    name: &ObjectName,
    expected: Option<&String>,
) -> Result<Facts, store::Error> {
    let path = name.path();
    let file = match store.read(&path).await {
        // As in an archive: it is there, and nobody can read it now.
        Err(error) if error.kind() == Kind::Denied => {
            return Ok(Facts { digest: expected.cloned(), ..Facts::default() });
        }
        file => file?,
    };
    let digest = expected.map(|_| sha256(&file));
    // The footer of a file tells nothing of the pages before it.
    let is_other = digest.as_ref() != expected;
    if is_other && !is_sound(&path, &file) {
        Event::Unsound { path: path.as_ref() }.emit();
        return Ok(Facts::default());
    }
    Ok(Facts { digest, ..facts_of(&path, &file) })
}

/// Whether all rows of a file of flows can be read, as far as this version knows how.
fn is_sound(path: &Path, file: &Bytes) -> bool {
    let Ok(reader) = Reader::open(&FLOWS, path, file.clone()) else { return true };
    reader.batches().is_ok_and(|mut batches| batches.all(|rows| rows.is_ok()))
}

/// The epochs of a ledger that its flows hold too, with the numbering of the ledger.
pub(super) async fn proven(
    store: &Store,
    object: &Path,
    facts: &metadata::Facts,
) -> Result<EpochSet, store::Error> {
    let claimed = facts.epochs.clone().unwrap_or_default();
    let Some(name) = ObjectName::parse(object) else { return Ok(claimed) };
    if facts.flows_rows.is_none_or(|rows| rows == 0) || claimed.is_empty() {
        return Ok(claimed);
    }
    let partition = Partition { table: &FLOWS, ..name.partition.clone() };
    let name = ObjectName { partition, ..name };
    let flows = match flows_of(store, &name, facts.flows_sha256.as_ref()).await {
        Ok(flows) => Some(flows),
        Err(error @ store::Error::Read { .. }) if error.kind() == Kind::Missing => None,
        Err(error) => return Err(error),
    };
    let file = Stored { part: name.part, flows, ledger: Some(of_metadata(facts.clone())) };
    Ok(file.proven(facts.numbering.as_deref().unwrap_or_default()).unwrap_or_default())
}

async fn facts(store: &Store, name: &ObjectName) -> Result<Facts, store::Error> {
    let path = name.path();
    let file = store.read(&path).await?;
    Ok(facts_of(&path, &file))
}

fn facts_of(path: &Path, file: &Bytes) -> Facts {
    let Some(facts) = metadata::Facts::of(file) else {
        Event::Unsound { path: path.as_ref() }.emit();
        return Facts::default();
    };
    of_metadata(facts)
}

fn of_metadata(facts: metadata::Facts) -> Facts {
    let metadata::Facts { lineage, numbering, epochs, rows, flows_rows, flows_sha256, .. } = facts;
    let rows = rows.unwrap_or(0);
    Facts { lineage, numbering, epochs, rows, flow_rows: flows_rows, digest: flows_sha256 }
}
