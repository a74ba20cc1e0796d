//! The way through a store for a question: folders, footers, row groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

use arrow::array::RecordBatch;
use object_store::ObjectMeta;

use super::{
    Error, Question, Report, Unreadable,
    columns::Columns,
    filter::Filter,
    gaps::{Account, Coverage},
    pool::in_order,
    scan::{Group, prune},
};
use crate::{
    ask::open::{self, Consultation, Objects, Times, UnknownGateway},
    record::clock::{DAY, Utc},
    store::Oddity,
    table::{FLOWS, LEDGER, ObjectName, Table, reader},
};

/// A question on its way through a store.
pub(super) struct Scan<'a> {
    consultation: &'a Consultation,
    question: &'a Question,
    /// What is to be read, by the day of it.
    days: BTreeMap<Utc, Vec<Found>>,
    coverage: Coverage,
    unreadable: Vec<Unreadable>,
    foreign: BTreeSet<String>,
    oddities: BTreeSet<Oddity>,
    is_over: bool,
}

/// An object that can have rows of an answer, or gaps.
struct Found {
    table: &'static Table,
    gateway: Arc<str>,
    partition: Utc,
    object: ObjectMeta,
}

/// What became of it.
enum Opened {
    Groups(Vec<Group>),
    Account(Account),
    /// It was deleted since it was listed.
    Gone,
}

impl<'a> Scan<'a> {
    /// Looks for the objects of a question.
    pub(super) fn begin(
        consultation: &'a Consultation,
        question: &'a Question,
    ) -> Result<Self, Error> {
        let known = consultation.gateways(&[&FLOWS, &LEDGER])?;
        let gateways = UnknownGateway::chosen(known, question.gateway.as_ref())?;
        let gateways: Vec<Arc<str>> = gateways.into_iter().map(Arc::from).collect();
        let lasts = question.filter.lasts;
        let mut scan = Self {
            consultation,
            question,
            days: BTreeMap::new(),
            coverage: Coverage::new(&gateways, lasts),
            unreadable: vec![],
            foreign: BTreeSet::new(),
            oddities: BTreeSet::new(),
            is_over: false,
        };
        scan.find(&gateways)?;
        Ok(scan)
    }

    fn find(&mut self, gateways: &[Arc<str>]) -> Result<(), Error> {
        let days: Vec<Option<Times>> = match self.question.filter.lasts.map(super::Lasts::times) {
            None => vec![None],
            Some(Times { from, to }) => {
                let times = Times::new(from, to.plus(self.question.outage));
                times.days().into_iter().map(Some).collect()
            }
        };
        let tables: [&'static Table; 2] = [&FLOWS, &LEDGER];
        let jobs: Vec<_> = days
            .iter()
            .flat_map(|day| gateways.iter().map(move |gateway| (day, gateway)))
            .flat_map(|(day, gateway)| tables.map(|table| (table, gateway, *day)))
            .collect();
        // A few folders of a disk are listed before a thread has started.
        let threads = if jobs.len() <= tables.len() { 1 } else { self.consultation.threads() };
        let list = |(table, gateway, day): &(&'static Table, &Arc<str>, Option<Times>)| match day {
            Some(day) => self.consultation.objects(table, gateway, *day),
            None => self.consultation.all_objects(table, gateway),
        };
        let mut outcome = Ok(());
        let mut lists = vec![];
        in_order(threads, &jobs, list, |(table, gateway, _), listed| match listed {
            Ok(objects) => {
                lists.push((*table, *gateway, objects));
                ControlFlow::Continue(())
            }
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        })?;
        outcome?;
        for (table, gateway, objects) in lists {
            self.add(table, gateway, objects);
        }
        Ok(())
    }

    fn add(&mut self, table: &'static Table, gateway: &Arc<str>, objects: Objects) {
        let Objects { known, foreign, oddities } = objects;
        self.foreign.extend(foreign);
        self.oddities.extend(oddities);
        for object in known {
            let Some(name) = ObjectName::parse(&object.location) else { continue };
            let partition = name.partition.start;
            let found = Found { table, gateway: Arc::clone(gateway), partition, object };
            self.days.entry(partition.floor(DAY)).or_default().push(found);
        }
    }

    /// Reads each row group that can have rows, some at a time, and gives what was read of them to `take` in the order
    /// of time, until that breaks off.
    pub(super) fn each_group<T: Send>(
        &mut self,
        read: impl Fn(&Group) -> Result<Option<T>, reader::Error> + Sync,
        mut take: impl FnMut(&Group, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for mut found in std::mem::take(&mut self.days).into_values() {
            found.sort_by(|a, b| {
                (a.partition, &a.gateway, &a.object.location).cmp(&(
                    b.partition,
                    &b.gateway,
                    &b.object.location,
                ))
            });
            let mut groups = self.open_all(&found)?;
            let (mut is_over, mut unreadable) = (self.is_over, vec![]);
            let threads = self.consultation.threads();
            let of_each = threads / groups.len().max(1);
            for group in &mut groups {
                group.threads = of_each.max(1);
            }
            in_order(threads, &groups, &read, |group, outcome| match outcome {
                // Gaps are still to be found in the days that are left.
                Ok(Some(rows)) if !is_over => {
                    is_over = take(group, rows).is_break();
                    if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    unreadable.push((group.object.to_string(), error.into()));
                    ControlFlow::Continue(())
                }
            })?;
            self.is_over = is_over;
            for (object, error) in unreadable {
                self.cannot_read(object, error);
            }
        }
        Ok(())
    }

    /// Opens objects, and returns the row groups that can have rows.
    fn open_all(&mut self, found: &[Found]) -> Result<Vec<Group>, Error> {
        let (mut groups, mut failures) = (vec![], vec![]);
        let is_over = self.is_over;
        let coverage = &mut self.coverage;
        let (consultation, sought) = (self.consultation, &self.question.filter);
        let is_wanted = |found: &Found| *found.table == LEDGER || !is_over;
        let open = |found: &Found| {
            if is_wanted(found) { found.open(consultation, sought) } else { Ok(Opened::Gone) }
        };
        in_order(consultation.threads(), found, open, |found, opened| {
            match opened {
                Ok(Opened::Groups(of_object)) => groups.extend(of_object),
                Ok(Opened::Account(account)) => coverage.add(&found.gateway, account),
                Ok(Opened::Gone) => {}
                Err(error) => failures.push((found.object.location.to_string(), error)),
            }
            ControlFlow::Continue(())
        })?;
        for (object, error) in failures {
            self.cannot_read(object, error);
        }
        Ok(groups)
    }

    fn cannot_read(&mut self, object: String, error: open::Error) {
        if !self.unreadable.iter().any(|known| known.object == object) {
            self.unreadable.push(Unreadable { object, error });
        }
    }

    /// Whether nothing more is wanted.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// What is to be known beside the rows.
    pub(super) fn report(self) -> Report {
        Report {
            rows: 0,
            gaps: self.coverage.gaps(),
            unreadable: self.unreadable,
            foreign: self.foreign.into_iter().collect(),
            oddities: self.oddities.into_iter().collect(),
            read: self.consultation.read(),
        }
    }
}

impl Found {
    fn open(&self, consultation: &Consultation, sought: &Filter) -> Result<Opened, open::Error> {
        let opened = consultation.with_newest(self.table, &self.object, |object| {
            self.open_once(consultation, sought, object)
        })?;
        Ok(opened.unwrap_or(Opened::Gone))
    }

    fn open_once(
        &self,
        consultation: &Consultation,
        sought: &Filter,
        object: &ObjectMeta,
    ) -> Result<Opened, open::Error> {
        if *self.table == LEDGER {
            let file = consultation.read_whole(object)?;
            return Ok(Opened::Account(Account::read(&object.location, &file)?));
        }
        let reader = prune(consultation.open(self.table, object)?, sought)?;
        let group = |number| Group {
            gateway: Arc::clone(&self.gateway),
            partition: self.partition,
            object: object.location.clone(),
            footer: reader.footer().clone(),
            part: reader.file().afresh(),
            number,
            threads: 1,
        };
        Ok(Opened::Groups(reader.groups().into_iter().map(group).collect()))
    }
}

impl Group {
    /// The rows of an answer.
    pub(super) fn rows(&self, sought: &Filter) -> Result<Option<Columns>, reader::Error> {
        let Some(batch): Option<RecordBatch> = self.read(sought, &all_columns())? else {
            return Ok(None);
        };
        let columns = Columns::of(&self.gateway, &batch);
        columns.map(Some).ok_or_else(|| reader::Fault::Column(String::new()).of(&self.object))
    }
}

fn all_columns() -> Vec<&'static str> {
    FLOWS.columns.iter().map(|column| column.name).collect()
}
