//! Instants as text (RFC 3339), to the millisecond.

use jiff::Timestamp;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

use crate::record::clock::Utc;

#[expect(clippy::ref_option, reason = "serde gives it so")]
pub(super) fn serialize<S: Serializer>(instant: &Option<Utc>, to: S) -> Result<S::Ok, S::Error> {
    instant.map(|instant| Utc::from_ms(instant.ms()).to_string()).serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Utc>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    text.parse::<Timestamp>().map(|instant| Some(Utc::from(instant))).map_err(D::Error::custom)
}
