//! Where the files of a table are: what is in one follows from its path alone.
//!
//! ```text
//! TABLE/gateway=gw1/date=2026-11-22/hour=09/20261122T090000Z-3600s-0.parquet   a table that is cut by hours
//! TABLE/gateway=gw1/date=2026-11-22/20261122T000000Z-86400s-0.parquet          a table that is cut by days
//! ```

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};
use object_store::path::Path;

use super::{Span, Table};
use crate::record::{clock::Utc, gateway::GatewayName};

/// An hour or a day of a table of a gateway: what retention deletes at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Name of the gateway.
    pub gateway: String,
    /// Its beginning.
    pub start: Utc,
    /// The table.
    pub table: &'static Table,
}

impl Partition {
    /// The partition that has an instant.
    #[must_use]
    pub fn of(table: &'static Table, gateway: &str, instant: Utc) -> Self {
        let start = instant.floor(table.span.length());
        Self { gateway: gateway.to_owned(), start, table }
    }

    /// When the last of its rows can have ended.
    #[must_use]
    pub fn end(&self) -> Utc {
        self.start.plus(self.table.span.length())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> String {
        let format = match self.table.span {
            Span::Hour => "date=%Y-%m-%d/hour=%H",
            Span::Day => "date=%Y-%m-%d",
        };
        let time = civil_utc(self.start).strftime(format);
        format!("{}/gateway={}/{time}", self.table.name, self.gateway)
    }

    /// The partition that a folder stands for.
    pub(crate) fn parse(segments: &[&str]) -> Option<Self> {
        let [table, gateway, date, hour @ ..] = segments else { return None };
        let table = Table::named(table)?;
        let date: civil::Date = date.strip_prefix("date=")?.parse().ok()?;
        let hour: i8 = match (table.span, hour) {
            (Span::Hour, [hour]) => hour.strip_prefix("hour=")?.parse().ok()?,
            (Span::Day, []) => 0,
            _ => return None,
        };
        let begins =
            civil::Time::new(hour, 0, 0, 0).ok()?.on(date.year(), date.month(), date.day());
        let partition = Self {
            table,
            gateway: gateway.strip_prefix("gateway=")?.parse::<GatewayName>().ok()?.into(),
            start: begins.to_zoned(TimeZone::UTC).ok()?.timestamp().into(),
        };
        // Only what we would write ourselves.
        (partition.folder() == segments.join("/")).then_some(partition)
    }
}

/// Name of a file: gateway, window and part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The partition that it is in.
    pub partition: Partition,
    /// Beginning of its window.
    pub window_start: Utc,
    /// Length of its window.
    pub window_length: Duration,
    /// Which file of the window it is: a restarted gateway writes another one.
    pub part: u32,
}

impl ObjectName {
    /// The first file of a window.
    #[must_use]
    pub fn new(
        table: &'static Table,
        gateway: &str,
        window_start: Utc,
        window_length: Duration,
    ) -> Self {
        let partition = Partition::of(table, gateway, window_start);
        Self { partition, window_start, window_length, part: 0 }
    }

    /// Its path in the store.
    #[must_use]
    pub fn path(&self) -> Path {
        let Self { partition, window_start, window_length, part } = self;
        let is_whole_second = window_start.ms().rem_euclid(1000) == 0;
        let format = if is_whole_second { "%Y%m%dT%H%M%SZ" } else { "%Y%m%dT%H%M%S%.3fZ" };
        let start = civil_utc(*window_start).strftime(format);
        let length = match window_length.as_millis() {
            ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
            ms => format!("{ms}ms"),
        };
        Path::from(format!("{}/{start}-{length}-{part}.parquet", partition.folder()))
    }

    /// The name behind a path; `None` for a file that is not ours.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        let segments: Vec<&str> = path.as_ref().split('/').collect();
        let (file, folders) = segments.split_last()?;
        let partition = Partition::parse(folders)?;
        let mut words = file.strip_suffix(".parquet")?.split('-');
        let (start, length, part) = (words.next()?, words.next()?, words.next()?);
        let start: civil::DateTime = start.strip_suffix('Z')?.parse().ok()?;
        let length = match length.strip_suffix("ms") {
            Some(ms) => Duration::from_millis(ms.parse().ok()?),
            None => Duration::from_secs(length.strip_suffix('s')?.parse().ok()?),
        };
        let name = Self {
            partition,
            window_start: start.to_zoned(TimeZone::UTC).ok()?.timestamp().into(),
            window_length: length,
            part: part.parse().ok()?,
        };
        // Only what we would write ourselves, in the folder of its time.
        let start = name.window_start.floor(name.partition.table.span.length());
        let is_ours = name.path() == *path && name.partition.start == start;
        is_ours.then_some(name)
    }
}

fn civil_utc(instant: Utc) -> civil::DateTime {
    Timestamp::from(instant).to_zoned(TimeZone::UTC).datetime()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::FLOWS;

    fn name(start_ms: i64, length: Duration) -> ObjectName {
        ObjectName::new(&FLOWS, "gw-1", Utc::from_ms(start_ms), length)
    }

    #[test]
    fn a_name_says_gateway_hour_window_and_part() {
        let name = name(1_795_341_300_000, Duration::from_mins(5));
        assert_eq!(
            name.path().as_ref(),
            "flows/gateway=gw-1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet"
        );
        assert_eq!(ObjectName::parse(&name.path()), Some(name));
    }

    #[test]
    fn windows_of_milliseconds_have_names_too() {
        let name = name(1_795_341_300_250, Duration::from_millis(250));
        assert!(name.path().as_ref().ends_with("/20261122T095500.250Z-250ms-0.parquet"));
        assert_eq!(ObjectName::parse(&name.path()), Some(name));
    }

    #[test]
    fn what_we_would_not_write_is_not_ours() {
        let ours = "flows/gateway=gw-1/date=2026-11-22/hour=09/20261122T095500Z-300s-0.parquet";
        assert!(ObjectName::parse(&Path::from(ours)).is_some());
        for (from, to) in [
            ("flows/", "other/"),
            ("hour=09", "hour=9"),
            ("hour=09", "hour=10"),
            ("date=2026-11-22", "date=2026-11-31"),
            ("gateway=", "gate="),
            ("gateway=", "gateway=."),
            ("gateway=gw-1", "gateway="),
            ("gateway=gw-1", "gateway=gw 1"),
            ("-0.parquet", "-00.parquet"),
            ("-300s", "-300000ms"),
            (".parquet", ".csv"),
            ("/20261122T095500Z-300s-0", "/notes"),
            ("/20261122T095500Z", "/deeper/20261122T095500Z"),
        ] {
            let foreign = Path::from(ours.replace(from, to));
            assert_eq!(ObjectName::parse(&foreign), None, "{foreign}");
        }
    }
}
