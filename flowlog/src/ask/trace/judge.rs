//! From rows to an answer.

use std::collections::BTreeSet;

use super::{
    Answer, Around, Basis, Candidate, Certainty, Outcome, Question, Reason, Recorded,
    UNSYNCHRONISED_MS,
    candidate::subscribers,
    watch::{Coverage, Gap, Watch},
};
use crate::record::session::State;

/// Judges who had the address, by the rows that a store has of all gateways that are asked.
#[must_use]
pub fn judge(question: &Question, recorded: &[Recorded]) -> Answer {
    let mut candidates: Vec<Candidate> =
        recorded.iter().flat_map(|gateway| Candidate::of(question, gateway)).collect();
    candidates.sort_by_cached_key(order);
    let watches: Vec<Watch> =
        recorded.iter().flat_map(|gateway| watches(question, gateway)).collect();
    let judgement = Judgement {
        question,
        subscribers: subscribers(&candidates),
        candidates: &candidates,
        watches: &watches,
        is_known: recorded.iter().any(|of| of.sessions.iter().any(|row| question.concerns(row))),
    };
    let outcome = judgement.outcome();
    Answer {
        outcome,
        reasons: judgement.reasons(outcome).into_iter().collect(),
        subscribers: judgement.subscribers,
        gaps: judgement.gaps(),
        gateway_error_ms: judgement.gateway_error_ms(),
        candidates,
    }
}

/// Whether the coverage of a gateway answers by itself that nobody had the address there.
#[must_use]
pub fn is_settled(question: &Question, recorded: &Recorded) -> bool {
    let watches = watches(question, recorded);
    let is_whole = |watch: &Watch| coverage(question, watch) == Coverage::Whole;
    !watches.is_empty() && watches.iter().all(is_whole)
}

fn watches(question: &Question, recorded: &Recorded) -> Vec<Watch> {
    let rows = recorded.coverage.iter().filter(|row| question.is_of_realm(&row.realm));
    Watch::of(&recorded.gateway, rows, question.around(UNSYNCHRONISED_MS))
}

fn coverage(question: &Question, watch: &Watch) -> Coverage {
    watch.coverage(around(question, watch))
}

fn around(question: &Question, watch: &Watch) -> Around {
    question.around(watch.clock_error_ms)
}

/// The certain ones first.
fn order(candidate: &Candidate) -> impl Ord + use<> {
    let Candidate { certainty, gateway, session, segment, from, prefix, .. } = candidate;
    (*certainty, gateway.clone(), *session, *segment, *from, *prefix)
}

struct Judgement<'a> {
    question: &'a Question,
    candidates: &'a [Candidate],
    subscribers: usize,
    watches: &'a [Watch],
    /// Whether any row that was read is of the address.
    is_known: bool,
}

impl Judgement<'_> {
    fn outcome(&self) -> Outcome {
        match self.subscribers {
            0 if self.unwatched().is_empty() => Outcome::None,
            1 if self.is_certain() && !self.is_beside_gap() => Outcome::Identified,
            0 | 1 => Outcome::Undetermined,
            _ => Outcome::Ambiguous,
        }
    }

    fn is_certain(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.certainty == Certainty::Certain)
    }

    /// Why coverage does not prove that nobody had the address.
    fn unwatched(&self) -> BTreeSet<Reason> {
        let has = |wanted| self.watches.iter().any(|of| coverage(self.question, of) == wanted);
        let mut reasons = BTreeSet::new();
        if has(Coverage::Broken) {
            reasons.insert(Reason::Gap);
        }
        if has(Coverage::Behind) {
            reasons.insert(Reason::Horizon);
        }
        if reasons.is_empty() && !has(Coverage::Whole) {
            // Nobody looked at that time.
            reasons.insert(match (has(Coverage::Later), has(Coverage::GivenUp)) {
                (true, _) => Reason::Purged,
                (false, true) => Reason::Horizon,
                (false, false) => Reason::Gap,
            });
        }
        reasons
    }

    /// The sources that a candidate would be known from.
    fn beside(&self) -> impl Iterator<Item = &Watch> {
        let is_beside = |watch: &&Watch| {
            let is_of = |of: &Candidate| of.gateway == watch.gateway && of.realm == watch.realm;
            self.candidates.iter().any(is_of)
        };
        self.watches.iter().filter(is_beside)
    }

    fn is_beside_gap(&self) -> bool {
        self.beside().any(|watch| coverage(self.question, watch) == Coverage::Broken)
    }

    fn reasons(&self, outcome: Outcome) -> BTreeSet<Reason> {
        let any = |is: &dyn Fn(&Candidate) -> bool| self.candidates.iter().any(is);
        let mut reasons = BTreeSet::new();
        let mut add = |reason, holds| {
            if holds {
                reasons.insert(reason);
            }
        };
        if outcome == Outcome::Undetermined && self.candidates.is_empty() {
            self.unwatched().into_iter().for_each(|reason| add(reason, true));
        }
        if outcome != Outcome::Identified {
            let is_possible = |of: &Candidate| of.certainty == Certainty::Possible;
            add(Reason::Fringe, any(&|of| is_possible(of) && of.state == State::Tunnel));
            add(Reason::Idle, any(&|of| of.state == State::Assigned));
            add(Reason::Gap, self.is_beside_gap());
            let is_behind = |watch| coverage(self.question, watch) == Coverage::Behind;
            add(Reason::Horizon, !self.is_certain() && self.beside().any(is_behind));
        }
        add(Reason::SessionStart, any(&|of| of.basis == Basis::SessionStart));
        add(Reason::ClockUnsynchronised, self.gateway_error_ms() >= UNSYNCHRONISED_MS);
        add(Reason::Unmapped, any(&|of| of.subscriber.is_none()));
        let realms: BTreeSet<&str> = self.candidates.iter().map(|of| of.realm.as_str()).collect();
        add(Reason::Realms, realms.len() > 1);
        add(Reason::UnknownAddress, self.candidates.is_empty() && !self.is_known);
        reasons
    }

    /// The gaps at the candidates' gateways; where there is no candidate, at all of them.
    fn gaps(&self) -> Vec<Gap> {
        let gaps_of = |watch: &Watch| watch.gaps(around(self.question, watch));
        if self.candidates.is_empty() {
            return self.watches.iter().flat_map(gaps_of).collect();
        }
        self.beside().flat_map(gaps_of).collect()
    }

    fn gateway_error_ms(&self) -> u32 {
        let of_rows = self.candidates.iter().map(|candidate| candidate.clock_error_ms);
        let of_watches = self.watches.iter().map(|watch| watch.clock_error_ms);
        let worst = if self.candidates.is_empty() { of_watches.max() } else { of_rows.max() };
        worst.unwrap_or(0)
    }
}
