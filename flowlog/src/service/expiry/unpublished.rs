//! What expires before the store took it: it is not published any more.

use std::time::Duration;

use super::{super::windows::Shared, events::Event};
use crate::{
    keep::retain::{Rule, guard},
    record::{
        clock::{EARLIEST, JUMP, Utc},
        dated::Dated,
    },
    spool::HourFile,
    table::{FLOWS, HOUR},
};

/// The newest record in the spool that says something of the time before `now`, where the store cannot
/// be asked. With nothing that is `proven` the records are believed as far as they go on from the oldest
/// one without a jump: a clock that has jumped records too.
pub(super) fn newest(shared: &Shared, proven: Option<Utc>, now: Utc) -> Option<Utc> {
    let files = shared.lock().growing();
    let closed: Vec<Utc> =
        files.iter().flat_map(|file| &file.runs).map(|run| run.header.closed()).collect();
    let oldest = closed.iter().copied().filter(|closed| *closed >= EARLIEST).min();
    guard::newest(proven.or(oldest), closed, now)
}

/// Deletes what has expired in the spool.
pub(super) fn delete(shared: &Shared, rule: &Rule<'_>) {
    let now = Dated::now();
    let files = shared.lock().growing();
    for file in files {
        let hour = file.hour();
        let mut dated = file.runs.iter().filter_map(|run| run.header.dated.as_ref());
        if !has_expired(hour, rule) || dated.any(|dated| is_wrong(dated, &now)) {
            continue;
        }
        let (windows, rows) = size(&file);
        match shared.lock().remove(&file) {
            Ok(()) => Event::ExpiredUnpublished { hour, windows, rows }.emit(),
            Err(error) => Event::HourNotDeleted { error: &error }.emit(),
        }
    }
}

/// An hour that cannot be is published, and its time counts from then on.
fn has_expired(hour: Utc, rule: &Rule<'_>) -> bool {
    hour >= EARLIEST && rule.is_over(&FLOWS, hour.plus(HOUR))
}

/// Whether the clock turned out to be far off since it dated something: this is published too.
fn is_wrong(dated: &Dated, now: &Dated) -> bool {
    let off = Duration::from_nanos(dated.offset_ns.abs_diff(now.offset_ns));
    dated.boot == now.boot && off > JUMP
}

fn size(file: &HourFile) -> (usize, u64) {
    let windows = file.runs.iter().map(|run| run.header.windows.len()).sum();
    (windows, file.runs.iter().map(|run| run.header.entry_count()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keep::retain::Keep, record::period::parse_period};

    #[test]
    fn an_hour_expires_at_its_end_and_the_period_unless_it_cannot_be() {
        let utc = |text: &str| Utc::from(text.parse::<jiff::Timestamp>().unwrap());
        let keep = Keep::flows(parse_period("90d").unwrap());
        let expired = |hour, at| {
            let at = utc(at);
            has_expired(utc(hour), &Rule { keep: &keep, at, now: at, gateways: None })
        };
        assert!(!expired("2026-01-01T00:00:00Z", "2026-04-01T00:59:59Z"));
        assert!(expired("2026-01-01T00:00:00Z", "2026-04-01T01:00:00Z"));
        assert!(!expired("1970-01-01T00:00:00Z", "2026-04-01T01:00:00Z"));
    }

    #[test]
    fn what_a_clock_has_dated_that_turned_out_to_be_far_off_does_not_expire_by_that() {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let dated = |boot: &str, hours: i64| Dated {
            boot: boot.to_owned(),
            offset_ns: hours * HOUR_NS,
            synchronised: false,
        };
        assert!(!is_wrong(&dated("this", 0), &dated("this", 48)));
        assert!(is_wrong(&dated("this", 0), &dated("this", 49)));
        assert!(is_wrong(&dated("this", 99), &dated("this", 0)));
        assert!(!is_wrong(&dated("before", 0), &dated("this", 49)));
    }
}
