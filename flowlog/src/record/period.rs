//! Durations and calendar periods as people write them.

use std::time::Duration;

use jiff::{Span, Timestamp, tz::TimeZone};

use crate::record::clock::Utc;

/// A span of the calendar, such as 90 days or 12 months, counted in UTC.
#[derive(Clone, Copy, Debug)]
pub struct Period(Span);

impl Period {
    /// The instant this period after another one; `None` after the calendar ends.
    #[must_use]
    pub fn after(&self, instant: Utc) -> Option<Utc> {
        let zoned = Timestamp::from(instant).to_zoned(TimeZone::UTC);
        Some(Utc::from(zoned.checked_add(self.0).ok()?.timestamp()))
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// Parses a duration such as `5m`, `10s` or `250ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 5m, 10s or 250ms");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = jiff::SignedDuration::try_from(span).map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(format!("{text:?}: the duration must be greater than zero"));
    }
    Ok(duration)
}

/// Parses a period of the calendar such as `90d`, `26w`, `6mo`, `12 months` or `1y`: whole days.
pub fn parse_period(text: &str) -> Result<Period, String> {
    let wrong = || format!("{text:?} is not a period; write for example 90d, 6mo or 1y");
    let span: Span = text.parse().map_err(|_| wrong())?;
    if !span.is_positive() {
        return Err(wrong());
    }
    if span.get_minutes() != 0 {
        let count = span.get_minutes();
        return Err(format!(
            "{text:?} is in minutes; write {count}mo for {count} months, or days (90d)"
        ));
    }
    if !is_whole_days(&span) {
        return Err(format!("{text:?} is not in whole days; write for example 2d, 6mo or 1y"));
    }
    Ok(Period(span))
}

fn is_whole_days(span: &Span) -> bool {
    let smaller = [
        i64::from(span.get_hours()),
        span.get_minutes(),
        span.get_seconds(),
        span.get_milliseconds(),
        span.get_microseconds(),
        span.get_nanoseconds(),
    ];
    smaller.iter().all(|count| *count == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Utc {
        Utc::from(text.parse::<Timestamp>().unwrap())
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let year = parse_period("12 months").unwrap();
        assert_eq!(year.after(utc("2024-02-29T00:00:00Z")), Some(utc("2025-02-28T00:00:00Z")));
        let days = parse_period("90d").unwrap();
        assert_eq!(days.after(utc("2026-01-01T00:00:00Z")), Some(utc("2026-04-01T00:00:00Z")));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "5", "ten seconds", "-5m", "0s", "1d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("x").unwrap_err().contains("5m"));
        for text in ["", "90", "-90d", "0d"] {
            assert!(parse_period(text).is_err(), "{text}");
        }
    }

    #[test]
    fn six_minutes_are_not_taken_for_six_months() {
        assert_eq!(
            parse_period("6m").unwrap_err(),
            "\"6m\" is in minutes; write 6mo for 6 months, or days (90d)"
        );
        for text in ["6min", "1d 5m", "PT6M", "12h", "1d12h", "3600s", "1d 1ms", "1y 1ns"] {
            let error = parse_period(text).unwrap_err();
            assert!(error.contains("mo"), "{error}");
        }
        let end = utc("2026-01-31T00:00:00Z");
        for (text, after) in [
            ("6mo", "2026-07-31T00:00:00Z"),
            ("6 months", "2026-07-31T00:00:00Z"),
            ("P6M", "2026-07-31T00:00:00Z"),
            ("26w", "2026-08-01T00:00:00Z"),
            ("90 days", "2026-05-01T00:00:00Z"),
            ("1y", "2027-01-31T00:00:00Z"),
            ("1y 1mo", "2027-02-28T00:00:00Z"),
        ] {
            assert_eq!(parse_period(text).unwrap().after(end), Some(utc(after)), "{text}");
        }
    }
}
