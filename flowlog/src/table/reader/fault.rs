//! Why a file is not read.

use object_store::path::Path;

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {object}")]
pub struct Error {
    /// Its name.
    pub object: Path,
    /// Why.
    #[source]
    pub fault: Fault,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is no Parquet file, or a damaged one.
    #[error("it is not a sound Parquet file")]
    Parquet(#[source] parquet::errors::ParquetError),
    /// Its rows cannot be decoded.
    #[error("its rows cannot be decoded")]
    Decode(#[source] arrow::error::ArrowError),
    /// It is so damaged that the decoder gives up.
    #[error("it is damaged: the decoder panicked")]
    Panicked,
    /// It is not as it was written.
    #[error("it was changed after flowlog wrote it: its digest does not match")]
    Changed,
    /// It has another number of rows than its footer says.
    #[error("it has {rows} rows, and its metadata names {named}")]
    Rows {
        /// Rows that are there.
        rows: u64,
        /// Rows by its metadata.
        named: u64,
    },
    /// flowlog did not write it.
    #[error("flowlog did not write it")]
    Foreign,
    /// It is of a later version.
    #[error("it is of version {0} of its table: use a version of flowlog that knows it")]
    Version(String),
    /// It lacks a column, or the column has another type.
    #[error("it has no column {0} of the expected type")]
    Column(String),
    /// It has a column that its version does not have.
    #[error("it has a column {0}, which its version of the table does not have")]
    UnknownColumn(String),
    /// A value is none of those that its version of the table knows.
    #[error("a value of its column {0} is none that this version of flowlog knows")]
    Value(String),
}

impl Fault {
    /// Whether the file is no file of this table, as far as this flowlog knows it.
    #[must_use]
    pub const fn is_of_another_schema(&self) -> bool {
        matches!(self, Self::Foreign | Self::Version(_) | Self::Column(_) | Self::UnknownColumn(_))
    }

    /// The error of a file.
    #[must_use]
    pub fn of(self, object: &Path) -> Error {
        Error { object: object.clone(), fault: self }
    }
}
