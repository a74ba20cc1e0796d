//! The status for somebody who reads it.

use std::time::Duration;

use flowlog::{
    record::clock::Utc,
    status::{
        Snapshot,
        judge::{Judgement, at, span},
    },
};

use super::super::size;

/// The answer in one line, what needs attention, and a table.
pub fn describe(snapshot: &Snapshot, judgement: &Judgement) -> String {
    let mut lines = vec![judgement.headline.clone()];
    if !judgement.attention.is_empty() {
        lines.push(String::new());
    }
    for attention in &judgement.attention {
        lines.push(format!("{:<10} {}", attention.part, attention.message));
        lines.push(format!("{:<10} → {}", "", attention.remedy));
    }
    if !snapshot.interfaces.is_empty() {
        lines.push(String::new());
        lines.extend(interfaces(snapshot));
    }
    if !snapshot.sources.is_empty() {
        lines.push(String::new());
        lines.extend(sources(snapshot));
    }
    lines.push(String::new());
    lines.extend(parts(snapshot).into_iter().map(|(name, text)| format!("{name:<10} {text}")));
    lines.join("\n") + "\n"
}

fn interfaces(snapshot: &Snapshot) -> Vec<String> {
    let now = now(snapshot);
    let mut lines = vec![format!(
        "{:<15} {:<11} {:>14} {:>12} {:>14} {:>12}  last packet",
        "interface", "state", "packets up", "up", "packets down", "down"
    )];
    for interface in &snapshot.interfaces {
        let last =
            interface.last_packets.map_or_else(|| "none yet".to_owned(), |last| at(last, now));
        lines.push(format!(
            "{:<15} {:<11} {:>14} {:>12} {:>14} {:>12}  {last}",
            interface.name,
            interface.state.name(),
            interface.up_packets_total,
            size::bytes(interface.up_bytes_total),
            interface.down_packets_total,
            size::bytes(interface.down_bytes_total),
        ));
    }
    lines
}

fn sources(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<10} {:<15} {:<11} {:<8} {:>8} {:>9}  {:<11}  looks at",
        "source", "name", "realm", "heard", "sessions", "late rows", "last answer"
    )];
    for source in &snapshot.sources {
        let last = source
            .answered_at
            .map_or_else(|| "none yet".to_owned(), |last| at(last, now(snapshot)));
        lines.push(format!(
            "{:<10} {:<15} {:<11} {:<8} {:>8} {:>9}  {last:<11}  {}",
            source.kind,
            source.instance,
            source.realm,
            if source.is_heard { "yes" } else { "no" },
            source.open_sessions,
            source.late_rows_total,
            source.looks_at.join(", "),
        ));
        if let Some(error) = &source.error {
            lines.push(format!("{:<10} {}", "", error.text));
        }
    }
    lines
}

fn parts(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let mut parts = vec![
        ("drain", drain(snapshot)),
        ("spool", spool(snapshot)),
        ("store", store(snapshot)),
        ("retention", retention(snapshot)),
        ("clock", clock(snapshot)),
        ("daemon", daemon(snapshot)),
    ];
    if !snapshot.unmatched_patterns.is_empty() {
        parts.insert(0, ("waits for", snapshot.unmatched_patterns.join(", ")));
    }
    if let Some(last) = &snapshot.last_warning {
        let when = last.at.map_or_else(String::new, |when| at(when, now(snapshot)));
        parts.push(("last line", format!("{when} {}", last.text)));
    }
    parts
}

fn drain(snapshot: &Snapshot) -> String {
    let drain = &snapshot.drain;
    let every = seconds(drain.interval_seconds);
    let Some(until) = drain.drained_until else { return format!("nothing yet, every {every:?}") };
    format!(
        "up to {}, every {every:?}; epoch {} with {} flows",
        at(until, now(snapshot)),
        drain.epoch,
        drain.epoch_flows
    )
}

fn spool(snapshot: &Snapshot) -> String {
    let spool = &snapshot.spool;
    let place = spool
        .directory
        .as_deref()
        .unwrap_or("none: a crash loses all counts that are not stored yet");
    let is_read = if spool.is_recovered { "" } else { "; not read yet" };
    match spool.limit_bytes {
        Some(limit) => {
            format!("{place}, {} of {}{is_read}", size::bytes(spool.size_bytes), size::bytes(limit))
        }
        None => format!("{place}; {}{is_read}", size::bytes(spool.size_bytes)),
    }
}

fn store(snapshot: &Snapshot) -> String {
    let store = &snapshot.store;
    let is_open = if store.is_open { "" } else { "; not open yet" };
    format!(
        "{}, {} files with {} flows since the start{is_open}",
        store.url, store.files_total, store.flows_total
    )
}

fn retention(snapshot: &Snapshot) -> String {
    let Some(retention) = &snapshot.retention else { return "keeps for ever".to_owned() };
    let looked = retention.looked_at.map_or_else(
        || "not run yet".to_owned(),
        |looked| format!("last run at {}", at(looked, now(snapshot))),
    );
    let doubt = retention.doubt.as_ref().map_or_else(String::new, |doubt| format!("; {doubt}"));
    let every = seconds(retention.interval_seconds);
    format!("keeps {}, {looked}, every {every:?}{doubt}", retention.keep)
}

fn clock(snapshot: &Snapshot) -> String {
    let error = seconds(snapshot.clock.max_error_seconds);
    if snapshot.clock.is_synchronised {
        format!("synchronised; off by at most {error:?}")
    } else {
        format!("not synchronised; may be off by up to {error:?}")
    }
}

fn daemon(snapshot: &Snapshot) -> String {
    let running = snapshot
        .started
        .map_or_else(String::new, |started| format!(", for {}", span(snapshot.age(started))));
    format!(
        "flowlog {}, gateway {}, profile {}, process {}{running}",
        snapshot.version, snapshot.gateway, snapshot.profile, snapshot.process_id
    )
}

fn now(snapshot: &Snapshot) -> Utc {
    snapshot.time.unwrap_or(Utc::from_ns(0))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
