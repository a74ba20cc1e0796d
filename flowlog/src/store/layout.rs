//! Names of the files: what is in one follows from its path alone.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};
use object_store::path::Path;

use crate::record::clock::Utc;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dataset {
    /// A row for each flow and window.
    Flows,
    /// What became of every packet.
    Ledger,
}

impl Dataset {
    /// Every table. The order is that in which a partition goes: what proves the rest goes last.
    pub const ALL: [Self; 2] = [Self::Flows, Self::Ledger];

    /// Its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Ledger => "ledger",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dataset| dataset.name() == name)
    }
}

/// One hour of a table of a gateway: what retention deletes at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Name of the gateway.
    pub gateway: String,
    /// The hour's beginning.
    pub hour: Utc,
    /// The table.
    pub dataset: Dataset,
}

/// What a partition spans, and a file of the spool: the windows of an hour.
pub const HOUR: Duration = Duration::from_hours(1);

impl Partition {
    /// When the last of its rows can have ended.
    #[must_use]
    pub fn end(&self) -> Utc {
        self.hour.plus(HOUR)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> String {
        let hour = civil_utc(self.hour).strftime("date=%Y-%m-%d/hour=%H");
        format!("{}/gateway={}/{hour}", self.dataset.name(), self.gateway)
    }

    /// The partition that a folder stands for.
    pub(crate) fn parse(segments: [&str; 4]) -> Option<Self> {
        let [dataset, gateway, date, hour] = segments;
        let date: civil::Date = date.strip_prefix("date=")?.parse().ok()?;
        let hour: i8 = hour.strip_prefix("hour=")?.parse().ok()?;
        let begins =
            civil::Time::new(hour, 0, 0, 0).ok()?.on(date.year(), date.month(), date.day());
        let partition = Self {
            dataset: Dataset::from_name(dataset)?,
            gateway: gateway.strip_prefix("gateway=")?.to_owned(),
            hour: begins.to_zoned(TimeZone::UTC).ok()?.timestamp().into(),
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
        dataset: Dataset,
        gateway: &str,
        window_start: Utc,
        window_length: Duration,
    ) -> Self {
        let hour = window_start.floor(HOUR);
        let partition = Partition { dataset, gateway: gateway.to_owned(), hour };
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
        let [dataset, gateway, date, hour, file] = segments.try_into().ok()?;
        let partition = Partition::parse([dataset, gateway, date, hour])?;
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
        // Only what we would write ourselves, in the folder of its hour.
        let is_ours = name.path() == *path && name.partition.hour == name.window_start.floor(HOUR);
        is_ours.then_some(name)
    }
}

fn civil_utc(instant: Utc) -> civil::DateTime {
    Timestamp::from(instant).to_zoned(TimeZone::UTC).datetime()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(start_ms: i64, length: Duration) -> ObjectName {
        ObjectName::new(Dataset::Flows, "gw-1", Utc::from_ms(start_ms), length)
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
