//! Who may have had an address.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Question, Recorded, claim::Claim};
use crate::record::{
    clock::Utc,
    redacted::Prefix,
    session::{Instance, Outer, Peer, SessionId, SessionRow, State, Subscriber},
};

/// How sure a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The tunnel was up, and the address was held, in all of the time around the instant.
    Certain,
    /// It may have been.
    Possible,
}

/// What a candidate is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Rows of the instant.
    Row,
    /// A row of the oldest day that is kept: it has the beginning of its session.
    SessionStart,
}

/// A session that may have held the address from one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How sure it is.
    pub certainty: Certainty,
    /// What it is taken from.
    pub basis: Basis,
    /// The gateway.
    pub gateway: String,
    /// The address space.
    pub realm: String,
    /// The source.
    pub instance: Instance,
    /// The session.
    pub session: SessionId,
    /// How often its endpoint had changed.
    pub segment: u32,
    /// The peer.
    pub peer: Peer,
    /// Its subscriber.
    pub subscriber: Option<Subscriber>,
    /// Whether it could send.
    pub state: State,
    /// The addresses that it held.
    pub prefix: Prefix,
    /// Where its tunnel ended outside.
    pub outer: Option<Outer>,
    /// Since when it certainly held them.
    pub from: Utc,
    /// Until when.
    pub to: Utc,
    /// By how many milliseconds it may have begun earlier.
    pub from_slack_ms: u64,
    /// By how many milliseconds it may have ended later.
    pub to_slack_ms: u64,
    /// Whether it goes on.
    pub continues: bool,
    /// The greatest error of the gateway's clock in its rows, in milliseconds.
    pub clock_error_ms: u32,
}

/// What is one holder.
type Holder = (SessionId, Peer, Prefix, Instance, String);

impl Candidate {
    /// Those of a gateway. Of prefixes within each other the longest one has the address, as in the gateway's own
    /// table: who held a wider one is no candidate where a longer one was certainly held, and else never certain.
    pub(super) fn of(question: &Question, recorded: &Recorded) -> Vec<Self> {
        let mut holders: BTreeMap<Holder, Vec<&SessionRow>> = BTreeMap::new();
        for row in recorded.sessions.iter().filter(|row| question.concerns(row)) {
            let SessionRow { session, peer, prefix, instance, realm, .. } = row;
            let holder = (*session, *peer, *prefix, instance.clone(), realm.clone());
            holders.entry(holder).or_default().push(row);
        }
        let found: Vec<OfHolder> =
            holders.values().map(|rows| OfHolder::of(question, recorded, rows)).collect();
        let candidates = found.iter().flat_map(|of| {
            let longer = || found.iter().filter(|other| other.is_longer(of));
            let is_elsewhere = longer().any(|other| other.is_held);
            let is_contested = longer().next().is_some();
            let contested = move |candidate: &Self| {
                let mut candidate = candidate.clone();
                if is_contested {
                    candidate.certainty = Certainty::Possible;
                }
                candidate
            };
            of.candidates.iter().filter(move |_| !is_elsewhere).map(contested)
        });
        candidates.collect()
    }

    /// One of the rows of a time line.
    pub(super) fn of_claim(gateway: &str, claim: &Claim<'_>, certainty: Certainty) -> Self {
        let row = claim.row;
        Self {
            certainty,
            basis: claim.basis,
            gateway: gateway.to_owned(),
            realm: row.realm.clone(),
            instance: row.instance.clone(),
            session: row.session,
            segment: row.segment,
            peer: row.peer,
            subscriber: row.subscriber.clone(),
            state: row.state,
            prefix: row.prefix,
            outer: claim.outer,
            from: claim.certain.start,
            to: claim.certain.end,
            from_slack_ms: distance(claim.possible.start, claim.certain.start),
            to_slack_ms: distance(claim.certain.end, claim.possible.end),
            continues: claim.continues,
            clock_error_ms: claim.clock_error_ms,
        }
    }
}

/// The claims of a session to a prefix around the instant.
struct OfHolder {
    candidates: Vec<Candidate>,
    /// Whether it certainly held the prefix in all of that time, with its tunnel up or not.
    is_held: bool,
}

impl OfHolder {
    fn of(question: &Question, recorded: &Recorded, rows: &[&SessionRow]) -> Self {
        let mut claims = Claim::joined(rows.iter().map(|row| Claim::of(row)).collect());
        if let (Some(first), Some(oldest)) = (claims.first_mut(), recorded.oldest)
            && question.around(first.clock_error_ms).from < oldest
        {
            first.back_to_session_start(oldest);
        }
        let meets =
            |claim: &&Claim<'_>| claim.possible.meets(question.around(claim.clock_error_ms));
        let worst =
            claims.iter().filter(meets).map(|claim| claim.clock_error_ms).max().unwrap_or(0);
        let around = question.around(worst);
        let is_up = Claim::tunnels(&claims).iter().any(|tunnel| tunnel.has(around));
        let candidate = |claim: &Claim<'_>| {
            let is_certain = is_up && claim.row.state == State::Tunnel;
            let certainty = if is_certain { Certainty::Certain } else { Certainty::Possible };
            let subscriber = subscriber(question.at, rows, claim);
            Candidate { subscriber, ..Candidate::of_claim(&recorded.gateway, claim, certainty) }
        };
        Self {
            candidates: claims.iter().filter(meets).map(candidate).collect(),
            is_held: Claim::held(&claims).iter().any(|span| span.has(around)),
        }
    }

    /// Whether it is a candidate with a longer prefix of the same source: both prefixes have the address.
    fn is_longer(&self, other: &Self) -> bool {
        let (Some(this), Some(other)) = (self.candidates.first(), other.candidates.first()) else {
            return false;
        };
        let length = |of: &Candidate| of.prefix.in_clear().prefix_len();
        (&this.instance, &this.realm) == (&other.instance, &other.realm)
            && length(this) > length(other)
    }
}

/// The subscriber by the newest row of a claim that begins before the instant; else, by the oldest one that has any.
fn subscriber(at: Utc, rows: &[&SessionRow], claim: &Claim<'_>) -> Option<Subscriber> {
    let of_claim = |row: &&&SessionRow| {
        row.segment == claim.row.segment && row.state == claim.row.state && row.subscriber.is_some()
    };
    let mut rows: Vec<&&SessionRow> = rows.iter().filter(of_claim).collect();
    rows.sort_by_key(|row| row.held.start);
    let before = rows.iter().rev().find(|row| row.held.start <= at);
    before.or(rows.first()).and_then(|row| row.subscriber.clone())
}

/// How many subscribers some candidates are. A peer without one counts as one, unless another candidate names that of
/// the same peer.
pub(super) fn subscribers(candidates: &[Candidate]) -> usize {
    let is_named = |peer: Peer| {
        candidates.iter().any(|other| other.peer == peer && other.subscriber.is_some())
    };
    let named: BTreeSet<&Subscriber> =
        candidates.iter().filter_map(|candidate| candidate.subscriber.as_ref()).collect();
    let unnamed: BTreeSet<Peer> =
        candidates.iter().map(|candidate| candidate.peer).filter(|peer| !is_named(*peer)).collect();
    named.len() + unnamed.len()
}

fn distance(from: Utc, to: Utc) -> u64 {
    if to <= from {
        return 0;
    }
    u64::try_from(from.distance(to).as_millis()).unwrap_or(u64::MAX)
}
