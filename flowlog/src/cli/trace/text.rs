//! An answer for people: the answer and how sure it is in one sentence, and below it what it is taken from.

use flowlog::{
    ask::trace::{
        Answer, Basis, Candidate, Certainty, Evidence, Gap, Line, Outcome, Reason, Whose,
    },
    record::{clock::Utc, session::State},
};

use super::{
    super::{Output, size},
    Asked, Found, When,
};

pub fn write(asked: &Asked, found: &Found, out: &mut Output) {
    match found {
        Found::Instant { answer, evidence, policies: _ } => instant(asked, answer, evidence, out),
        Found::Line(line) => time_line(asked, line, out),
    }
}

fn instant(asked: &Asked, answer: &Answer, evidence: &[Option<Evidence>], out: &mut Output) {
    let Answer { candidates, gaps, reasons, .. } = answer;
    out.line(sentence(asked, answer));
    if !candidates.is_empty() {
        out.line("");
        out.line("Candidates:");
    }
    if asked.is_listed(answer) {
        for (candidate, evidence) in candidates.iter().zip(evidence) {
            write_candidate(candidate, out);
            out.line(format!("    evidence: {}", of_evidence(evidence.as_ref())));
        }
    } else {
        let count = candidates.len();
        out.line(format!("  {count}, more than --max {}: they are not listed", asked.max));
    }
    write_gaps(gaps, out);
    write_reasons(reasons, answer.outcome, out);
}

/// The answer and how sure it is.
fn sentence(asked: &Asked, answer: &Answer) -> String {
    let When::At { at, error_ms } = asked.when else { return String::new() };
    let error_ms = u64::from(error_ms) + u64::from(answer.gateway_error_ms);
    let (subject, at) = (subject(asked), format!("{at} (give or take {error_ms} ms)"));
    let first = answer.candidates.first().map(holder).unwrap_or_default();
    match (answer.outcome, answer.subscribers) {
        (Outcome::Identified, _) => {
            format!("Identified: {first} had {subject} at {at}, for certain.")
        }
        (Outcome::None, _) => format!(
            "Nobody: no session had {subject} at {at}, for certain: all sources were looked at all the time."
        ),
        (Outcome::Ambiguous, count) => {
            format!("Ambiguous: each of {count} subscribers may have had {subject} at {at}.")
        }
        (Outcome::Undetermined, 0) => format!(
            "Undetermined: no record shows that anybody had {subject} at {at}, and the records do not prove that nobody had."
        ),
        (Outcome::Undetermined, _) => {
            format!(
                "Undetermined: {first} may have had {subject} at {at}, and nobody else is known to; it is not certain."
            )
        }
    }
}

fn subject(asked: &Asked) -> String {
    match &asked.whose {
        Whose::Address(address) => address.in_clear().to_string(),
        Whose::Subscriber(subscriber) => format!("the subscriber {}", subscriber.in_clear()),
    }
}

fn holder(candidate: &Candidate) -> String {
    match &candidate.subscriber {
        Some(subscriber) => format!("the subscriber {}", subscriber.in_clear()),
        None => format!("the peer {}, who has no subscriber,", candidate.peer.hex()),
    }
}

fn write_candidate(candidate: &Candidate, out: &mut Output) {
    let Candidate { certainty, state, gateway, realm, instance, prefix, from, to, .. } = candidate;
    let Candidate { from_slack_ms, to_slack_ms, continues, basis, segment, outer, .. } = candidate;
    let certainty = match certainty {
        Certainty::Certain => "certain",
        Certainty::Possible => "possible",
    };
    let state = match state {
        State::Tunnel => "tunnel up",
        State::Assigned => "reserved, no tunnel up",
    };
    let name = candidate.subscriber.as_ref().map_or("no subscriber", |of| of.in_clear().as_str());
    out.line(format!("  {name} (peer {}): {certainty}, {state}", candidate.peer.hex()));
    let slack = |ms: u64| if ms == 0 { String::new() } else { format!(" (give or take {ms} ms)") };
    let goes_on = if *continues { ", and goes on" } else { "" };
    out.line(format!(
        "    held {} from {from}{} to {to}{}{goes_on}",
        prefix.in_clear(),
        slack(*from_slack_ms),
        slack(*to_slack_ms)
    ));
    let outer = outer.map_or("an endpoint that is not known".to_owned(), |outer| {
        let port = outer.port.map_or(String::new(), |port| format!(", port {port}"));
        format!("{}{port}", outer.address.in_clear())
    });
    let session = candidate.session.hex();
    out.line(format!(
        "    by {} {} of gateway {gateway} (realm {realm}), from {outer}; session {session}, segment {segment}",
        instance.source.name(),
        instance.name,
    ));
    if *basis == Basis::SessionStart {
        out.line(
            "    the records of that day are deleted; a later one of the session has its beginning",
        );
    }
}

fn of_evidence(evidence: Option<&Evidence>) -> String {
    let Some(Evidence { flows, first, last, bytes_up, bytes_down }) = evidence else {
        return "no flows of that time are kept".to_owned();
    };
    match (first, last) {
        (Some(first), Some(last)) => {
            let (up, down) = (size::bytes(*bytes_up), size::bytes(*bytes_down));
            format!("{flows} flows from {first} to {last}, {up} up, {down} down")
        }
        _ => "no flow around that instant".to_owned(),
    }
}

fn write_gaps(gaps: &[Gap], out: &mut Output) {
    if gaps.is_empty() {
        return;
    }
    out.line("");
    out.line("Times in which a source was not looked at:");
    for Gap { gateway, instance, realm, from, to, reason } in gaps {
        let to = to.map_or("now, as far as the store knows".to_owned(), |to| to.to_string());
        let reason =
            reason.map_or("no reason is recorded", flowlog::record::session::CoverageReason::name);
        let source = format!("{} {}", instance.source.name(), instance.name);
        out.line(format!(
            "  gateway {gateway}, {source} (realm {realm}): {from} to {to}, {reason}"
        ));
    }
}

fn write_reasons(reasons: &[Reason], outcome: Outcome, out: &mut Output) {
    if reasons.is_empty() {
        return;
    }
    out.line("");
    out.line(if outcome == Outcome::Identified { "Remarks:" } else { "Reasons:" });
    for reason in reasons {
        out.line(format!("  {}", explanation(*reason)));
    }
}

/// What a reason means, and what to do about it.
const fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::Fringe => {
            "fringe: the instant is at the edge of a session; ask again with a smaller --error if the clock of whoever reports is good, else for another instant of the same report"
        }
        Reason::Gap => {
            "gap: nobody looked at a source around the instant; ask for another instant of the same report, outside of the gap"
        }
        Reason::Idle => {
            "idle: the address was reserved for a member whose tunnel was not up; ask for another instant of the same report"
        }
        Reason::Horizon => {
            "horizon: the store has no later records of a gateway; ask again when its next window is in the store (flowlog status reports when)"
        }
        Reason::Purged => "purged: the records of that time are deleted, or there were none yet",
        Reason::SessionStart => {
            "session_start: the records of that time are deleted; a record that is kept has the beginning of the session"
        }
        Reason::ClockUnsynchronised => {
            "clock_unsynchronised: nothing kept the gateway's clock, so that each instant may be wrong by 16 s; run chrony on the gateway"
        }
        Reason::Unmapped => {
            "unmapped: a peer has no subscriber; name it by --subscribers FILE (peer,subscriber,from,to)"
        }
        Reason::Realms => {
            "realms: several address spaces have the address; ask again with --realm or --gateway"
        }
        Reason::UnknownAddress => {
            "unknown_address: no record of these days has the address at all; is it an address of this VPN?"
        }
    }
}

fn time_line(asked: &Asked, line: &Line, out: &mut Output) {
    let When::Within(times) = &asked.when else { return };
    let Line { outcome, reasons, rows, gaps } = line;
    let within = format!("from {} to {}", time(times.from), time(times.to));
    let (subject, count) = (subject(asked), rows.len());
    let gaps_within = "the records have gaps in that time, so that there may have been others";
    out.line(match (outcome, count) {
        (Outcome::None, _) => format!("Nothing: no session of {subject} {within}, for certain."),
        (Outcome::Undetermined, 0) => {
            format!("Undetermined: no session of {subject} {within} is recorded, and the records do not prove that there was none.")
        }
        (Outcome::Undetermined, _) => {
            format!("{count} records of sessions of {subject} {within}; {gaps_within}.")
        }
        _ => format!("{count} records of sessions of {subject} {within}."),
    });
    if !rows.is_empty() {
        out.line("");
    }
    for row in rows {
        write_candidate(row, out);
    }
    write_gaps(gaps, out);
    write_reasons(reasons, *outcome, out);
}

fn time(instant: Utc) -> String {
    instant.to_string()
}
