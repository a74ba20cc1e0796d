//! When a source was looked at, by the rows of its coverage.

use std::{collections::BTreeMap, time::Duration};

use super::Around;
use crate::record::{
    clock::Utc,
    session::{CoverageGap, CoverageReason, CoverageRow, Instance},
};

/// Of a source that has not reported for so long, it is taken that it was given up.
const GIVEN_UP: Duration = Duration::from_hours(24);

/// Two reports of a source that is looked at all the time are no further apart.
pub(super) const REPORTS_APART: Duration = Duration::from_mins(2);

/// A time in which a source was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The gateway.
    pub gateway: String,
    /// The source.
    pub instance: Instance,
    /// Its address space.
    pub realm: String,
    /// Its beginning.
    pub from: Utc,
    /// Its end; `None` where no later row of the source was read.
    pub to: Option<Utc>,
    /// Why; `None` where no row states it.
    pub reason: Option<CoverageReason>,
}

/// The looks at a source.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub gateway: String,
    pub instance: Instance,
    pub realm: String,
    pub clock_error_ms: u32,
    /// Times in which it was looked at, in order; windows that adjoin are one.
    spans: Vec<(Utc, Utc)>,
    gaps: Vec<CoverageGap>,
}

/// What is known of a source around an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coverage {
    /// It was looked at all the time.
    Whole,
    /// It was looked at before and after, and not all the time.
    Broken,
    /// Its last report is before the end of that time, and less than a day old.
    Behind,
    /// It had been given up.
    GivenUp,
    /// Its first report is later.
    Later,
}

impl Watch {
    /// The sources of a gateway. Their clocks are those of the windows that are near an instant.
    pub fn of<'a>(
        gateway: &str,
        rows: impl Iterator<Item = &'a CoverageRow>,
        near: Around,
    ) -> Vec<Self> {
        let mut sources: BTreeMap<(&Instance, &str), Vec<&CoverageRow>> = BTreeMap::new();
        for row in rows {
            sources.entry((&row.instance, &row.realm)).or_default().push(row);
        }
        let watch = |((instance, realm), rows): ((&Instance, &str), Vec<&CoverageRow>)| Self {
            gateway: gateway.to_owned(),
            instance: instance.clone(),
            realm: realm.to_owned(),
            clock_error_ms: clock_error_ms(&rows, near),
            spans: spans(&rows),
            gaps: gaps(&rows),
        };
        sources.into_iter().map(watch).collect()
    }

    /// What is known of it around an instant.
    pub fn coverage(&self, around: Around) -> Coverage {
        let Some((first, last)) = self.bounds() else { return Coverage::Later };
        if last < around.to {
            let silent = around.to.distance(last);
            return if silent > GIVEN_UP { Coverage::GivenUp } else { Coverage::Behind };
        }
        if first > around.from {
            return Coverage::Later;
        }
        let is_spanned =
            self.spans.iter().any(|(from, to)| *from <= around.from && *to >= around.to);
        if is_spanned && !self.gaps.iter().any(|gap| meets(gap.start, gap.end, around)) {
            Coverage::Whole
        } else {
            Coverage::Broken
        }
    }

    /// The parts of a time in which it was not looked at, between its first and its last report.
    pub fn gaps(&self, around: Around) -> Vec<Gap> {
        let gap = |from, to, reason| Gap {
            gateway: self.gateway.clone(),
            instance: self.instance.clone(),
            realm: self.realm.clone(),
            from,
            to,
            reason,
        };
        let stated = self.gaps.iter().map(|of| (of.start, of.end, Some(of.reason)));
        let is_stated = |(from, to): &(Utc, Utc)| {
            self.gaps.iter().any(|gap| gap.start < *to && gap.end > *from)
        };
        let between = self.spans.windows(2).filter_map(|pair| match pair {
            [(_, from), (to, _)] => Some((*from, *to)).filter(|hole| !is_stated(hole)),
            _ => None,
        });
        let unstated = between.map(|(from, to)| (from, to, None));
        let mut gaps: Vec<Gap> = stated
            .chain(unstated)
            .filter(|(from, to, _)| meets(*from, *to, around))
            .map(|(from, to, reason)| gap(from, Some(to), reason))
            .collect();
        if let (Coverage::Behind, Some((_, last))) = (self.coverage(around), self.bounds()) {
            gaps.push(gap(last, None, None));
        }
        gaps.sort_by_key(|gap| (gap.from, gap.to));
        gaps
    }

    /// The first and the last instant of which anything is known.
    fn bounds(&self) -> Option<(Utc, Utc)> {
        let starts = self.spans.iter().map(|(start, _)| *start);
        let first = starts.chain(self.gaps.iter().map(|gap| gap.start)).min()?;
        let ends = self.spans.iter().map(|(_, end)| *end);
        let last = ends.chain(self.gaps.iter().map(|gap| gap.end)).max()?;
        Some((first, last))
    }
}

/// A gap that ends at an instant, as one that begins there, is not around it.
fn meets(from: Utc, to: Utc, around: Around) -> bool {
    from <= around.to && to > around.from
}

fn clock_error_ms(rows: &[&CoverageRow], near: Around) -> u32 {
    let is_near = |row: &&&CoverageRow| meets(row.window.0, row.window.1, near);
    rows.iter().filter(is_near).map(|row| row.clock_error_ms).max().unwrap_or(0)
}

/// Whether a window's first report follows another one as soon as that of any source does.
fn is_soon(last: Utc, row: &CoverageRow) -> bool {
    row.observed.0 <= last.plus(REPORTS_APART)
}

/// Between the reports of windows that adjoin, nobody stopped looking.
fn spans(rows: &[&CoverageRow]) -> Vec<(Utc, Utc)> {
    let mut rows: Vec<&&CoverageRow> = rows.iter().filter(|row| is_look(row)).collect();
    rows.sort_by_key(|row| (row.window.0, row.observed.0));
    let mut spans: Vec<((Utc, Utc), Utc)> = vec![];
    for row in rows {
        match spans.last_mut() {
            Some(((_, to), end)) if row.window.0 <= *end && is_soon(*to, row) => {
                *to = row.observed.1.max(*to);
                *end = row.window.1.max(*end);
            }
            _ => spans.push((row.observed, row.window.1)),
        }
    }
    spans.into_iter().map(|(span, _)| span).collect()
}

/// The same coverage in fewer rows: one for all windows of a source that adjoin, and one for each gap.
pub(super) fn condensed(rows: &[CoverageRow]) -> Vec<CoverageRow> {
    let mut rows: Vec<&CoverageRow> = rows.iter().collect();
    let order = |row: &CoverageRow| (row.window.0, row.observed.0);
    rows.sort_by(|a, b| {
        let source = (&a.instance, &a.realm).cmp(&(&b.instance, &b.realm));
        source.then_with(|| order(a).cmp(&order(b)))
    });
    let of_gap = |row: &&CoverageRow| CoverageRow { reports: 0, ..(*row).clone() };
    let gaps: Vec<CoverageRow> = rows.iter().filter(|row| row.gap.is_some()).map(of_gap).collect();
    let mut condensed: Vec<CoverageRow> = vec![];
    for row in rows.into_iter().filter(|row| is_look(row)) {
        match condensed.last_mut() {
            Some(last)
                if (&last.instance, &last.realm) == (&row.instance, &row.realm)
                    && row.window.0 <= last.window.1
                    && is_soon(last.observed.1, row) =>
            {
                last.window.1 = last.window.1.max(row.window.1);
                last.observed.1 = last.observed.1.max(row.observed.1);
                last.clock_error_ms = last.clock_error_ms.max(row.clock_error_ms);
            }
            _ => condensed.push(CoverageRow { gap: None, ..row.clone() }),
        }
    }
    condensed.extend(gaps);
    condensed
}

/// A row that is only there for a gap is no look.
fn is_look(row: &CoverageRow) -> bool {
    row.reports > 0 || row.gap.is_none()
}

/// The gaps: one that was cut where a window ends is one.
fn gaps(rows: &[&CoverageRow]) -> Vec<CoverageGap> {
    let cut = rows.iter().filter_map(|row| Some((row.gap?, row.window)));
    let mut cut: Vec<(CoverageGap, (Utc, Utc))> = cut.collect();
    cut.sort_unstable();
    cut.dedup();
    let mut gaps: Vec<CoverageGap> = vec![];
    for (gap, (opened, _)) in cut {
        match gaps.last_mut() {
            Some(last)
                if last.end == gap.start && gap.start == opened && last.reason == gap.reason =>
            {
                last.end = gap.end;
            }
            _ => gaps.push(gap),
        }
    }
    gaps
}
