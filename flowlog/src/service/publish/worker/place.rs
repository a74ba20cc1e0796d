//! Where a file goes, given what the stores have of its hour.

use super::{super::stored, Fault, Part, Worker, rows};
use crate::{
    record::{epoch_set::EpochSet, location::Location},
    spool::{
        HourFile,
        decide::{Decision, Ours, Stored, decide, elsewhere},
        files::FileIdentity,
        planted::{Bug, planted},
    },
    store::Store,
};

/// Where a file goes.
pub(super) enum Place {
    Put(Part),
    /// The store has these epochs in another way.
    Close(EpochSet),
    /// Nowhere before the ledger of this number is completed, or these epochs have left the spool.
    Complete(u32, EpochSet),
}

impl Worker {
    /// What the configured store has of the hour of a file that goes to another one. A spool that was restored
    /// from a copy does not know what it has put there.
    pub(super) async fn beyond(
        &self,
        url: &Location,
        identity: &FileIdentity,
    ) -> Result<Vec<Stored>, Fault> {
        let (store, configured) = self.targets.lock().await.open(None, &identity.gateway).await?;
        if configured == *url {
            return Ok(vec![]);
        }
        let stored = stored::of_hour(&store, identity).await?;
        let mut ledgers: Vec<Stored> =
            stored.into_iter().filter(|file| file.ledger.is_some()).collect();
        for (file, part) in ledgers.iter_mut().zip((0..u32::MAX).rev()) {
            // It is in nobody's way here, and nothing that could be replaced.
            let proven = file.proven(&identity.numbering);
            file.part = part;
            file.flows = None;
            if let Some(ledger) = &mut file.ledger {
                ledger.lineage = None;
                ledger.flow_rows = Some(0);
                if ledger.numbering.as_ref() == Some(&identity.numbering) {
                    ledger.epochs = proven;
                }
            }
        }
        Ok(ledgers)
    }

    /// The numbers that other files of this process have in an hour, where somebody deleted them from the store.
    fn taken(&self, identity: &FileIdentity, stored: &[Stored]) -> Vec<Stored> {
        let state = self.state();
        let of_hour = state.parts.values().filter(|part| part.hour_ns == identity.hour_ns);
        let numbers = of_hour.map(|part| part.number);
        let gone = numbers.filter(|number| stored.iter().all(|stored| stored.part != *number));
        gone.map(|part| Stored { part, ..Stored::default() }).collect()
    }

    /// Where a file goes.
    pub(super) async fn decide(
        &self,
        store: &Store,
        file: &HourFile,
        beyond: Vec<Stored>,
    ) -> Result<Place, Fault> {
        let mut stored = stored::of_hour(store, &file.identity).await?;
        stored.extend(beyond);
        stored.extend(self.taken(&file.identity, &stored));
        if planted(Bug::NoFooters) {
            stored.retain(|stored| stored.is_of(&file.identity.lineage));
        }
        let (epochs, hour_ns) = (file.held(), file.identity.hour_ns);
        let (lineage, numbering) = (&file.identity.lineage, &file.identity.numbering);
        let ours = Ours { lineage, numbering, epochs: &epochs, rows: rows(file) };
        let decision = decide(&ours, &stored);
        let elsewhere = elsewhere(&ours, &stored);
        tracing::debug!(?ours, ?stored, ?decision, "decided about a file");
        Ok(match decision {
            Decision::Create(number) => {
                Place::Put(Part { number, hour_ns, has: [false; 2], elsewhere })
            }
            Decision::Replace(number) => {
                let there = stored.iter().find(|stored| stored.part == number);
                let has = there
                    .map_or([false; 2], |there| [there.flows.is_some(), there.ledger.is_some()]);
                Place::Put(Part { number, hour_ns, has, elsewhere })
            }
            Decision::Close(safe) => Place::Close(safe),
            Decision::Complete(number, safe) => Place::Complete(number, safe),
        })
    }
}
