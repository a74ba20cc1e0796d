//! Instants as people write them.

use flowlog::record::clock::Utc;
use jiff::{Timestamp, civil::DateTime};

/// An instant with its offset from UTC. Without one it is as many instants as there are zones, and twice an hour in
/// autumn.
pub fn parse_instant(text: &str) -> Result<Utc, String> {
    let text = text.trim();
    text.parse::<Timestamp>().map(Utc::from).map_err(|_| match text.parse::<DateTime>() {
        Ok(local) => format!(
            "it has no offset from UTC, so that it is no single instant; write {local}Z if it is in UTC, else its \
             offset, for example {local}+02:00"
        ),
        Err(_) => format!("{text:?} is not an instant; write for example 2026-11-22T10:00:00Z"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_an_offset_or_is_refused_with_a_remedy() {
        let ms = |text: &str| parse_instant(text).map(Utc::ms);
        for text in [
            "2026-10-25T00:30:00Z",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T01:30:00+01:00",
            "2026-10-25 02:30:00+02",
            " 2026-10-25T00:30:00.000Z\n",
        ] {
            assert_eq!(ms(text), Ok(1_792_888_200_000), "{text}");
        }
        let refused = ms("2026-10-25T02:30:00").unwrap_err();
        assert!(refused.contains("2026-10-25T02:30:00Z"), "{refused}");
        assert!(refused.contains("2026-10-25T02:30:00+02:00"), "{refused}");
        assert!(ms("2026-10-25").unwrap_err().contains("2026-10-25T00:00:00Z"));
        for nonsense in ["", "yesterday", "09:57"] {
            assert!(ms(nonsense).unwrap_err().contains("is not an instant"), "{nonsense}");
        }
    }
}
