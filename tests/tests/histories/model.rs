//! The model: it knows the whole history, and nothing of rows, days and tables.

use std::collections::BTreeSet;

use flowlog::{
    ask::trace::Outcome,
    record::{clock::Utc, session::State},
};

use super::history::{History, Stay};

/// Session, segment and certainty of each candidate, and the outcome.
pub type Answer = (BTreeSet<(String, u32, String)>, Outcome);

/// Each stay that may have been around the instant, and whether it had the address all that time.
pub fn answer(history: &History, at: Utc, error_ms: u32) -> Answer {
    let around = |of: &Stay| {
        let error = i64::from(error_ms + of.clock_error_ms);
        (at.ms() - error, at.ms() + error)
    };
    let meets = |of: &&Stay| {
        let (from, to) = (of.held.possible_start().ms(), of.held.possible_end().ms());
        from < to && from <= around(of).1 && to > around(of).0
    };
    let is_all_along = |of: &Stay, has: &dyn Fn(&Stay) -> bool| {
        let (from, to) = around(of);
        (from..=to).all(|ms| is_held(history, of.session, ms, has))
    };
    let found: Vec<&Stay> = history.stays.iter().filter(meets).collect();
    let mut candidates = vec![];
    for of in &found {
        // The longer prefix has the address.
        let longer =
            || found.iter().filter(|o| of.is_wide && !o.is_wide && o.gateway == of.gateway);
        if longer().any(|other| is_all_along(other, &|_| true)) {
            continue;
        }
        let is_up = |of: &Stay| of.state == State::Tunnel;
        let is_certain = is_up(of) && longer().next().is_none() && is_all_along(of, &is_up);
        candidates.push((*of, is_certain));
    }
    let members: BTreeSet<u16> = candidates.iter().map(|(of, _)| of.member).collect();
    let outcome = match members.len() {
        0 => Outcome::None,
        1 if candidates.iter().any(|(_, is_certain)| *is_certain) => Outcome::Identified,
        1 => Outcome::Undetermined,
        _ => Outcome::Ambiguous,
    };
    let named = candidates.into_iter().map(|(of, is_certain)| {
        let certainty = if is_certain { "certain" } else { "possible" };
        (history.session(of.session).hex(), of.segment, certainty.to_owned())
    });
    (named.collect(), outcome)
}

/// Whether a session held its prefix at an instant, by stays that have something: from stay to stay, also where the
/// change was seen a poll later.
fn is_held(history: &History, session: u64, ms: i64, has: &dyn Fn(&Stay) -> bool) -> bool {
    let stays: Vec<&Stay> = history.stays.iter().filter(|of| of.session == session).collect();
    stays.iter().enumerate().any(|(place, of)| {
        let is_certain = |of: &Stay| has(of) && of.held.start < of.held.end;
        let within = of.held.start.ms() <= ms && ms < of.held.end.ms();
        let until_next = stays.get(place + 1).is_some_and(|next| {
            is_certain(next) && of.held.end.ms() <= ms && ms < next.held.start.ms()
        });
        is_certain(of) && (within || until_next)
    })
}
