//! How a table is described: once, in a file of its own, and by nothing else.
//!
//! Whoever lists, audits, asks, documents or deletes takes from the description whatever differs between tables,
//! so that another table is a file with its description and its rows, and a line in [`TABLES`].

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::TABLES;
use crate::record::clock::DAY;

/// A table of the store.
#[derive(Debug)]
pub struct Table {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// Its version: in the metadata of every file, and raised when a column is added.
    pub version: u32,
    /// A row, in sentences for the documentation.
    pub about: &'static str,
    /// Its columns, in the order of a file.
    pub columns: &'static [Column],
    /// The columns by which the rows of a file are sorted, as far as a reader may rely on that.
    pub sorted_by: &'static [&'static str],
    /// The time of a partition, which retention deletes at once.
    pub span: Span,
    /// The name of the period for which it is kept. Tables of one name go together, in the order of [`TABLES`], and
    /// `flowlog verify` holds their files against each other.
    pub retention: &'static str,
    /// Whether a row is about a person.
    pub is_personal: bool,
    /// The version from which on a file has a digest of itself; `None`: a file of another table has the digest.
    pub sealed_since: Option<u32>,
}

/// The retention of flows and of their ledger: one period for both.
pub const RETENTION_OF_FLOWS: &str = "flows";

/// The time of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// An hour of UTC.
    Hour,
    /// A day of UTC.
    Day,
}

/// The length of an hour's partition, and of a file of the spool.
pub const HOUR: Duration = Duration::from_hours(1);

impl Span {
    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }

    /// The columns that the folders below a gateway add to every row, with their types in SQL.
    #[must_use]
    pub const fn folders(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Hour => &[("date", "DATE"), ("hour", "UTINYINT")],
            Self::Day => &[("date", "DATE")],
        }
    }

    /// Its name in the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Type of its values.
    pub kind: Kind,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// Its meaning, with the unit.
    pub meaning: &'static str,
    /// The first version of the table that has it; it is null in files of versions before.
    pub since: u32,
    /// Names in the IPFIX registry, or empty.
    pub ipfix: &'static str,
    /// Names in OCSF, or empty.
    pub ocsf: &'static str,
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Milliseconds of UTC.
    Timestamp,
    /// Yes or no.
    Boolean,
    /// Unsigned, 8 bits.
    UInt8,
    /// Unsigned, 16 bits.
    UInt16,
    /// Unsigned, 32 bits.
    UInt32,
    /// Unsigned, 64 bits.
    UInt64,
    /// Signed, 64 bits.
    Int64,
}

impl Kind {
    /// Its type in Arrow.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Boolean => DataType::Boolean,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Int64 => DataType::Int64,
        }
    }

    /// The type of a text in Arrow, as a place in a dictionary.
    #[must_use]
    pub fn coded_text() -> DataType {
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
    }

    /// Its name in the documentation and in the SQL of DuckDB.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Text => "VARCHAR",
            Self::Timestamp => "TIMESTAMP WITH TIME ZONE",
            Self::Boolean => "BOOLEAN",
            Self::UInt8 => "UTINYINT",
            Self::UInt16 => "USMALLINT",
            Self::UInt32 => "UINTEGER",
            Self::UInt64 => "UBIGINT",
            Self::Int64 => "BIGINT",
        }
    }
}

/// A column that every row has a value in, and every version of the table.
pub(super) const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, nullable: false, meaning, since: 1, ipfix: "", ocsf: "" }
}

impl Column {
    pub(super) const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Versions before this one do not have it.
    pub(super) const fn since(mut self, version: u32) -> Self {
        self.since = version;
        self.nullable = true;
        self
    }

    pub(super) const fn known_as(mut self, ipfix: &'static str, ocsf: &'static str) -> Self {
        self.ipfix = ipfix;
        self.ocsf = ocsf;
        self
    }

    /// The column in Arrow.
    #[must_use]
    pub fn field(&self) -> Field {
        Field::new(self.name, self.kind.arrow(), self.nullable)
    }
}

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().copied().find(|table| table.name == name)
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Its Arrow schema, of the newest version.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
    }

    /// The version that the metadata of a file name, where this flowlog knows it.
    #[must_use]
    pub fn known_version(&self, named: &str) -> Option<u32> {
        (1..=self.version).find(|version| version.to_string() == named)
    }

    fn place(&self) -> usize {
        TABLES.iter().position(|table| **table == *self).unwrap_or(usize::MAX)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Table {}

impl Hash for Table {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// In the order of [`TABLES`].
impl Ord for Table {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.place(), self.name).cmp(&(other.place(), other.name))
    }
}

impl PartialOrd for Table {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
