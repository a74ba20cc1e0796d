//! The `sessions` table: its description, and how its rows are written and read.

mod columns;
mod description;
mod read;

use bytes::Bytes;
use parquet::file::metadata::KeyValue;

use super::{Error, writer};
use crate::record::session::SessionRow;

pub use description::{RETENTION_OF_SESSIONS, SESSIONS};
pub use read::{hex_of, rows};

/// Encodes rows of sessions, each of which lies within the day of the file, in the order of the table.
pub fn encode(
    rows: &[SessionRow],
    metadata: impl FnOnce(usize) -> Vec<KeyValue>,
) -> Result<Bytes, Error> {
    let columns = columns::columns(rows);
    let columns = columns.map_err(|source| Error::Columns { dataset: SESSIONS.name, source })?;
    writer::encode(&SESSIONS, &columns, metadata)
}

#[cfg(test)]
mod tests;
