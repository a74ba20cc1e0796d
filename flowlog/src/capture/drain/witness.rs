//! Whether the packets of an interface reach the program: what it counted, beside what the interface
//! itself counted meanwhile.
//!
//! Both are read at one instant, a moment after an epoch has ended, so that neither has packets of
//! another time. A packet may still be on its way from the one to the other: what looks missing in one
//! epoch must not turn up in the next.

use std::time::Duration;

use flowlog_common::{flow::Direction, total::Count};

use crate::record::{
    clock::MonotonicNs,
    epoch::{Counters, Observed, Reading, Span},
};

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
    fn seconds(&self) -> u64 {
        Duration::from_nanos(self.span.until.saturating_sub(self.span.since)).as_secs()
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
        let ended = self.intervals.last().map_or(0, |interval| interval.span.until);
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
            tracing::warn!(
                interface = observed.name,
                "packets on the interface did not reach flowlog; the ledger has the time as a gap (not_reached): see `flowlog check` for who comes first at its hooks"
            );
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
            tracing::warn!(
                interface = observed.name,
                "the interface counts more packets than reach flowlog: somebody takes some of them before; see `flowlog check`"
            );
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(number: u64, ours: u64, theirs: u64, counters: Counters) -> Interval {
        Interval {
            span: span(number * 10, number * 10 + 10),
            ours: [ours, 0],
            theirs: Some([Count { packets: theirs, bytes: theirs * 100 }, Count::default()]),
            counters,
        }
    }

    fn same(number: u64, ours: u64, theirs: u64) -> Interval {
        interval(number, ours, theirs, Counters::Same)
    }

    #[test]
    fn packets_of_which_none_is_counted_then_or_later_make_a_gap() {
        let this = same(1, 0, 5);
        assert_eq!(judge(&this, Some(&same(2, 0, 0))), Some(span(10, 20)));
        assert_eq!(judge(&this, Some(&same(2, 0, 7))), Some(span(10, 20)));
        assert_eq!(judge(&this, Some(&same(2, 1_000, 1_000))), Some(span(10, 20)));
        assert_eq!(judge(&this, None), Some(span(10, 20)));
    }

    #[test]
    fn packets_that_turn_up_in_the_next_interval_were_on_their_way() {
        assert_eq!(judge(&same(1, 0, 5), Some(&same(2, 1_005, 1_000))), None);
        let unknown = Interval { theirs: None, ..same(2, 5, 0) };
        assert_eq!(judge(&same(1, 0, 5), Some(&unknown)), None);
    }

    #[test]
    fn an_idle_hour_with_keepalives_and_handshakes_is_no_gap() {
        let hour = |bytes: u64, packets: u64, counters| Interval {
            span: span(0, 3_600_000_000_000),
            ours: [0; 2],
            theirs: Some([Count { packets, bytes }; 2]),
            counters,
        };
        // A keepalive every 25 s and a handshake every two minutes, of a hundred members.
        let (keepalives, handshakes) = (100 * 144, 100 * 30);
        let bytes = keepalives * KEEPALIVE_BYTES + handshakes * HANDSHAKE_BYTES;
        let idle = hour(bytes, keepalives + handshakes, Counters::WithKeepalives);
        assert_eq!(judge(&idle, None), None);
        // Members that are not there, to whom nothing but handshakes is sent.
        let calling = hour(900 * HANDSHAKE_BYTES, 900, Counters::WithKeepalives);
        assert_eq!(judge(&calling, None), None);
        let echoes = hour(360 * 10, 360, Counters::WithControl);
        assert_eq!(judge(&echoes, None), None);
        let neighbours = hour(64 * 7_200, 7_200, Counters::Hardware);
        assert_eq!(judge(&neighbours, None), None);
        let transfer = hour(1_400 * 7_200, 7_200, Counters::WithKeepalives);
        assert_eq!(judge(&transfer, None), Some(transfer.span));
    }

    #[test]
    fn where_the_interface_was_not_asked_nothing_is_said() {
        let unknown = Interval { theirs: None, ..same(1, 0, 0) };
        assert_eq!(judge(&unknown, Some(&same(2, 0, 9))), None);
    }

    fn observed() -> Observed {
        Observed {
            slot: 0,
            name: "tun0".to_owned(),
            from: 0,
            to: 0,
            interruptions: 0,
            was_counted: true,
            gaps: vec![],
            overtaken: vec![],
            on_interface: None,
            counters: Counters::Same,
        }
    }

    /// Of packets to members, by what the program and what the interface counted.
    fn gaps_of(down: &[(u64, Option<u64>)]) -> usize {
        let mut history = History::default();
        let mut gaps = 0;
        for (number, (ours, theirs)) in (0..).zip(down) {
            let sent = |packets| Count { packets, bytes: packets * 100 };
            let mut this = same(number, 0, 0);
            this.ours = [0, *ours];
            this.theirs = theirs.map(|packets| [Count::default(), sent(packets)]);
            gaps += history.add(&observed(), this, false).len();
        }
        gaps
    }

    #[test]
    fn what_is_sent_long_after_it_was_counted_is_no_gap() {
        assert_eq!(gaps_of(&[(10, Some(0)), (0, Some(10)), (0, Some(0))]), 0);
        assert_eq!(gaps_of(&[(10, Some(5)), (0, Some(0)), (0, Some(2)), (0, Some(0))]), 0);
        // Counted by the daemon before.
        assert_eq!(gaps_of(&[(0, None), (0, Some(400)), (0, Some(0))]), 0);
        assert_eq!(gaps_of(&[(10, Some(10)), (0, Some(10)), (0, Some(0))]), 1);
        assert_eq!(gaps_of(&[(0, None), (0, Some(4_000)), (0, Some(9)), (0, Some(0))]), 2);
    }

    proptest! {
        /// However traffic begins and ends, and although a reading falls among packets that are on
        /// their way: as long as each reaches the program, there is no gap.
        #[test]
        fn what_reaches_the_program_is_never_a_gap(
            epochs in prop::collection::vec((0_u64..1_000, 0_u64..100), 2..20),
        ) {
            let mut late = 0;
            let mut before: Option<Interval> = None;
            for (number, (packets, on_their_way)) in (1..).zip(epochs) {
                // Of every other reading, up to all of them.
                let on_their_way = if number % 2 == 0 { on_their_way.min(packets) } else { 0 };
                let this = same(number, packets + late - on_their_way, packets);
                late = on_their_way;
                if let Some(before) = before {
                    prop_assert_eq!(judge(&before, Some(&this)), None);
                }
                before = Some(this);
            }
        }

        /// Where packets of members pass and none reaches the program, each interval with some is a
        /// gap, whatever comes later.
        #[test]
        fn what_never_reaches_the_program_is_a_gap(packets in 1_u64..1_000_000, next in 0_u64..1_000_000) {
            let this = same(1, 0, packets);
            prop_assert_eq!(judge(&this, Some(&same(2, next, next))), Some(this.span));
            prop_assert_eq!(judge(&this, Some(&same(2, 0, next))), Some(this.span));
        }

        /// Counted time is never a gap.
        #[test]
        fn counted_time_is_never_a_gap(ours in 1_u64.., theirs in any::<u64>(), next in any::<u64>()) {
            let mut this = same(1, ours, 0);
            this.theirs = Some([Count { packets: theirs, bytes: theirs }, Count::default()]);
            prop_assert_eq!(judge(&this, Some(&same(2, 0, next / 1_000))), None);
        }
    }
}
