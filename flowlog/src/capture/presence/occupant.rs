//! The interface that a slot stands for.

use super::meter::Meter;
use crate::record::{
    clock::MonotonicNs,
    epoch::{Observed, Slot, Span},
    ledger::GapReason,
};

/// The interface that a slot stands for.
#[derive(Debug)]
pub(super) struct Occupant {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) was_attached: bool,
    /// Since the last question: when it was first counted, last counted, how often it came back.
    pub(super) first: Option<MonotonicNs>,
    pub(super) last: Option<MonotonicNs>,
    pub(super) interruptions: u32,
    pub(super) meter: Meter,
    /// Times in which it was not counted although it was there.
    pub(super) gaps: Vec<(Span, GapReason)>,
    /// Since when it is there and not counted.
    pub(super) lost: Option<(MonotonicNs, GapReason)>,
    /// Times in which somebody came before us.
    pub(super) overtaken: Vec<Span>,
    /// How many epochs have ended since it was counted.
    pub(super) idle_epochs: u32,
}

impl Occupant {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            state: State::Detached,
            was_attached: false,
            first: None,
            last: None,
            interruptions: 0,
            meter: Meter::default(),
            gaps: vec![],
            lost: None,
            overtaken: vec![],
            idle_epochs: 0,
        }
    }

    /// Whether it has no part in an epoch that is not drained yet.
    pub(super) fn is_free(&self) -> bool {
        self.state == State::Detached && self.lost.is_none() && self.idle_epochs >= IDLE_EPOCHS
    }

    /// Attached in the next epoch, which has begun already, says nothing of the one that has closed.
    pub(super) fn is_of_next(&self, closed: MonotonicNs) -> bool {
        self.first.is_some_and(|first| first >= closed)
    }

    pub(super) fn observed(
        &mut self,
        number: Slot,
        opened: MonotonicNs,
        closed: MonotonicNs,
    ) -> Observed {
        let is_attached = self.state == State::Attached;
        let was_counted = !self.is_of_next(closed) && (is_attached || self.last.is_some());
        let mut observed = Observed {
            slot: number,
            name: self.name.clone(),
            from: opened,
            to: opened,
            interruptions: 0,
            was_counted,
            gaps: self.gaps_until(closed),
            overtaken: std::mem::take(&mut self.overtaken),
            on_interface: None,
            counters: self.meter.counters(),
        };
        self.idle_epochs = if was_counted || is_attached { 0 } else { self.idle_epochs + 1 };
        if was_counted {
            observed.from = self.first.take().map_or(opened, |first| first.max(opened));
            // Gone in the next epoch, which is to hear of it.
            let is_gone_later = !is_attached && self.last.is_some_and(|last| last > closed);
            let last = if is_gone_later { None } else { self.last.take() };
            let last = last.filter(|_| !is_attached);
            observed.to = last.unwrap_or(closed).clamp(observed.from, closed);
            observed.interruptions = std::mem::take(&mut self.interruptions);
            observed.on_interface = self.meter.take();
        }
        observed
    }

    /// The gaps that are known, with what there is of one that goes on.
    fn gaps_until(&mut self, closed: MonotonicNs) -> Vec<(Span, GapReason)> {
        // One that ended in the next epoch, which has begun already, is told with that.
        let is_over = |(span, _): &(Span, GapReason)| span.until <= closed;
        let mut gaps: Vec<_> = self.gaps.extract_if(.., |gap| is_over(gap)).collect();
        if let Some((since, reason)) = &mut self.lost
            && *since < closed
        {
            gaps.push((Span { since: *since, until: closed }, *reason));
            *since = closed;
        }
        gaps
    }
}

/// So many epochs after an interface has gone, both sets of maps were drained without it.
const IDLE_EPOCHS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Attached,
    Detached,
}
