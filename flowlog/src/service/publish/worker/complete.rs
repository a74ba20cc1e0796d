//! Completing a ledger that does not account for all of its flows.

use super::{super::events::Event, Fault, Worker};
use crate::{
    spool::{HourFile, encode},
    store::Store,
    table::{FLOWS, HOUR, LEDGER, ObjectName},
};

impl Worker {
    /// Puts a ledger that accounts for all flows of a number, where what it lacks is in the spool. Returns
    /// whether it could be done.
    ///
    /// It takes two faults to come to that: the store lost the ledger of flows that it took, and the spool a run
    /// that the ledger before it accounts for. The flows can be neither replaced nor put again then.
    pub(super) async fn complete(
        &self,
        store: &Store,
        file: &HourFile,
        number: u32,
    ) -> Result<bool, Fault> {
        let [flows, ledger] = [&FLOWS, &LEDGER].map(|table| {
            let name = ObjectName::new(table, &file.identity.gateway, file.hour(), HOUR);
            ObjectName { part: number, ..name }.path()
        });
        let (flows, before) = (store.read(&flows).await?, store.read(&ledger).await?);
        let completed = encode::complete(file, &flows, &ledger, &before).map_err(Fault::Encode)?;
        let Some(completed) = completed else { return Ok(false) };
        Event::Completed { ledger: ledger.as_ref() }.emit();
        store.replace(&ledger, &completed).await?;
        store.confirm(&ledger, &completed, true).await?;
        Ok(true)
    }
}
