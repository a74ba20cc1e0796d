//! Reading a file back: what it says of itself, and the sums of its rows.
//!
//! Every file is compared with its digest, its columns and its number of rows. Flows and their ledger are also added
//! up, since they prove each other.

mod flows;
mod ledger;

use std::collections::BTreeMap;

use bytes::Bytes;
use flowlog_common::flow::Direction;
use object_store::path::Path;

use super::Depth;
use crate::{
    store,
    table::{
        FLOWS, LEDGER, Reader, Table,
        metadata::Facts,
        reader::{self, Fault},
    },
};
pub(super) use flows::Flows;
pub(in crate::ask) use ledger::{Ledger, NumberedGap};

/// Why a file cannot be added up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store does not hand it out.
    #[error(transparent)]
    Store(store::Error),
    /// It is no sound file of its table.
    #[error(transparent)]
    File(Fault),
    /// A row has a direction that does not exist.
    #[error("a row has a direction that is neither up nor down")]
    Direction,
    /// A row has a reason of a gap that does not exist.
    #[error("a row has a reason of a gap that this version does not know")]
    Reason,
}

/// The report names the file beside the error.
impl From<reader::Error> for Error {
    fn from(error: reader::Error) -> Self {
        Self::File(error.fault)
    }
}

/// The sums of an interface, by its name and direction.
pub(super) type Sums<T> = BTreeMap<(String, Direction), T>;

/// A file, as it was read.
pub(super) enum Content {
    Flows(Flows),
    Ledger(Ledger),
    /// Of a table that nothing is added up of.
    Other(Facts),
}

impl Content {
    /// Reads a file of a table. What flows and ledgers prove of each other differs from all other tables, which
    /// this is the place for.
    pub(super) fn read(
        table: &'static Table,
        object: &Path,
        file: &Bytes,
        depth: Depth,
    ) -> Result<Self, Error> {
        if *table == FLOWS {
            Flows::read(object, file, depth).map(Self::Flows)
        } else if *table == LEDGER {
            Ledger::read(object, file).map(Self::Ledger)
        } else {
            let reader = Reader::open_sealed(table, object, file.clone())?;
            let facts = reader.facts().clone();
            reader.for_each(|_| Ok::<_, Error>(()))?;
            Ok(Self::Other(facts))
        }
    }

    pub(super) const fn facts(&self) -> &Facts {
        match self {
            Self::Flows(flows) => &flows.facts,
            Self::Ledger(ledger) => &ledger.facts,
            Self::Other(facts) => facts,
        }
    }
}
