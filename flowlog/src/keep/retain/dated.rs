//! When a file's records ended, by what can be believed.
//!
//! The name says it. A clock that was wrong while it recorded made a name that cannot be true: before
//! there was any flowlog, or days ahead of now. Such a file is dated by its last modification, and
//! where that cannot be true either, by when retention first saw it.

use super::{
    guard::{JUMP, TOLERANCE},
    memory::Memory,
};
use crate::{
    record::clock::{EARLIEST, Utc},
    table::ObjectName,
};

/// When a file's records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Date {
    /// As its name says.
    Named(Utc),
    /// As its name says, which is ahead of the clock, though by less than two days.
    Ahead(Utc),
    /// Its name cannot be true, or is known to be wrong. They ended at this instant or before.
    Estimated(Utc),
    /// Nothing about it can be true.
    Unknown,
}

impl Date {
    /// When its records ended, as far as it is known.
    #[must_use]
    pub const fn end(&self) -> Option<Utc> {
        match self {
            Self::Named(end) | Self::Ahead(end) | Self::Estimated(end) => Some(*end),
            Self::Unknown => None,
        }
    }
}

/// Dates a file that was last modified at an instant; nothing can have been recorded after `now`.
pub(super) fn date(
    name: &ObjectName,
    path: &str,
    modified: Utc,
    memory: &Memory,
    now: Utc,
) -> Date {
    let (begin, end) = (name.partition.start, name.partition.end());
    let has_been = |instant: &Utc| (EARLIEST..=now.plus(TOLERANCE)).contains(instant);
    let found = memory.found(path).filter(has_been);
    if begin < EARLIEST || begin > now.plus(JUMP) {
        let estimate = Some(modified).filter(has_been).or(found);
        return estimate.map_or(Date::Unknown, Date::Estimated);
    }
    match found {
        // Named by a clock that was behind, as was found out when that was corrected.
        Some(found) if found > end => Date::Estimated(found),
        _ if begin > now.plus(TOLERANCE) => Date::Ahead(end),
        _ => Date::Named(end),
    }
}
