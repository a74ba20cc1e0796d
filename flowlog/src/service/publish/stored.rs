//! What the store has of an hour.

use std::collections::BTreeMap;

use super::events::Event;
use crate::{
    record::clock::Utc,
    spool::{
        decide::{Facts, Stored},
        files::FileIdentity,
    },
    store::{self, Store},
    table::{FLOWS, HOUR, LEDGER, ObjectName, Table, metadata},
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
        // What another file's ledger proves need not be read twice.
        let is_enough = |ledger: &Facts| {
            ledger.epochs.is_some() && ledger.lineage.as_deref() != Some(&identity.lineage)
        };
        let is_proven = file.ledger.as_ref().is_some_and(is_enough);
        file.flows = Some(if is_proven { Facts::default() } else { facts(store, &name).await? });
    }
    Ok(stored.into_values().collect())
}

async fn facts(store: &Store, name: &ObjectName) -> Result<Facts, store::Error> {
    let path = name.path();
    let file = store.read(&path).await?;
    let Some(metadata::Facts { lineage, numbering, epochs, rows, .. }) = metadata::Facts::of(&file)
    else {
        Event::Unsound { path: path.as_ref() }.emit();
        return Ok(Facts::default());
    };
    Ok(Facts { lineage, numbering, epochs, rows: rows.unwrap_or(0) })
}
