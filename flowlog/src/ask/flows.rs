//! What operators ask of the flows, without another program: who talked to an address at an instant, what a member
//! did, who moved most.
//!
//! ```text
//! folders of the time ──▶ footers: row groups that can have rows ──▶ row groups, each on a thread ──▶ in order
//! ```
//!
//! An answer comes hour by hour, and within an hour by time, so that memory does not grow with the time that is asked
//! for. It is never shorter than it should be without a word: what cannot be read is in the [`Report`], and so is
//! each gap in which flowlog did not count.

mod columns;
mod filter;
mod gaps;
mod plan;
pub(super) mod pool;
mod scan;
mod top;

use std::{ops::ControlFlow, time::Duration};

use self::{columns::Columns, plan::Scan, scan::Group};
pub use self::{
    columns::Row,
    filter::{Addresses, Filter, Lasts, NoAddresses},
    gaps::Gap,
    top::{By, Of, Ranked, Ranking},
};
use super::open::{self, Consultation, Read, UnknownGateway};
use crate::{record::gateway::GatewayName, store::Oddity, table::isolated::Panicked};

/// A question about flows.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What all rows have in common.
    pub filter: Filter,
    /// One gateway alone.
    pub gateway: Option<GatewayName>,
    /// After an outage of the daemon, flows of that time are in the hour in which it came back: so much later they are
    /// looked for.
    pub outage: Duration,
}

/// How far a question looks for flows of a time without a daemon, unless it says otherwise.
pub const OUTAGE: Duration = Duration::from_hours(1);

/// What is to be known beside the rows.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows of the answer.
    pub rows: u64,
    /// Times in the one that was asked for in which flowlog may not have counted.
    pub gaps: Vec<Gap>,
    /// Objects that could not be read: their rows are missing.
    pub unreadable: Vec<Unreadable>,
    /// Objects beside those of flowlog, which it did not read.
    pub foreign: Vec<String>,
    /// What is in the folders and is no object.
    pub oddities: Vec<Oddity>,
    /// What was read.
    pub read: Read,
}

/// An object that could not be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its path in the store.
    pub object: String,
    /// Why.
    pub error: open::Error,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be listed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// No such gateway.
    #[error(transparent)]
    Gateway(#[from] UnknownGateway),
    /// A sum does not fit.
    #[error(
        "a sum of the ranking is larger than any sum of packets: a file is not what flowlog wrote"
    )]
    Sum,
    /// A fault of this program.
    #[error("a thread of the question panicked")]
    Panicked,
}

impl From<Panicked> for Error {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

/// Rows that are held for being sorted; more of one hour come in several parts, each by time.
const SORTED_ROWS: usize = 1 << 18;

/// Gives each row of an answer to `each`, until that breaks off. Called by a thread that may wait.
pub fn rows(
    consultation: &Consultation,
    question: &Question,
    mut each: impl FnMut(&Row<'_>) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let mut scan = Scan::begin(consultation, question)?;
    let mut hour = Hour::default();
    let mut rows = 0;
    let read = |group: &Group| group.rows(&question.filter);
    let mut each = |row: &Row<'_>| {
        rows += 1;
        each(row)
    };
    scan.each_group(read, |group, columns| {
        if hour.partition.as_ref() != Some(&group.partition) || hour.count >= SORTED_ROWS {
            hour.give(&mut each)?;
            hour = Hour { partition: Some(group.partition), ..Hour::default() };
        }
        hour.count += columns.count();
        hour.parts.push(columns);
        ControlFlow::Continue(())
    })?;
    // Whoever has broken off before has no more.
    if !scan.is_over() {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = hour.give(&mut each);
    }
    Ok(Report { rows, ..scan.report() })
}

/// Ranks members, remotes or ports by what they moved. Called by a thread that may wait.
pub fn top(
    consultation: &Consultation,
    question: &Question,
    ranking: &Ranking,
) -> Result<(Vec<Ranked>, Report), Error> {
    let mut scan = Scan::begin(consultation, question)?;
    let mut sums = top::Sums::new(ranking.of);
    let read = |group: &Group| top::add_up(group, &question.filter, ranking.of);
    scan.each_group(read, |group, of_group| {
        sums.add(&group.gateway, &of_group);
        ControlFlow::Continue(())
    })?;
    let ranked = sums.ranked(ranking).ok_or(Error::Sum)?;
    Ok((ranked, Report { rows: sums.flows(), ..scan.report() }))
}

/// The rows of an hour, of all gateways.
#[derive(Default)]
struct Hour {
    partition: Option<crate::record::clock::Utc>,
    parts: Vec<Columns>,
    count: usize,
}

impl Hour {
    /// Gives the rows by time.
    fn give(&self, each: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut order: Vec<((i64, i64), u32, u32)> = Vec::with_capacity(self.count);
        for (number, part) in (0..).zip(&self.parts) {
            order.extend((0..).zip(0..part.count()).map(|(row, at)| (part.times(at), number, row)));
        }
        let row = |part: u32, row: u32| Some((self.parts.get(part as usize)?, row as usize));
        let full = |part: u32, at: u32| row(part, at).map(|(part, row)| part.row(row));
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| full(a.1, a.2).cmp(&full(b.1, b.2)))
        });
        for (_, part, at) in order {
            if let Some((part, at)) = row(part, at) {
                each(&part.row(at))?;
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
