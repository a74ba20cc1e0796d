//! Time lines: who had an address, or what a subscriber had, in a time.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Around, Candidate, Certainty, Error, Outcome, Reason, Recorded,
    claim::Claim,
    read::{self, Mapping},
    watch::{Coverage, Gap, REPORTS_APART, Watch, condensed},
};
use crate::{
    ask::open::{self, Consultation, Part, Times},
    record::{
        gateway::GatewayName,
        redacted::Address,
        session::{CoverageRow, SessionRow, State, Subscriber},
    },
    table::{
        COVERAGE, ObjectName, Reader, SESSIONS, Table,
        reader::{self, Value},
        sessions::{self, hex_of},
    },
};
use object_store::{ObjectMeta, path::Path};

/// Whose time line it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of an address.
    Address(Address),
    /// That of a subscriber.
    Subscriber(Subscriber),
}

/// A question for a time line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineQuestion {
    /// Whose.
    pub whose: Whose,
    /// When.
    pub times: Times,
    /// The address space; `None`: all of them.
    pub realm: Option<String>,
}

/// A time line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// [`Outcome::Identified`] where there are rows and no gaps, [`Outcome::None`] where there are neither.
    pub outcome: Outcome,
    /// What qualifies it.
    pub reasons: Vec<Reason>,
    /// The rows, with their slices joined, in order of time.
    pub rows: Vec<Candidate>,
    /// Times in which sources were not looked at.
    pub gaps: Vec<Gap>,
}

/// Asks a store for a time line. Called by a thread that may wait.
pub fn line(
    consultation: &Consultation,
    question: &LineQuestion,
    gateway: Option<&GatewayName>,
    mapping: Mapping<'_>,
) -> Result<Line, Error> {
    let gateways = read::gateways(consultation, gateway)?;
    let tables: [&'static Table; 2] = [&SESSIONS, &COVERAGE];
    let lists: Vec<_> =
        gateways.iter().flat_map(|gateway| tables.map(|table| (gateway, table))).collect();
    let listed = read::all(consultation, &lists, |(gateway, table)| {
        objects(consultation, table, gateway, question.times)
    })?;
    let jobs: Vec<_> = lists
        .iter()
        .zip(listed)
        .flat_map(|((gateway, table), objects)| {
            objects.into_iter().map(move |object| (*gateway, *table, object))
        })
        .collect();
    let rows = read::all(consultation, &jobs, |(_, table, object)| {
        if **table == COVERAGE {
            let rows = read::read_coverage(consultation, object)?;
            // Those of a year would be millions.
            return Ok((vec![], condensed(&rows)));
        }
        let rows = read::read(consultation, &SESSIONS, object, |reader| {
            question.rows(&object.location, reader, mapping)
        })?;
        Ok((rows, vec![]))
    })?;
    let mut recorded: BTreeMap<&str, Recorded> = BTreeMap::new();
    for ((gateway, ..), (sessions, coverage)) in jobs.iter().zip(rows) {
        let of = recorded.entry(gateway).or_default();
        of.gateway.clone_from(gateway);
        of.sessions.extend(sessions);
        of.coverage.extend(coverage);
    }
    Ok(judge_line(question, &recorded.into_values().collect::<Vec<_>>()))
}

/// From so many days on, all objects of a table are listed at once.
const DAYS_ONE_BY_ONE: usize = 8;

fn objects(
    consultation: &Consultation,
    table: &'static Table,
    gateway: &str,
    times: Times,
) -> Result<Vec<ObjectMeta>, Error> {
    let times = Times::new(times.from.minus(REPORTS_APART), times.to.plus(REPORTS_APART));
    let length = times.from.distance(times.to).as_secs() / 86_400;
    if length < DAYS_ONE_BY_ONE as u64 {
        return read::objects(consultation, table, gateway, times);
    }
    let listed = consultation.all_objects(table, gateway).map_err(open::Error::from)?;
    let is_within = |object: &ObjectMeta| {
        ObjectName::parse(&object.location).is_some_and(|name| {
            name.partition.start < times.to && name.partition.end() > times.from
        })
    };
    Ok(read::sound(listed)?.into_iter().filter(is_within).collect())
}

impl LineQuestion {
    fn rows(
        &self,
        object: &Path,
        reader: Reader<Part>,
        mapping: Mapping<'_>,
    ) -> Result<Vec<SessionRow>, reader::Error> {
        let reader = match &self.whose {
            Whose::Address(address) => {
                let hex = hex_of(*address.in_clear());
                let hex = Some(Value::Text(&hex));
                reader.between("inner_first", None, hex)?.between("inner_last", hex, None)?
            }
            Whose::Subscriber(_) => reader,
        };
        if !self.may_be_in(object, &reader)? {
            return Ok(vec![]);
        }
        let mut kept = vec![];
        for rows in reader.prefetched()?.batches()? {
            for mut row in sessions::rows(&rows?)? {
                if row.subscriber.is_none() {
                    row.subscriber = mapping(row.peer, row.held.start);
                }
                if self.concerns(&row) {
                    kept.push(row);
                }
            }
        }
        Ok(kept)
    }

    /// Whether a file can have a row of the time line: most have none of a subscriber, as one of its columns shows.
    fn may_be_in(&self, object: &Path, reader: &Reader<Part>) -> Result<bool, reader::Error> {
        let Whose::Subscriber(sought) = &self.whose else { return Ok(true) };
        let sought = sought.in_clear().as_str();
        let column = Reader::of(reader.footer().clone(), object, reader.file().clone());
        for rows in column.select(&["subscriber"])?.batches()? {
            let rows = rows?;
            let mut subscribers = rows.texts("subscriber")?.iter();
            if subscribers.any(|subscriber| subscriber.is_none_or(|of| of == sought)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn concerns(&self, row: &SessionRow) -> bool {
        let is_of = match &self.whose {
            Whose::Address(address) => row.prefix.in_clear().contains(address.in_clear()),
            Whose::Subscriber(subscriber) => row.subscriber.as_ref() == Some(subscriber),
        };
        let (start, end) = (row.held.possible_start(), row.held.possible_end());
        let is_within = start < self.times.to && end > self.times.from;
        is_of && is_within && self.is_of_realm(&row.realm)
    }

    fn is_of_realm(&self, realm: &str) -> bool {
        self.realm.as_deref().is_none_or(|asked| asked == realm)
    }

    fn around(&self) -> Around {
        Around { from: self.times.from, to: self.times.to.minus(Duration::from_millis(1)) }
    }
}

/// Makes a time line of the rows that a store has of it.
#[must_use]
pub fn judge_line(question: &LineQuestion, recorded: &[Recorded]) -> Line {
    let mut rows: Vec<Candidate> = recorded.iter().flat_map(|of| rows_of(question, of)).collect();
    rows.sort_by(|a, b| {
        (a.from, a.to, &a.gateway, a.session).cmp(&(b.from, b.to, &b.gateway, b.session))
    });
    let around = question.around();
    let watches: Vec<Watch> = recorded
        .iter()
        .flat_map(|of| {
            let rows =
                of.coverage.iter().filter(|row: &&CoverageRow| question.is_of_realm(&row.realm));
            Watch::of(&of.gateway, rows, around)
        })
        .collect();
    let gaps: Vec<Gap> = watches.iter().flat_map(|watch| watch.gaps(around)).collect();
    let has = |wanted| watches.iter().any(|watch| watch.coverage(around) == wanted);
    let is_broken = gaps.iter().any(|gap| gap.to.is_some());
    let is_begun = has(Coverage::Whole) || has(Coverage::Broken);
    let mut reasons = vec![];
    let mut add = |reason, holds: bool| {
        if holds {
            reasons.push(reason);
        }
    };
    add(Reason::Gap, is_broken || watches.is_empty());
    add(Reason::Horizon, has(Coverage::Behind) || has(Coverage::GivenUp) && !is_begun);
    add(Reason::Purged, has(Coverage::Later) && !is_begun);
    add(Reason::Unmapped, rows.iter().any(|row| row.subscriber.is_none()));
    let is_proven = !reasons
        .iter()
        .any(|reason| matches!(reason, Reason::Gap | Reason::Horizon | Reason::Purged));
    let outcome = match (rows.is_empty(), is_broken) {
        (false, false) => Outcome::Identified,
        (true, false) if is_proven => Outcome::None,
        (true, false) | (_, true) => Outcome::Undetermined,
    };
    Line { outcome, reasons, rows, gaps }
}

fn rows_of(question: &LineQuestion, recorded: &Recorded) -> Vec<Candidate> {
    let mut holders: BTreeMap<_, Vec<&SessionRow>> = BTreeMap::new();
    for row in recorded.sessions.iter().filter(|row| question.concerns(row)) {
        let holder = (row.session, row.peer, row.prefix, &row.instance, &row.realm);
        holders.entry(holder).or_default().push(row);
    }
    let claims = holders
        .into_values()
        .flat_map(|rows| Claim::joined(rows.into_iter().map(Claim::of).collect()));
    claims
        .map(|claim| {
            let is_certain =
                claim.row.state == State::Tunnel && claim.certain.start < claim.certain.end;
            let certainty = if is_certain { Certainty::Certain } else { Certainty::Possible };
            Candidate::of_claim(&recorded.gateway, &claim, certainty)
        })
        .collect()
}
