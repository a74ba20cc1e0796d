//! What a snapshot means: one line that answers, and what needs attention, each with a remedy.

mod sources;

use std::time::Duration;

use serde::Serialize;

use super::{Clock, Interface, InterfaceState, Phase, Retention, Snapshot, Spool, Store};
use crate::record::clock::Utc;

/// What a snapshot means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The answer in one line.
    pub headline: String,
    /// What needs attention; nothing where all is well.
    pub attention: Vec<Attention>,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// Which part it is about: `interface`, `source`, `drain`, `spool`, `store`, `retention`, `clock` or `daemon`.
    pub part: &'static str,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// A gap is news for so long.
const NEWS: Duration = Duration::from_mins(15);
/// A store that works on something for longer does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Later than it should be, whatever the window.
const LATE: Duration = Duration::from_mins(1);
/// More of its limit, in percent, is near it.
const NEARLY_FULL: u64 = 80;
/// A clock that is off by more names the wrong subscriber (RFC 6302).
const MOST_CLOCK_ERROR_SECONDS: f64 = 1.0;

/// Judges a snapshot.
#[must_use]
pub fn judge(snapshot: &Snapshot) -> Judgement {
    let mut attention = vec![];
    match snapshot.phase {
        Phase::Starting => attention.push(Attention::new(
            "daemon",
            "flowlog has not begun to count",
            "wait a moment; if it does not begin, see the log for the reason",
        )),
        Phase::Counting => {}
        Phase::Ending => attention.push(Attention::new(
            "daemon",
            "flowlog is ending, and stores its open windows",
            "wait until it has ended; then start it again, if it should run",
        )),
    }
    interfaces(snapshot, &mut attention);
    attention.extend(snapshot.sources.iter().filter_map(|one| sources::judge(one, snapshot)));
    attention.extend(drain(snapshot));
    attention.extend(spool(&snapshot.spool));
    attention.extend(store(snapshot));
    attention.extend(snapshot.retention.as_ref().and_then(retention));
    attention.extend(clock(&snapshot.clock));
    Judgement { headline: headline(snapshot, true), attention }
}

/// The answer in one line. With `ages` it is for somebody who reads it now; without, it stays true.
#[must_use]
pub fn headline(snapshot: &Snapshot, ages: bool) -> String {
    let all = snapshot.interfaces.len();
    let counted = snapshot.interfaces.iter().filter(|one| one.state.is_counted()).count();
    let interfaces = match (snapshot.phase, all) {
        (Phase::Starting, _) => "starting".to_owned(),
        (Phase::Ending, _) => "ending".to_owned(),
        (Phase::Counting, 0) => "counting no interface".to_owned(),
        (Phase::Counting, 1) => format!("counting {counted} of 1 interface"),
        (Phase::Counting, _) => format!("counting {counted} of {all} interfaces"),
    };
    let Store { stored_until, waiting_windows, waiting_flows, .. } = snapshot.store;
    let stored = match (stored_until, ages) {
        (None, _) => "nothing stored yet".to_owned(),
        (Some(until), false) => format!("stored up to {}", at(until, until)),
        (Some(until), true) => {
            let when = at(until, snapshot.taken());
            format!("stored up to {when}, {} ago", span(snapshot.age(until)))
        }
    };
    let waiting = match waiting_windows {
        0 => "nothing waits".to_owned(),
        1 => format!("1 window with {waiting_flows} flows waits for the store"),
        _ => format!("{waiting_windows} windows with {waiting_flows} flows wait for the store"),
    };
    format!("{interfaces}; {stored}; {waiting}")
}

fn interfaces(snapshot: &Snapshot, attention: &mut Vec<Attention>) {
    if let Some(error) = &snapshot.interfaces_error {
        attention.push(Attention::new(
            "interface",
            format!("the interfaces cannot be listed: {}", error.text),
            "flowlog counts on the attached interfaces, and tries again every second; see `flowlog check`",
        ));
    }
    if snapshot.phase == Phase::Counting && snapshot.interfaces.is_empty() {
        let patterns = match &snapshot.unmatched_patterns[..] {
            [] => String::new(),
            patterns => format!("; none matches {}", patterns.join(", ")),
        };
        attention.push(Attention::new(
            "interface",
            format!("no interface is counted{patterns}"),
            "bring the VPN up, or correct `interfaces` (`ip link` lists the names)",
        ));
    }
    for interface in &snapshot.interfaces {
        attention.extend(state(interface, snapshot));
        attention.extend(gap(interface, snapshot));
    }
}

fn state(interface: &Interface, snapshot: &Snapshot) -> Option<Attention> {
    let Interface { name, state, unreached_since, refusal, .. } = interface;
    let (message, remedy) = match state {
        InterfaceState::Reached | InterfaceState::Quiet => return None,
        InterfaceState::NotReached => {
            let since = unreached_since.map_or_else(String::new, |since| {
                format!(" since {}", at(since, snapshot.taken()))
            });
            (
                format!("packets on {name} do not reach flowlog{since}; the ledger has a gap"),
                "`flowlog check` lists the programs before flowlog at its hooks; let them pass packets on",
            )
        }
        InterfaceState::Refused => (
            format!("{name} cannot be counted: {}", refusal.as_deref().unwrap_or("see the log")),
            "see `flowlog check`; flowlog tries again by itself",
        ),
        InterfaceState::Absent => (
            format!("{name} does not exist; flowlog counts it as soon as it exists"),
            "bring the interface up, or remove it from `interfaces`",
        ),
    };
    Some(Attention::new("interface", message, remedy))
}

fn gap(interface: &Interface, snapshot: &Snapshot) -> Option<Attention> {
    let gap = interface.last_gap.as_ref()?;
    let (start, end) = gap.start.zip(gap.end)?;
    if interface.state == InterfaceState::NotReached || snapshot.age(end) > NEWS {
        return None;
    }
    let (now, name) = (snapshot.taken(), &interface.name);
    let message = format!(
        "{name} was not counted from {} to {} ({})",
        at(start, now),
        at(end, now),
        gap.reason
    );
    let remedy = match gap.reason.as_str() {
        "down" => {
            "nothing counted in that time: find out why flowlog was down, and give it --spool and --pins"
        }
        "detached" => {
            "find out which program took flowlog away from its hook: `flowlog check` lists the programs there"
        }
        "not_reached" => {
            "find out which program took the packets: `flowlog check` lists the programs at its hooks"
        }
        _ => "`flowlog verify` lists every gap",
    };
    Some(Attention::new("interface", message, remedy))
}

fn drain(snapshot: &Snapshot) -> Option<Attention> {
    let drain = &snapshot.drain;
    let last = drain.drained_until.or(snapshot.started)?;
    let allowed = LATE + seconds(drain.interval_seconds) * 3;
    if snapshot.age(last) <= allowed || snapshot.spool.error.is_some() {
        return None;
    }
    let message = format!(
        "nothing was drained for {}; the kernel holds the counts",
        span(snapshot.age(last))
    );
    let remedy = if snapshot.spool.is_recovered {
        "see the log; restart flowlog if this goes on"
    } else {
        "the spool is still being read; see the log if this goes on"
    };
    Some(Attention::new("drain", message, remedy))
}

fn spool(spool: &Spool) -> Option<Attention> {
    if let Some(error) = &spool.error {
        return Some(Attention::new(
            "spool",
            format!("the spool cannot be written, and the kernel holds the counts: {}", error.text),
            "make room on its disk, or bring the store back; flowlog tries again by itself",
        ));
    }
    if let Some(error) = &spool.merge_error {
        return Some(Attention::new(
            "spool",
            format!("windows cannot be merged, and wait in the spool: {}", error.text),
            "make room on its disk, or see the log; flowlog tries again by itself, and the counts are safe meanwhile",
        ));
    }
    let limit = spool.limit_bytes?;
    let percent = u128::from(spool.size_bytes) * 100 / u128::from(limit.max(1));
    (percent >= u128::from(NEARLY_FULL)).then(|| {
        Attention::new(
            "spool",
            format!("the spool has reached {percent} % of `spool_max_bytes`"),
            "bring the store back, or raise `spool_max_bytes`; a full spool costs ports and remote addresses",
        )
    })
}

fn store(snapshot: &Snapshot) -> Option<Attention> {
    let Store { url, stored_until, busy_since, failures, error, .. } = &snapshot.store;
    if let Some(error) = error {
        let times = if *failures == 1 { "once" } else { "again and again" };
        return Some(Attention::new(
            "store",
            format!("the store failed {times}: {}", error.text),
            if snapshot.spool.directory.is_some() {
                "bring the store back: until then the spool keeps everything, and flowlog tries again by itself"
            } else {
                "bring the store back before flowlog ends: there is no spool to keep the waiting windows"
            },
        ));
    }
    if let Some(since) = busy_since
        && snapshot.age(*since) > PATIENCE
    {
        return Some(Attention::new(
            "store",
            format!("the store {url} has not answered for {}", span(snapshot.age(*since))),
            "check that the store can be reached; flowlog gives this request up after a while, and tries again",
        ));
    }
    // Since it could be there: a window, and the drains after it.
    let since = (*stored_until).max(snapshot.started)?;
    let due = seconds(snapshot.window_seconds) * 2 + seconds(snapshot.drain.interval_seconds) * 2;
    (snapshot.age(since) > due + LATE && snapshot.phase == Phase::Counting).then(|| {
        Attention::new(
            "store",
            format!("nothing was stored for {}", span(snapshot.age(since))),
            "see the log for the reason",
        )
    })
}

fn retention(retention: &Retention) -> Option<Attention> {
    let Retention { verdict, doubt, remedy, error, .. } = retention;
    if verdict == "refuse" {
        return Some(Attention::new(
            "retention",
            format!("retention deletes nothing: {}", doubt.as_deref().unwrap_or("see the log")),
            remedy.as_deref().unwrap_or("see `flowlog retention plan`"),
        ));
    }
    let error = error.as_ref()?;
    Some(Attention::new(
        "retention",
        format!("not everything that has expired could be deleted: {}", error.text),
        "see `flowlog retention plan`; flowlog tries again by itself",
    ))
}

fn clock(clock: &Clock) -> Option<Attention> {
    let Clock { is_synchronised, max_error_seconds } = clock;
    (!is_synchronised && *max_error_seconds > MOST_CLOCK_ERROR_SECONDS).then(|| {
        Attention::new(
            "clock",
            format!(
                "the clock is not synchronised; it may be off by up to {max_error_seconds:.0} s"
            ),
            "install and start chrony, ntpd or systemd-timesyncd",
        )
    })
}

impl Attention {
    fn new(part: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { part, message: message.into(), remedy: remedy.into() }
    }
}

/// An instant, without its date where that is the one of today.
#[must_use]
pub fn at(instant: Utc, now: Utc) -> String {
    const DAY: Duration = Duration::from_hours(24);
    let text = instant.floor(Duration::from_secs(1)).to_string();
    match text.split_once('T') {
        Some((_, time)) if instant.floor(DAY) == now.floor(DAY) => time.to_owned(),
        _ => text,
    }
}

/// How long something is, in the unit that fits.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests;
