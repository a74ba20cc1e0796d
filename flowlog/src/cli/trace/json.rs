//! An answer for programs: `flowlog.trace/1`. Later versions add keys and remove none.

use flowlog::{
    ask::{
        open::Read,
        trace::{Answer, Candidate, Evidence, Gap, Line, Outcome, Whose},
    },
    record::{clock::Utc, redacted::Address, session::Subscriber},
};
use serde_json::{Value, json};

use super::{Asked, Found, When};

const SCHEMA: &str = "flowlog.trace/1";

pub fn answer(asked: &Asked, found: &Found, read: Read) -> Value {
    let mut answer = match found {
        Found::Instant { answer, evidence, policies } => {
            let mut value = instant(asked, answer, evidence);
            value["policy"] = json!(policies);
            value
        }
        Found::Line(line) => time_line(line),
    };
    answer["schema"] = json!(SCHEMA);
    answer["question"] = question(asked);
    answer["read"] = json!(read);
    answer["journal"] = Value::Null;
    answer
}

fn question(asked: &Asked) -> Value {
    let Asked { whose, gateway, realm, sought, max: _, when } = asked;
    let address = |address: &Address| address.in_clear().to_string();
    let mut question = json!({ "realm": realm });
    match whose {
        Whose::Address(of) => question["ip"] = json!(address(of)),
        Whose::Subscriber(of) => question["subscriber"] = json!(of.in_clear()),
    }
    if let Some(gateway) = gateway {
        question["gateway"] = json!(gateway.as_str());
    }
    match when {
        When::At { at, error_ms } => {
            question["at"] = json!(time(*at));
            question["error_ms"] = json!(error_ms);
            question["port"] = json!(sought.port);
            question["protocol"] = json!(sought.protocol);
            question["remote"] = json!(sought.remote.as_ref().map(address));
        }
        When::Within(times) => {
            question["from"] = json!(time(times.from));
            question["to"] = json!(time(times.to));
        }
    }
    question
}

fn instant(asked: &Asked, answer: &Answer, evidence: &[Option<Evidence>]) -> Value {
    let Answer { outcome, reasons, candidates, subscribers: _, gaps, gateway_error_ms } = answer;
    let listed = if asked.is_listed(answer) { &candidates[..] } else { &[] };
    let listed = listed.iter().zip(evidence).map(|(candidate, evidence)| {
        let mut value = of_candidate(candidate);
        value["evidence"] = evidence.as_ref().map_or(Value::Null, of_evidence);
        value
    });
    let error_ms = match asked.when {
        When::At { error_ms, .. } => Some(error_ms),
        When::Within(_) => None,
    };
    json!({
        "outcome": outcome,
        "reasons": reasons,
        "candidates": listed.collect::<Vec<_>>(),
        "candidate_count": candidates.len(),
        "gaps": gaps.iter().map(of_gap).collect::<Vec<_>>(),
        "clock": { "gateway_error_ms": gateway_error_ms, "requester_error_ms": error_ms },
    })
}

/// A time line is no question of one, so that its outcome is not "identified".
fn time_line(line: &Line) -> Value {
    let Line { outcome, reasons, rows, gaps } = line;
    let outcome = match outcome {
        Outcome::Identified | Outcome::Ambiguous => json!("rows"),
        Outcome::None | Outcome::Undetermined => json!(outcome),
    };
    json!({
        "outcome": outcome,
        "reasons": reasons,
        "rows": rows.iter().map(of_candidate).collect::<Vec<_>>(),
        "row_count": rows.len(),
        "gaps": gaps.iter().map(of_gap).collect::<Vec<_>>(),
        "policy": [],
    })
}

fn of_candidate(candidate: &Candidate) -> Value {
    let Candidate { certainty, basis, gateway, realm, instance, session, segment, .. } = candidate;
    let Candidate { peer, subscriber, state, prefix, outer, from, to, .. } = candidate;
    let Candidate { from_slack_ms, to_slack_ms, continues, clock_error_ms: _, .. } = candidate;
    json!({
        "subscriber": subscriber.as_ref().map(Subscriber::in_clear),
        "peer": peer.hex(),
        "certainty": certainty,
        "state": state.name(),
        "basis": basis,
        "gateway": gateway,
        "realm": realm,
        "source": instance.source.name(),
        "instance": instance.name,
        "session_id": session.hex(),
        "segment": segment,
        "inner_prefix": prefix.in_clear().to_string(),
        "outer_ip": outer.map(|outer| outer.address.in_clear().to_string()),
        "outer_port": outer.and_then(|outer| outer.port),
        "from": time(*from),
        "to": time(*to),
        "from_slack_ms": from_slack_ms,
        "to_slack_ms": to_slack_ms,
        "continues": continues,
        "via": [],
    })
}

fn of_evidence(evidence: &Evidence) -> Value {
    let Evidence { flows, first, last, bytes_up, bytes_down } = evidence;
    json!({
        "flows": flows,
        "first": first.map(time),
        "last": last.map(time),
        "bytes_up": bytes_up,
        "bytes_down": bytes_down,
    })
}

fn of_gap(gap: &Gap) -> Value {
    let Gap { gateway, instance, realm, from, to, reason } = gap;
    json!({
        "gateway": gateway,
        "source": instance.source.name(),
        "instance": instance.name,
        "realm": realm,
        "from": time(*from),
        "to": to.map(time),
        "reason": reason.map(flowlog::record::session::CoverageReason::name),
    })
}

fn time(instant: Utc) -> String {
    instant.to_string()
}
