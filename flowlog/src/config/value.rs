//! The types of values that keys take.

use std::{convert::Infallible, fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use clap::ValueEnum;

use super::{
    item::{Content, Item},
    key::{Kind, Value, Wrong},
    source_kind::SourceKind,
};
use crate::record::{
    gateway::GatewayName,
    location::Location,
    pattern::InterfacePattern,
    period::{Period, parse_duration, parse_period},
    policy::{Order, Profile},
    redacted::Redacted,
};

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(item: &Item) -> Result<Self, Wrong> {
        T::read(item).map(Some)
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);

    fn read(item: &Item) -> Result<Self, Wrong> {
        let Content::List(items) = &item.content else {
            return Err(Wrong::of(item, "it must be a list"));
        };
        let read =
            |(index, item)| T::read(item).map_err(|wrong| wrong.within(&format!("[{index}]")));
        items.iter().enumerate().map(read).collect()
    }

    fn unset() -> Option<Self> {
        Some(vec![])
    }
}

fn text<T, E: Display>(item: &Item, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Wrong> {
    match &item.content {
        Content::Text(text) => parse(text).map_err(|error| Wrong::of(item, error)),
        _ => Err(Wrong::of(item, "it must be a text in quotes")),
    }
}

/// Types that are parsed from a text.
macro_rules! texts {
    ($($type:ty: $parse:expr;)+) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Text;

            fn read(item: &Item) -> Result<Self, Wrong> {
                text(item, $parse)
            }
        }
    )+};
}

texts! {
    String: Self::from_str;
    Redacted<String>: |text| Ok::<_, Infallible>(text.to_owned().into());
    Location: |text| Ok::<_, Infallible>(text.into());
    PathBuf: Self::from_str;
    Duration: parse_duration;
    Period: parse_period;
    GatewayName: Self::from_str;
    InterfacePattern: Self::from_str;
}

/// Types that are one of some words.
macro_rules! words {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Word(|| {
                Self::value_variants().iter().filter_map(Self::to_possible_value).collect()
            });

            fn read(item: &Item) -> Result<Self, Wrong> {
                text(item, |text| Self::from_str(text, false))
            }
        }
    )+};
}

words!(Profile, Order, SourceKind);

impl Value for bool {
    const KIND: Kind = Kind::Boolean;

    fn read(item: &Item) -> Result<Self, Wrong> {
        match item.content {
            Content::Boolean(value) => Ok(value),
            _ => Err(Wrong::of(item, "it must be true or false")),
        }
    }
}

/// Whole numbers.
macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Number(Self::MAX as u64);

            fn read(item: &Item) -> Result<Self, Wrong> {
                let number = match item.content {
                    Content::Number(number) => Self::try_from(number).ok(),
                    _ => None,
                };
                number.ok_or_else(|| Wrong::of(item, "it is out of range"))
            }
        }
    )+};
}

numbers!(u32, u64);
