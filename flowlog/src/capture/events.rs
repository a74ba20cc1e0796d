//! What can happen at the hooks: each event is a line on the log, and its counter.

use super::{Changes, Error, Notice};
use crate::telemetry::{Counter, with_causes};

static ATTACHED: Counter = Counter::new("capture_attached_total");
static GONE: Counter = Counter::new("capture_gone_total");
static REFUSED: Counter = Counter::new("capture_refused_total");
static NOTICES: Counter = Counter::new("capture_notices_total");
static WARNINGS: Counter = Counter::new("capture_warnings_total");
static NOT_REACHED: Counter = Counter::new("capture_not_reached_total");
static BYPASSED: Counter = Counter::new("capture_bypassed_total");

/// How often each of them happened since the process began.
pub static COUNTERS: [&Counter; 7] =
    [&ATTACHED, &GONE, &REFUSED, &NOTICES, &WARNINGS, &NOT_REACHED, &BYPASSED];

/// Something that somebody should know of.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// An interface is counted from now on.
    Attached { interface: &'a str },
    /// An interface is gone.
    Gone { interface: &'a str },
    /// An interface that matches cannot be counted.
    Refused { error: &'a Error },
    /// Something changed at the hooks.
    Noticed { notice: &'a Notice },
    /// The interface's own counters move, and its packets do not reach the program.
    NotReached { interface: &'a str },
    /// Some packets of the interface do not reach the program, and others do.
    Bypassed { interface: &'a str },
}

impl Event<'_> {
    /// Counts it, and writes it to the log.
    pub(super) fn emit(self) {
        match self {
            Self::Attached { interface } => {
                ATTACHED.add();
                tracing::info!(interface, "attached");
            }
            Self::Gone { interface } => {
                GONE.add();
                tracing::info!(interface, "gone");
            }
            Self::Refused { error } => {
                REFUSED.add();
                tracing::error!("{}; the other interfaces are counted", with_causes(error));
            }
            Self::Noticed { notice } if notice.is_warning() => {
                WARNINGS.add();
                tracing::warn!("{notice}");
            }
            Self::Noticed { notice } => {
                NOTICES.add();
                tracing::info!("{notice}");
            }
            Self::NotReached { interface } => {
                NOT_REACHED.add();
                tracing::warn!(
                    interface,
                    "packets on the interface did not reach flowlog; the ledger has this time as a gap (not_reached): `flowlog check` lists the programs before flowlog at its hooks"
                );
            }
            Self::Bypassed { interface } => {
                BYPASSED.add();
                tracing::warn!(
                    interface,
                    "the interface counts more packets than reach flowlog: another program takes some of them first; see `flowlog check`"
                );
            }
        }
    }
}

/// Reports what a scan found changed.
pub fn report(changes: &Changes) {
    let Changes { attached, detached, failed, notices } = changes;
    for interface in attached {
        Event::Attached { interface }.emit();
    }
    for interface in detached {
        Event::Gone { interface }.emit();
    }
    for notice in notices {
        Event::Noticed { notice }.emit();
    }
    for error in failed {
        Event::Refused { error }.emit();
    }
}
