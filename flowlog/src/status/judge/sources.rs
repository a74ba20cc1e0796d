//! What is wrong with a source of sessions.

use super::{Attention, LATE, at, span};
use crate::{
    record::pattern::InterfacePattern,
    status::{Phase, Snapshot, Source},
};

pub(super) fn judge(source: &Source, snapshot: &Snapshot) -> Option<Attention> {
    let Source { kind, instance, is_heard, answered_at, error, remedy, .. } = source;
    let started = snapshot.started.filter(|_| snapshot.phase == Phase::Counting && !is_heard)?;
    // An earlier daemon may have heard it.
    if snapshot.age(started.max(answered_at.unwrap_or(started))) <= LATE {
        return None;
    }
    let is_pattern = instance.parse::<InterfacePattern>().is_ok_and(|pattern| !pattern.is_name());
    if error.is_none() && answered_at.is_none() && kind == "wireguard" {
        // Interfaces that match may come or not.
        return (!is_pattern).then(|| {
            Attention::new(
                "source",
                format!("there is no WireGuard interface {instance}; its sessions are recorded as soon as it exists"),
                "bring the interface up, or remove its table [[source]]",
            )
        });
    }
    let since = answered_at.map_or_else(
        || "has never answered".to_owned(),
        |answered| {
            let ago = span(snapshot.age(answered));
            format!("has not answered since {}, {ago} ago", at(answered, snapshot.taken()))
        },
    );
    let why = error.as_ref().map_or_else(String::new, |error| format!(": {}", error.text));
    Some(Attention::new(
        "source",
        format!("{kind} {instance} {since}{why}; the coverage has a gap"),
        remedy.as_deref().unwrap_or("see `flowlog check`, and the log for the reason"),
    ))
}
