//! Which objects can have an answer. Paths follow from table, gateway and time, so that no other folder is listed.

use std::{collections::BTreeSet, time::Duration};

use object_store::ObjectMeta;

use super::Consultation;
use crate::{
    record::clock::Utc,
    store::{self, Oddity},
    table::{ObjectName, Partition, Table},
};

/// A time, of which the end is no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Its beginning.
    pub from: Utc,
    /// Its end.
    pub to: Utc,
}

/// The objects of a table of a gateway.
#[derive(Debug, Default)]
pub struct Objects {
    /// Those that flowlog wrote, in the order of their times.
    pub known: Vec<ObjectMeta>,
    /// Paths of others that end as those do; whoever reads a folder as a whole would read them.
    pub foreign: BTreeSet<String>,
    /// What is there and is no object.
    pub oddities: BTreeSet<Oddity>,
}

/// From so many partitions of a day on, its folder is listed once.
const PARTITIONS_OF_A_DAY: usize = 4;
const DAY: Duration = Duration::from_hours(24);

impl Times {
    /// A time; empty where it ends before it begins.
    #[must_use]
    pub const fn new(from: Utc, to: Utc) -> Self {
        Self { from, to }
    }

    /// The beginnings of the partitions that have a part of it.
    fn starts(self, length: Duration) -> impl Iterator<Item = Utc> {
        let first = self.from.floor(length);
        let next = move |start: &Utc| Some(start.plus(length)).filter(|next| next > start);
        std::iter::successors(Some(first), next)
            .take_while(move |start| *start < self.to && self.from < self.to)
    }

    /// The days that have a part of it, each with that part.
    #[must_use]
    pub fn days(self) -> Vec<Self> {
        let part = |day: Utc| Self::new(day.max(self.from), day.plus(DAY).min(self.to));
        self.starts(DAY).map(part).collect()
    }
}

impl Consultation {
    /// The gateways that have rows of these tables.
    pub fn gateways(&self, tables: &[&'static Table]) -> Result<Vec<String>, store::Error> {
        let folders: Vec<&str> = tables.iter().map(|table| table.name).collect();
        let gateways = self.store.gateways(&folders)?;
        Ok(gateways.iter().map(|gateway| gateway.as_str().to_owned()).collect())
    }

    /// The objects of the partitions that have a part of a time.
    pub fn objects(
        &self,
        table: &'static Table,
        gateway: &str,
        times: Times,
    ) -> Result<Objects, store::Error> {
        let mut objects = Objects::default();
        for day in times.days() {
            let starts: Vec<Utc> = day.starts(table.span.length()).collect();
            let mut folders: Vec<String> =
                starts.iter().map(|start| Partition::of(table, gateway, *start).folder()).collect();
            if folders.len() >= PARTITIONS_OF_A_DAY {
                // All of them are in the folder of their day.
                folders.truncate(1);
                for folder in &mut folders {
                    folder.truncate(folder.rfind('/').unwrap_or(folder.len()));
                }
            }
            for folder in folders {
                objects.add(self.store.list_folder(&folder)?, |start| starts.contains(&start));
            }
        }
        Ok(objects)
    }

    /// The beginnings of the days of which a table of a gateway has a folder, in their order. Nothing of them is read.
    pub fn days(&self, table: &'static Table, gateway: &str) -> Result<Vec<Utc>, store::Error> {
        let folders = self.store.folders(&format!("{}/gateway={gateway}", table.name))?;
        Ok(folders.iter().filter_map(|folder| day_of(folder)).collect())
    }

    /// All objects of a table of a gateway.
    pub fn all_objects(
        &self,
        table: &'static Table,
        gateway: &str,
    ) -> Result<Objects, store::Error> {
        let mut objects = Objects::default();
        let folder = format!("{}/gateway={gateway}", table.name);
        objects.add(self.store.list_folder(&folder)?, |_| true);
        Ok(objects)
    }
}

/// The beginning of the day of a folder.
fn day_of(folder: &str) -> Option<Utc> {
    let date: jiff::civil::Date = folder.strip_prefix("date=")?.parse().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into())
}

impl Objects {
    /// Adds the objects of a list whose partitions begin at some times.
    fn add(&mut self, listing: store::Listing, is_wanted: impl Fn(Utc) -> bool) {
        let store::Listing { objects, oddities } = listing;
        self.oddities.extend(oddities);
        for object in objects {
            match ObjectName::parse(&object.location) {
                Some(name) if is_wanted(name.partition.start) => self.known.push(object),
                None if object.location.as_ref().ends_with(".parquet") => {
                    self.foreign.insert(object.location.to_string());
                }
                _ => {}
            }
        }
    }
}
