//! The tables: their columns, and windows to Arrow to Parquet.
//!
//! The columns are described once, in [`schema`], from which the Arrow schema and the
//! documentation follow. Files are deterministic: the same window gives the same bytes, so that a
//! second put of a window is recognised as such.

pub mod digest;
mod flows;
pub mod layout;
pub mod ledger;
pub mod metadata;
mod page;
mod reference;
pub mod schema;
pub mod seal;
mod writer;

pub use flows::FlowsWriter;
pub use layout::Layout;
pub use reference::reference;

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
