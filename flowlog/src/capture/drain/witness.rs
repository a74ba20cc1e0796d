//! Whether the packets of an interface reach the program: what it counted, beside what the interface
//! itself counted meanwhile.
//!
//! Both are read at one instant, a moment after an epoch has ended, so that neither has packets of
//! another time. A packet may still be on its way from the one to the other: packets that look missing in
//! one epoch must not turn up in the next, nor have been counted in the one before.

use flowlog_common::{flow::Direction, total::Count};

use super::super::events::Event;
use crate::record::{
    clock::MonotonicNs,
    epoch::{Counters, Observed, Reading, Span},
};

/// What was counted up to a reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Packets that the program counted, by [`Direction`].
    pub ours: [u64; 2],
    /// What the interface counted between its reading and that of the program, at most: the program may
    /// have counted it already.
    pub meanwhile: Reading,
}

impl Counted {
    /// More that the program may have counted already.
    pub(super) fn add_meanwhile(&mut self, more: Reading) {
        for (meanwhile, more) in self.meanwhile.iter_mut().zip(more) {
            meanwhile.add(more.packets, more.bytes);
        }
    }
}

/// What was counted between two readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The epoch that it is the interval of.
    pub span: Span,
    /// Packets that the program counted, by [`Direction`].
    pub ours: [u64; 2],
    /// What the interface counted; `None` where that is not known.
    pub theirs: Option<Reading>,
    /// What its counters have.
    pub counters: Counters,
}

/// Packets of a keepalive and of the largest message of a handshake, as WireGuard counts them.
const KEEPALIVE_BYTES: u64 = 32;
const HANDSHAKE_BYTES: u64 = 148;
/// Frames of a link's own protocol, beside one a second.
const CONTROL_FRAMES: u64 = 2;
/// Frames that hardware may count and filter out, beside as many a second.
const FILTERED_FRAMES: u64 = 10;

impl Interval {
    /// The time from one reading to the next, in which the interface counted `theirs`, less the packets
    /// that the program may have counted before.
    pub(super) fn between(
        from: &Counted,
        to: &Counted,
        span: Span,
        theirs: Option<Reading>,
        counters: Counters,
    ) -> Self {
        let ours = std::array::from_fn(|direction| {
            to.ours[direction].saturating_sub(from.ours[direction])
        });
        let theirs = theirs.map(|theirs| {
            std::array::from_fn(|direction| {
                let Count { packets, bytes } = from.meanwhile[direction];
                Count {
                    packets: theirs[direction].packets.saturating_sub(packets),
                    bytes: theirs[direction].bytes.saturating_sub(bytes),
                }
            })
        });
        Self { span, ours, theirs, counters }
    }

    fn seconds(&self) -> u64 {
        self.span.until.since(self.span.since).as_secs()
    }

    fn theirs(&self, direction: Direction) -> Count {
        self.theirs.map_or(Count::default(), |theirs| theirs[direction as usize])
    }

    const fn ours(&self, direction: Direction) -> u64 {
        self.ours[direction as usize]
    }

    /// Whether there were packets of members, beyond what the link says to itself.
    fn has_traffic(&self, direction: Direction) -> bool {
        let Count { packets, bytes } = self.theirs(direction);
        match self.counters {
            Counters::Same => packets > 0,
            // As many handshakes as there may be; a packet of a member has more than a keepalive.
            Counters::WithKeepalives => {
                bytes > packets.saturating_mul(HANDSHAKE_BYTES) && packets > 0
                    || bytes > packets.saturating_mul(4 * KEEPALIVE_BYTES) && packets > LIVELY
            }
            Counters::WithControl => packets > CONTROL_FRAMES + self.seconds(),
            Counters::Hardware => packets > FILTERED_FRAMES * (1 + self.seconds()),
        }
    }

    fn is_silent(&self, direction: Direction) -> bool {
        self.theirs.is_some() && self.ours(direction) == 0 && self.has_traffic(direction)
    }

    /// Packets that the interface has and the program has not.
    fn surplus(&self, direction: Direction) -> i128 {
        i128::from(self.theirs(direction).packets) - i128::from(self.ours(direction))
    }
}

/// So many packets in an interval are more than handshakes.
const LIVELY: u64 = 1_000;

/// Whether an interval is a time in which no packet reached the program, though there were some.
/// `next` is the one after it, where there is one.
pub(super) fn judge(this: &Interval, next: Option<&Interval>) -> Option<Span> {
    let is_lost = |direction: Direction| {
        let missing = i128::from(this.theirs(direction).packets);
        this.is_silent(direction)
            && next.is_none_or(|next| {
                let found = if next.theirs.is_some() {
                    // What the program has more than the interface was on its way.
                    -next.surplus(direction)
                } else {
                    i128::from(next.ours(direction))
                };
                found * 2 <= missing
            })
    };
    let is_gap = match this.counters {
        // Hardware may filter out whatever it likes of what arrives, but not of what is sent.
        Counters::Hardware => Direction::ALL.into_iter().all(is_lost),
        _ => Direction::ALL.into_iter().any(is_lost),
    };
    is_gap.then_some(this.span)
}

/// What is remembered of an interface.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The last intervals, the oldest first.
    intervals: Vec<Interval>,
    /// Times in which somebody came before the program, and nobody knows yet what that cost.
    overtaken: Vec<Span>,
    /// Packets to members that the program has counted and the interface has not sent yet, at most.
    waiting: u64,
    is_unreached: bool,
    is_bypassed: bool,
}

/// As many packets as may wait to be sent: what the queue of an interface holds.
const MOST_WAITING: u64 = 1_000;

/// Intervals that are remembered.
const REMEMBERED: usize = 3;
/// Packets that may be missing without a word: those on their way.
const ON_THEIR_WAY: i128 = 16;

impl History {
    /// Adds an interval, and returns the times in which packets went by the program.
    pub(super) fn add(
        &mut self,
        observed: &Observed,
        mut interval: Interval,
        is_last: bool,
    ) -> Vec<Span> {
        self.take_out_late(&mut interval);
        let mut gaps = vec![];
        let before = self.intervals.last().copied();
        gaps.extend(before.and_then(|before| judge(&before, Some(&interval))));
        if is_last {
            gaps.extend(judge(&interval, None));
        }
        self.intervals.push(interval);
        if self.intervals.len() > REMEMBERED {
            self.intervals.remove(0);
        }
        gaps.extend(self.costly(is_last));
        self.overtaken.extend(&observed.overtaken);
        if is_last {
            gaps.extend(self.costly(is_last));
        }
        self.warn(observed, !gaps.is_empty());
        gaps
    }

    /// Takes out what was counted by the program in an interval before, and is sent only now: a tun counts
    /// a packet when somebody reads it.
    fn take_out_late(&mut self, interval: &mut Interval) {
        let ours = interval.ours(Direction::Down);
        let Some(theirs) = &mut interval.theirs else {
            self.waiting = MOST_WAITING;
            return;
        };
        let sent = &mut theirs[Direction::Down as usize];
        let late = sent.packets.saturating_sub(ours).min(self.waiting);
        let more = ours.saturating_sub(sent.packets);
        self.waiting = (self.waiting - late).saturating_add(more).min(MOST_WAITING);
        if sent.packets == ours {
            // What waits for long was dropped.
            self.waiting /= 2;
        }
        if late > 0 {
            let kept = sent.packets - late;
            sent.bytes = sent.bytes / sent.packets * kept;
            sent.packets = kept;
        }
    }

    /// Of the times in which somebody came first, those that packets are missing of.
    fn costly(&mut self, is_last: bool) -> Vec<Span> {
        let ended = self.intervals.last().map(|interval| interval.span.until).unwrap_or_default();
        let is_over = |span: &Span| is_last || span.until <= ended;
        let spans: Vec<Span> = self.overtaken.extract_if(.., |span| is_over(span)).collect();
        spans.into_iter().filter(|span| self.has_missing(*span)).collect()
    }

    fn has_missing(&self, span: Span) -> bool {
        let is_of_it = |interval: &&Interval| interval.span.until > span.since;
        let of_it = || self.intervals.iter().filter(is_of_it);
        let is_known =
            |interval: &Interval| interval.theirs.is_some() && interval.counters == Counters::Same;
        let surplus = |direction| of_it().map(|interval| interval.surplus(direction)).sum::<i128>();
        of_it().all(is_known) && Direction::ALL.into_iter().any(|direction| surplus(direction) > 0)
    }

    fn warn(&mut self, observed: &Observed, is_gap: bool) {
        if is_gap && !self.is_unreached {
            Event::NotReached { interface: &observed.name }.emit();
        }
        let [.., before, this] = &self.intervals[..] else {
            self.is_unreached |= is_gap;
            return;
        };
        let is_reached = |interval: &Interval| {
            Direction::ALL.into_iter().all(|direction| !interval.is_silent(direction))
        };
        self.is_unreached = is_gap || self.is_unreached && !is_reached(this);
        let is_bypassed = !is_gap && is_bypassed(before, this);
        if is_bypassed && !self.is_bypassed {
            Event::Bypassed { interface: &observed.name }.emit();
        }
        self.is_bypassed = is_bypassed;
    }
}

/// Whether some packets go by the program, and others do not.
fn is_bypassed(before: &Interval, this: &Interval) -> bool {
    let is_known =
        |interval: &Interval| interval.theirs.is_some() && interval.counters == Counters::Same;
    let is_by = |direction: Direction| {
        let surplus = before.surplus(direction) + this.surplus(direction);
        let packets = before.theirs(direction).packets + this.theirs(direction).packets;
        surplus > ON_THEIR_WAY && surplus * 20 > i128::from(packets)
    };
    is_known(before) && is_known(this) && Direction::ALL.into_iter().any(is_by)
}

/// Since when an interface was observed, as [`Interval::span`] has it.
pub(super) const fn span(opened: MonotonicNs, closed: MonotonicNs) -> Span {
    Span { since: opened, until: closed }
}

#[cfg(test)]
mod tests;
