//! What is recorded of which packets: decided in the kernel, so that what is not to be known never
//! exists anywhere.

use crate::layout::assert_layout;

/// What is recorded, one byte that the daemon sets before it loads the program. The verifier knows
/// it then, and leaves out the instructions that serve the other profiles.
pub mod profile {
    /// Full conversations.
    pub const FLOWS: u8 = 0;
    /// Who used which address and port and when, but never with whom.
    pub const ATTRIBUTION: u8 = 1;
    /// Full conversations of the members under an order, inside its dates; others are counted as
    /// excluded.
    pub const TARGETED: u8 = 2;
}

/// From when on and until when the packets of a target are recorded, in nanoseconds of the
/// kernel's monotonic clock; the first instant is inside, the last one is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// From when on.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
}

assert_layout!(Span, size 16, {
    from_ns: u64 => 0,
    to_ns: u64 => 8,
});

/// Spans that one prefix can have.
pub const MAX_SPANS: usize = 4;

/// The spans of all orders that concern a prefix; those that are not used are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Spans {
    /// In no order.
    pub spans: [Span; MAX_SPANS],
}

assert_layout!(Spans, size 64, {
    spans: [Span; MAX_SPANS] => 0,
});

impl Spans {
    /// Whether a packet that is seen now is to be recorded.
    #[inline(always)]
    #[must_use]
    pub fn contain(&self, now_ns: u64) -> bool {
        let Self { spans: [first, second, third, fourth] } = self;
        first.contains(now_ns)
            | second.contains(now_ns)
            | third.contains(now_ns)
            | fourth.contains(now_ns)
    }
}

impl Span {
    #[inline(always)]
    const fn contains(&self, now_ns: u64) -> bool {
        self.from_ns <= now_ns && now_ns < self.to_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_begins_at_its_first_instant_and_ends_before_its_last() {
        let mut spans = Spans::default();
        spans.spans[3] = Span { from_ns: 10, to_ns: 20 };
        assert_eq!([9, 10, 19, 20].map(|now| spans.contain(now)), [false, true, true, false]);
    }

    #[test]
    fn without_spans_nothing_is_recorded() {
        assert_eq!([0, 1, u64::MAX].map(|now| Spans::default().contain(now)), [false; 3]);
    }
}
