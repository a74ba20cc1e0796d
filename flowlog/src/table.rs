//! The tables: their descriptions, and windows to Arrow to Parquet and back.
//!
//! A table is one [description](Table): its name, version, columns, order, the time of a partition, its retention.
//! The Arrow schema, the paths in a store, the audit, the SQL, the documentation and retention follow from it, so
//! that another table is one file (its description, and how its rows are written) and one line in [`TABLES`]. One
//! [reader](Reader) reads them all, each version of them.
//!
//! Files are deterministic: the same window gives the same bytes, so that a
//! second put of a window is recognised as such.

pub mod coverage;
pub mod description;
pub mod digest;
mod flows;
pub mod isolated;
pub mod ledger;
pub mod metadata;
mod page;
mod partition;
pub mod reader;
mod reference;
pub mod seal;
pub mod sessions;
mod writer;

#[cfg(test)]
mod trial;

pub use coverage::COVERAGE;
pub use description::{HOUR, Span, Table};
pub use flows::{FLOWS, FlowsWriter, layout, layout::Layout};
pub use ledger::LEDGER;
pub use partition::{ObjectName, Partition};
pub use reader::Reader;
pub use reference::reference;
pub use sessions::SESSIONS;

/// Every table. The order is that in which partitions of one time go: what proves the rest goes last.
pub static TABLES: &[&Table] = &[
    &FLOWS,
    &LEDGER,
    &SESSIONS,
    &COVERAGE,
    #[cfg(test)]
    &trial::TRIAL,
];

/// The folders of all tables.
#[must_use]
pub fn folders() -> Vec<&'static str> {
    TABLES.iter().map(|table| table.name).collect()
}

/// Why a file cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The columns do not fit the schema.
    #[error("cannot build the columns of the {dataset} table")]
    Columns {
        /// The table.
        dataset: &'static str,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// The Parquet file cannot be written.
    #[error("cannot write the {dataset} table as Parquet")]
    Parquet {
        /// The table.
        dataset: &'static str,
        /// Why.
        source: parquet::errors::ParquetError,
    },
    /// A file that is to be completed cannot be read.
    #[error("cannot complete a file of the {dataset} table")]
    Read {
        /// The table.
        dataset: &'static str,
        /// Why.
        source: reader::Error,
    },
}

/// A file of the ledger with these pairs in its footer.
#[cfg(test)]
pub(crate) fn ledger_file(
    windows: &[crate::record::window::WindowLedger],
    pairs: Vec<parquet::file::metadata::KeyValue>,
) -> bytes::Bytes {
    ledger::encode(windows, |_| pairs).unwrap_or_default()
}

#[cfg(test)]
mod tests;
