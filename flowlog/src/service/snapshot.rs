//! What the stages of the daemon write to the snapshot of its status.

use super::{sessions::Watched, standing::Standing};
use crate::{
    capture::Attached,
    config::Config,
    keep::retain::guard::Verdict,
    record::{
        clock::{self, Utc},
        ledger::{Gap, GapReason, LedgerEntry},
        pattern::InterfacePattern,
    },
    spool::run::Run,
    status::{self, Interface, InterfaceState, Message, Phase, Snapshot, Status},
};

/// What is known before anything is counted.
pub(super) fn configured(status: &Status, config: &Config) {
    let retention = config.retention.as_ref().map(|retention| status::Retention {
        keep: retention.keep.to_string(),
        interval_seconds: retention.interval.as_secs_f64(),
        verdict: Verdict::Allow.name().to_owned(),
        ..status::Retention::default()
    });
    let Config { gateway, store, times, spool, sources, .. } = config;
    let directory = spool.spool.as_ref().map(|spool| spool.display().to_string());
    status.update(|snapshot| {
        *snapshot = Snapshot {
            schema: status::SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            gateway: gateway.to_string(),
            process_id: std::process::id(),
            profile: config.policy.profile.name().to_owned(),
            window_seconds: times.window.as_secs_f64(),
            retention,
            sources: Watched::new(sources).unseen(),
            ..Snapshot::default()
        };
        snapshot.drain.interval_seconds = times.drain_interval.as_secs_f64();
        snapshot.spool.limit_bytes = directory.is_some().then_some(spool.spool_max_bytes);
        snapshot.spool.directory = directory;
        snapshot.store.url = store.to_string();
    });
}

/// The kernel counts from now on.
pub(super) fn counting(status: &Status) {
    let now = clock::now();
    status.update(|snapshot| {
        snapshot.started = Some(now);
        snapshot.phase = Phase::Counting;
    });
}

/// The daemon was told to end.
pub(super) fn ending(status: &Status) {
    status.update(|snapshot| snapshot.phase = Phase::Ending);
}

/// The interfaces were looked at.
pub(super) fn looked(status: &Status, seen: Result<Attached, String>) {
    match seen {
        Ok(attached) => status.update(|snapshot| {
            snapshot.interfaces_error = None;
            set_interfaces(snapshot, attached);
        }),
        Err(error) => {
            let error = Message::new(error);
            status.update(|snapshot| snapshot.interfaces_error = Some(error));
        }
    }
}

fn set_interfaces(snapshot: &mut Snapshot, attached: Attached) {
    let Attached { names, refused, unmatched } = attached;
    let mut before = std::mem::take(&mut snapshot.interfaces);
    let mut known = |name: String| {
        let place = before.iter().position(|interface| interface.name == name);
        place.map_or_else(
            || Interface { name, ..Interface::default() },
            |place| before.swap_remove(place),
        )
    };
    let mut interfaces = vec![];
    for name in names {
        let mut interface = known(name);
        if !interface.state.is_attached() {
            interface.state = InterfaceState::Quiet;
        }
        interfaces.push(Interface { refusal: None, ..interface });
    }
    for (name, reason) in refused {
        let interface = known(name);
        let (state, refusal) = (InterfaceState::Refused, Some(reason));
        interfaces.push(Interface { state, refusal, unreached_since: None, ..interface });
    }
    let (absent, patterns): (Vec<_>, Vec<_>) =
        unmatched.into_iter().partition(InterfacePattern::is_name);
    for name in absent {
        let interface = known(name.to_string());
        let state = InterfaceState::Absent;
        interfaces.push(Interface { state, refusal: None, unreached_since: None, ..interface });
    }
    interfaces.sort_by(|one, other| one.name.cmp(&other.name));
    snapshot.interfaces = interfaces;
    snapshot.unmatched_patterns = patterns.iter().map(ToString::to_string).collect();
}

/// An epoch is in the spool, which has so many bytes.
pub(super) fn drained(status: &Status, run: &Run, spool_bytes: u64) {
    let header = &run.header;
    status.update(|snapshot| {
        snapshot.spool.error = None;
        snapshot.spool.size_bytes = spool_bytes;
        let drain = &mut snapshot.drain;
        drain.epoch = header.epochs.1;
        drain.drained_until = Some(header.closed());
        drain.epoch_flows = header.entry_count();
        drain.epochs_total += 1;
        drain.flows_total += header.entry_count();
        for row in header.windows.iter().flat_map(|window| &window.rows) {
            if let Some(interface) = snapshot.interface(&row.interface) {
                observed(interface, row, header.closed());
            }
        }
    });
}

/// What an epoch shows of an interface.
fn observed(interface: &mut Interface, row: &LedgerEntry, closed: Utc) {
    let [up, down] = row.totals.map(|totals| totals.seen);
    interface.up_packets_total += up.packets;
    interface.up_bytes_total += up.bytes;
    interface.down_packets_total += down.packets;
    interface.down_bytes_total += down.bytes;
    let is_reached = up.packets + down.packets > 0;
    if is_reached {
        interface.last_packets = Some(closed);
    }
    if let Some(gap) = row.gaps.iter().max_by_key(|gap| gap.end) {
        let before = interface.last_gap.take();
        interface.last_gap = Some(following(before, *gap));
    }
    if !interface.state.is_attached() {
        return;
    }
    let missed = row.gaps.iter().filter(|gap| gap.reason == GapReason::NotReached);
    let missed_since = missed.map(|gap| gap.start).min();
    interface.unreached_since =
        missed_since.map(|since| interface.unreached_since.unwrap_or(since));
    interface.state = match (missed_since, is_reached) {
        (Some(_), _) => InterfaceState::NotReached,
        (None, true) => InterfaceState::Reached,
        (None, false) => InterfaceState::Quiet,
    };
}

/// A gap, or the one before it with this one where it went on.
fn following(before: Option<status::Gap>, gap: Gap) -> status::Gap {
    let reason = gap.reason.name().to_owned();
    let goes_on = |before: &status::Gap| {
        before.reason == reason && before.end.is_some_and(|end| end >= gap.start)
    };
    let start = before.filter(goes_on).and_then(|before| before.start);
    status::Gap { start: start.or(Some(gap.start)), end: Some(gap.end), reason }
}

/// The spool takes nothing.
pub(super) fn spool_failed(status: &Status, error: &dyn std::error::Error) {
    let error = Message::new(crate::telemetry::with_causes(error));
    status.update(|snapshot| snapshot.spool.error = Some(error));
}

/// What earlier daemons left in the spool was read.
pub(super) fn recovered(status: &Status) {
    status.update(|snapshot| {
        snapshot.spool.is_recovered = true;
        snapshot.spool.error = None;
    });
}

/// Files are looked through for what the store does not have.
pub(super) fn publishing(status: &Status) {
    let now = clock::now();
    status.update(|snapshot| snapshot.store.busy_since = Some(now));
}

/// They were.
pub(super) fn published(status: &Status, standing: Standing) {
    let Standing { summary, waiting, stored_until, failures, error, unmerged, is_open } = standing;
    let waiting_windows = u64::try_from(waiting.windows).unwrap_or(u64::MAX);
    status.update(|snapshot| {
        snapshot.spool.merge_error = unmerged;
        let store = &mut snapshot.store;
        *store = status::Store {
            url: std::mem::take(&mut store.url),
            is_open,
            stored_until,
            lag_seconds: None,
            waiting_windows,
            waiting_flows: waiting.rows,
            busy_since: None,
            failures,
            error,
            packets_total: summary.packets,
            bytes_total: summary.bytes,
            flows_total: summary.flows,
            files_total: summary.files,
        };
    });
}

/// Retention judged the clock.
pub(super) fn judged_clock(status: &Status, verdict: Verdict) {
    let doubt = verdict.doubt();
    status.update(|snapshot| {
        let Some(retention) = &mut snapshot.retention else { return };
        verdict.name().clone_into(&mut retention.verdict);
        retention.doubt = doubt.map(|doubt| doubt.to_string());
        retention.remedy = doubt.map(|doubt| doubt.remedy().to_owned());
    });
}

/// Retention looked at the store.
pub(super) fn looked_for_expired(status: &Status, outcome: Result<(), String>) {
    let now = clock::now();
    status.update(|snapshot| {
        let Some(retention) = &mut snapshot.retention else { return };
        retention.looked_at = Some(now);
        retention.error = outcome.err().map(|text| Message { at: Some(now), text });
    });
}

#[cfg(test)]
mod tests;
