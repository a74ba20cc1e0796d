//! Which objects can have an answer. Paths follow from table, gateway and time, so that no other folder is listed.

use std::{collections::BTreeSet, time::Duration};

use object_store::ObjectMeta;

use super::{Consultation, Error};
use crate::{
    record::{
        clock::{DAY, Utc},
        gateway::GatewayName,
    },
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

/// A gateway that was asked for, and of which the store has nothing.
#[derive(Debug, thiserror::Error)]
#[error("the store has nothing of the gateway {name:?}; it has {}", names(.known))]
pub struct UnknownGateway {
    /// Its name.
    pub name: String,
    /// Those that there are.
    pub known: Vec<String>,
}

fn names(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

impl UnknownGateway {
    /// The gateways that are asked: all that are known, or the one that was asked for.
    pub fn chosen(known: Vec<String>, asked: Option<&GatewayName>) -> Result<Vec<String>, Self> {
        match asked.map(|gateway| gateway.as_str().to_owned()) {
            None => Ok(known),
            Some(name) if known.contains(&name) => Ok(vec![name]),
            Some(name) => Err(Self { name, known }),
        }
    }
}

/// How often an object is opened again that is replaced time and again.
const ATTEMPTS: usize = 4;
/// From so many partitions of a day on, its folder is listed once.
const PARTITIONS_OF_A_DAY: usize = 4;

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

    /// Does something with an object that was listed, and again where another one takes its place meanwhile; `None`
    /// where it is gone.
    pub fn with_newest<T>(
        &self,
        table: &'static Table,
        listed: &ObjectMeta,
        mut work: impl FnMut(&ObjectMeta) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let mut object = listed.clone();
        for _ in 1..ATTEMPTS {
            match work(&object) {
                Err(error) if error.is_replaced() => {}
                done => return done.map(Some),
            }
            let Some(ObjectName { partition, .. }) = ObjectName::parse(&object.location) else {
                break;
            };
            let times = Times::new(partition.start, partition.end());
            let newest = self.objects(table, &partition.gateway, times)?.known;
            match newest.into_iter().find(|other| other.location == object.location) {
                Some(newest) => object = newest,
                None => return Ok(None),
            }
        }
        work(&object).map(Some)
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
