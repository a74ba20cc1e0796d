//! Row groups that cannot have what is looked for, by the least and the greatest value of a column in them.

use parquet::file::{metadata::RowGroupMetaData, statistics::Statistics};

use crate::{
    record::clock::Utc,
    table::description::{Column, Kind},
};

/// A value to compare those of a column with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// An instant.
    Time(Utc),
    /// A number that is not negative.
    Number(u64),
}

/// A value in the order of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ranked<'a> {
    Text(&'a [u8]),
    Number(i128),
}

impl<'a> Value<'a> {
    /// The value among those of a column; `None` where they are of another kind.
    fn ranked(self, kind: Kind) -> Option<Ranked<'a>> {
        match (self, kind) {
            (Value::Text(text), Kind::Text) => Some(Ranked::Text(text.as_bytes())),
            (Value::Time(at), Kind::Timestamp) => Some(Ranked::Number(at.ms().into())),
            (
                Value::Number(number),
                Kind::UInt8 | Kind::UInt16 | Kind::UInt32 | Kind::UInt64 | Kind::Int64,
            ) => Some(Ranked::Number(number.into())),
            _ => None,
        }
    }
}

/// What a column is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range<'a> {
    column: &'static Column,
    least: Option<Ranked<'a>>,
    greatest: Option<Ranked<'a>>,
}

impl<'a> Range<'a> {
    /// `None` where the values are of another kind than the column.
    pub(super) fn of(
        column: &'static Column,
        least: Option<Value<'a>>,
        greatest: Option<Value<'a>>,
    ) -> Option<Self> {
        let ranked = |value: Option<Value<'a>>| match value {
            Some(value) => value.ranked(column.kind).map(Some),
            None => Some(None),
        };
        Some(Self { column, least: ranked(least)?, greatest: ranked(greatest)? })
    }

    /// Whether a row group may have a row that is in it. A row without a value is not.
    pub(super) fn meets(&self, group: &RowGroupMetaData) -> bool {
        // Null in each row of a version before.
        let Some(place) = place(group, self.column.name) else { return false };
        let Some(statistics) = group.column(place).statistics() else { return true };
        let Some((least, greatest)) = bounds(statistics, self.column.kind) else { return true };
        self.least.is_none_or(|of| of <= greatest) && self.greatest.is_none_or(|of| of >= least)
    }
}

/// The place of a column in a row group.
pub(super) fn place(group: &RowGroupMetaData, name: &str) -> Option<usize> {
    group.columns().iter().position(|column| column.column_descr().name() == name)
}

/// The least and the greatest value.
fn bounds(statistics: &Statistics, kind: Kind) -> Option<(Ranked<'_>, Ranked<'_>)> {
    let signed = |number: &i64| Ranked::Number((*number).into());
    let unsigned = |number: &i64| Ranked::Number(number.cast_unsigned().into());
    match (statistics, kind) {
        (Statistics::ByteArray(of), Kind::Text) => {
            Some((Ranked::Text(of.min_opt()?.data()), Ranked::Text(of.max_opt()?.data())))
        }
        (Statistics::Int64(of), Kind::Timestamp | Kind::Int64) => {
            Some((signed(of.min_opt()?), signed(of.max_opt()?)))
        }
        (Statistics::Int64(of), Kind::UInt64) => {
            Some((unsigned(of.min_opt()?), unsigned(of.max_opt()?)))
        }
        (Statistics::Int32(of), Kind::UInt8 | Kind::UInt16 | Kind::UInt32) => {
            let unsigned = |number: &i32| Ranked::Number(number.cast_unsigned().into());
            Some((unsigned(of.min_opt()?), unsigned(of.max_opt()?)))
        }
        _ => None,
    }
}

/// The least time of one column of some row groups, and the greatest of another one.
pub(super) fn times(groups: &[RowGroupMetaData], first: &str, last: &str) -> Option<(Utc, Utc)> {
    let bounds = |name: &str| -> Vec<(i64, i64)> {
        let of_group =
            |group: &RowGroupMetaData| match group.column(place(group, name)?).statistics() {
                Some(Statistics::Int64(of)) => of.min_opt().copied().zip(of.max_opt().copied()),
                _ => None,
            };
        groups.iter().filter_map(of_group).collect()
    };
    let first = bounds(first).into_iter().map(|(least, _)| least).min()?;
    let last = bounds(last).into_iter().map(|(_, greatest)| greatest).max()?;
    Some((Utc::from_ms(first), Utc::from_ms(last)))
}
