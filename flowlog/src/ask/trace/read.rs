//! Rows of a store for a question: the days around an instant, and no others unless nothing else can answer.

use std::{ops::ControlFlow, time::Duration};

use object_store::ObjectMeta;

use super::{
    Answer, Error, Question, Recorded, UNSYNCHRONISED_MS, is_settled, judge, watch::REPORTS_APART,
};
use crate::{
    ask::{
        flows::pool::in_order,
        open::{self, Consultation, Part, Times, UnknownGateway},
    },
    record::{
        clock::{DAY, Utc},
        gateway::GatewayName,
        session::{CoverageRow, Peer, SessionRow, Subscriber},
    },
    table::{
        COVERAGE, Reader, SESSIONS, Table, coverage,
        reader::{self, Value},
        sessions::{self, hex_of},
    },
};

const MILLISECOND: Duration = Duration::from_millis(1);

/// The subscriber of a peer at an instant, for rows that have none.
pub type Mapping<'a> = &'a (dyn Fn(Peer, Utc) -> Option<Subscriber> + Sync);

/// Asks a store who had an address at an instant. Called by a thread that may wait.
pub fn instant(
    consultation: &Consultation,
    question: &Question,
    gateway: Option<&GatewayName>,
    mapping: Mapping<'_>,
) -> Result<Answer, Error> {
    let gateways = gateways(consultation, gateway)?;
    let reading = Reading { consultation, question, mapping };
    let first = |gateway: &String| reading.around_the_instant(gateway);
    let mut recorded = all(consultation, &gateways, first)?;
    let answer = judge(question, &recorded);
    if !answer.candidates.is_empty() || recorded.iter().all(|of| is_settled(question, of)) {
        return Ok(answer);
    }
    let neighbours = |of: &Recorded| {
        if is_settled(question, of) { Ok(vec![]) } else { reading.days_beside(&of.gateway) }
    };
    let beside = all(consultation, &recorded, neighbours)?;
    for (of, rows) in recorded.iter_mut().zip(beside) {
        of.coverage.extend(rows);
    }
    Ok(judge(question, &recorded))
}

/// The gateways that are asked.
pub(super) fn gateways(
    consultation: &Consultation,
    gateway: Option<&GatewayName>,
) -> Result<Vec<String>, Error> {
    let known = consultation.gateways(&[&SESSIONS, &COVERAGE]).map_err(open::Error::from)?;
    Ok(UnknownGateway::chosen(known, gateway)?)
}

/// Does something for each of these, some at a time; the first error is that of all.
pub(super) fn all<J: Sync, T: Send>(
    consultation: &Consultation,
    jobs: &[J],
    work: impl Fn(&J) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let (mut done, mut outcome) = (Vec::with_capacity(jobs.len()), Ok(()));
    in_order(consultation.threads(), jobs, work, |_, result| match result {
        Ok(result) => {
            done.push(result);
            ControlFlow::Continue(())
        }
        Err(error) => {
            outcome = Err(error);
            ControlFlow::Break(())
        }
    })?;
    outcome.map(|()| done)
}

struct Reading<'a> {
    consultation: &'a Consultation,
    question: &'a Question,
    mapping: Mapping<'a>,
}

impl Reading<'_> {
    fn around_the_instant(&self, gateway: &str) -> Result<Recorded, Error> {
        let around = self.question.around(UNSYNCHRONISED_MS);
        let times = Times::new(around.from, around.to.plus(MILLISECOND));
        let mut sessions = vec![];
        let mut is_kept = true;
        for day in times.days() {
            let objects = objects(self.consultation, &SESSIONS, gateway, day)?;
            is_kept &= !objects.is_empty();
            self.add_sessions(&objects, &mut sessions)?;
        }
        let mut oldest = None;
        if !is_kept {
            oldest = self.oldest(gateway)?;
            if let Some(oldest) = oldest.filter(|oldest| *oldest > around.to) {
                let day = Times::new(oldest, oldest.plus(MILLISECOND));
                let objects = objects(self.consultation, &SESSIONS, gateway, day)?;
                self.add_sessions(&objects, &mut sessions)?;
            }
        }
        let wide = Times::new(
            around.from.minus(REPORTS_APART),
            around.to.plus(REPORTS_APART).plus(MILLISECOND),
        );
        let coverage = coverage_of(self.consultation, gateway, wide)?;
        Ok(Recorded { gateway: gateway.to_owned(), sessions, coverage, oldest })
    }

    /// The oldest day with an object: a folder may be empty while it is being deleted.
    fn oldest(&self, gateway: &str) -> Result<Option<Utc>, Error> {
        let days = self.consultation.days(&SESSIONS, gateway).map_err(open::Error::from)?;
        for day in days {
            let of_day = Times::new(day, day.plus(MILLISECOND));
            if !objects(self.consultation, &SESSIONS, gateway, of_day)?.is_empty() {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    fn add_sessions(&self, objects: &[ObjectMeta], to: &mut Vec<SessionRow>) -> Result<(), Error> {
        let hex = hex_of(*self.question.address.in_clear());
        let hex = Some(Value::Text(&hex));
        for object in objects {
            let rows = read(self.consultation, &SESSIONS, object, |reader| {
                let reader = reader.between("inner_first", None, hex)?;
                let reader = reader.between("inner_last", hex, None)?.prefetched()?;
                let mut kept = vec![];
                for rows in reader.batches()? {
                    let rows = sessions::rows(&rows?)?;
                    kept.extend(rows.into_iter().filter(|row| self.question.concerns(row)));
                }
                Ok(kept)
            })?;
            to.extend(rows.into_iter().map(|row| self.mapped(row)));
        }
        Ok(())
    }

    fn mapped(&self, mut row: SessionRow) -> SessionRow {
        if row.subscriber.is_none() {
            row.subscriber = (self.mapping)(row.peer, self.question.at);
        }
        row
    }

    /// The coverage of the nearest days with rows before and after the instant.
    fn days_beside(&self, gateway: &str) -> Result<Vec<CoverageRow>, Error> {
        let days = self.consultation.days(&COVERAGE, gateway).map_err(open::Error::from)?;
        let around = self.question.around(UNSYNCHRONISED_MS);
        let read = Times::new(around.from.minus(REPORTS_APART), around.to.plus(REPORTS_APART));
        let (first, last) = (read.from.floor(DAY), read.to.floor(DAY));
        let before = days.iter().rev().find(|day| **day < first);
        let after = days.iter().find(|day| **day > last);
        let mut rows = vec![];
        for day in before.into_iter().chain(after) {
            let of_day = Times::new(*day, day.plus(MILLISECOND));
            rows.extend(coverage_of(self.consultation, gateway, of_day)?);
        }
        Ok(rows)
    }
}

/// The coverage of the days of a time.
pub(super) fn coverage_of(
    consultation: &Consultation,
    gateway: &str,
    times: Times,
) -> Result<Vec<CoverageRow>, Error> {
    let mut rows = vec![];
    for object in objects(consultation, &COVERAGE, gateway, times)? {
        rows.extend(read_coverage(consultation, &object)?);
    }
    Ok(rows)
}

pub(super) fn read_coverage(
    consultation: &Consultation,
    object: &ObjectMeta,
) -> Result<Vec<CoverageRow>, Error> {
    read(consultation, &COVERAGE, object, |reader| {
        let mut kept = vec![];
        for rows in reader.prefetched()?.batches()? {
            kept.append(&mut coverage::rows(&rows?)?);
        }
        Ok(kept)
    })
}

/// The objects of the days of a time. An entry that may hide one is an error.
pub(super) fn objects(
    consultation: &Consultation,
    table: &'static Table,
    gateway: &str,
    times: Times,
) -> Result<Vec<ObjectMeta>, Error> {
    sound(consultation.objects(table, gateway, times).map_err(open::Error::from)?)
}

/// The objects of a list, unless an entry of it may hide one.
pub(super) fn sound(objects: open::Objects) -> Result<Vec<ObjectMeta>, Error> {
    match objects.oddities.into_iter().next() {
        Some(oddity) => Err(Error::Odd(oddity)),
        None => Ok(objects.known),
    }
}

/// Reads an object, again where another one takes its place meanwhile. One that retention deletes has no rows.
pub(super) fn read<T: Default>(
    consultation: &Consultation,
    table: &'static Table,
    object: &ObjectMeta,
    rows: impl Fn(Reader<Part>) -> Result<T, reader::Error>,
) -> Result<T, Error> {
    let read = consultation
        .with_newest(table, object, |object| Ok(rows(consultation.open(table, object)?)?))?;
    Ok(read.unwrap_or_default())
}
