//! How an answer is written, row by row.

use flowlog::ask::flows::{Ranked, Ranking, Report, Row};

use super::Output;

/// A format of an answer.
pub trait Page: Send {
    /// Begins a list of flows.
    fn begin(&mut self, out: &mut Output);
    /// Writes a flow.
    fn row(&mut self, out: &mut Output, row: &Row<'_>);
    /// Begins a ranking.
    fn begin_ranking(&mut self, out: &mut Output, ranking: &Ranking);
    /// Writes a place of a ranking.
    fn ranked(&mut self, out: &mut Output, place: &Ranked);
    /// Ends the answer; `has_time`: it is of some time, and not of all.
    fn end(&mut self, out: &mut Output, report: &Report, has_time: bool);
}

/// Text for a program, which is written when there is much of it.
#[derive(Default)]
pub struct Buffer(pub String);

const MUCH: usize = 64 << 10;

impl Buffer {
    /// Writes what there is, if it is much.
    pub fn spill(&mut self, out: &mut Output) {
        if self.0.len() >= MUCH {
            self.flush(out);
        }
    }

    /// Writes what there is.
    pub fn flush(&mut self, out: &mut Output) {
        out.raw(&self.0);
        self.0.clear();
    }
}
