//! A gap as rows of coverage.

use super::WINDOW;
use crate::record::{
    clock::Utc,
    session::{CoverageGap, CoverageRow, Instance},
};

/// The rows of a gap, one in each window that it touches.
pub(super) fn rows_of_gap(
    instance: &Instance,
    realm: &str,
    gap: CoverageGap,
    (from, to): (Utc, Utc),
) -> Vec<CoverageRow> {
    let row = |window: Utc| {
        let end = window.plus(WINDOW);
        let part = CoverageGap { start: gap.start.max(window), end: gap.end.min(end), ..gap };
        CoverageRow {
            instance: instance.clone(),
            realm: realm.to_owned(),
            window: (window, end),
            observed: (part.end, part.end),
            reports: 0,
            longest_pause_ms: 0,
            errors: 0,
            overruns: 0,
            gap: Some(part),
            clock_error_ms: 0,
            clock_step_ms: 0,
        }
    };
    gap.start.max(from).starts(WINDOW, gap.end.min(to)).map(row).collect()
}
