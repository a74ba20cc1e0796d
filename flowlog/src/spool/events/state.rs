//! What a log of events knows beside its segments: which of their numbers count, and what became of the others.

use serde::{Deserialize, Serialize};

use super::{
    super::planted::{Bug, planted},
    segment::End,
};
use crate::record::epoch_set::EpochSet;

/// Every number from the first to that of `end` is released, or in a segment, or lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The segments that are in the spool, in the order of their numbers.
    pub(super) segments: Vec<Segment>,
    /// Where the events end.
    pub(super) end: Option<End>,
    /// The store has all events up to this number for good.
    pub(super) released: u64,
    /// What is lost, and was not told yet.
    pub(super) lost: Vec<LostEvents>,
    /// What is lost, and was told, as far as the segments reach.
    #[serde(rename = "told")]
    pub(super) reported: EpochSet,
}

/// The numbers of a segment that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) id: String,
    pub(super) gateway: String,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The least and the greatest time of its events, nanoseconds of UTC.
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    /// Bytes of the file up to the last of them.
    pub(super) bytes: u64,
}

/// Events that were safe, and are not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostEvents {
    /// Name of the gateway whose events they were.
    pub gateway: String,
    /// Their numbers.
    pub numbers: EpochSet,
    /// No earlier than this, nanoseconds of UTC.
    pub start_ns: i64,
    /// No later than this.
    pub end_ns: i64,
}

impl State {
    /// Number of the last event that counts; zero where there was none.
    pub(super) fn last(&self) -> u64 {
        self.end.as_ref().map_or(0, |end| end.last).max(self.released)
    }

    /// Events of a segment are durable, and count.
    pub(super) fn count(&mut self, segment: Segment) {
        self.end = Some(End { segment: segment.id.clone(), last: segment.last });
        match self.segments.iter_mut().find(|known| known.id == segment.id) {
            Some(known) => {
                (known.last, known.bytes) = (segment.last, segment.bytes);
                known.start_ns = known.start_ns.min(segment.start_ns);
                known.end_ns = known.end_ns.max(segment.end_ns);
            }
            None => self.segments.push(segment),
        }
    }

    /// What is lost.
    pub(super) fn missing(&self) -> EpochSet {
        self.lost.iter().fold(self.reported.clone(), |all, lost| all.union(&lost.numbers))
    }

    /// Notes that some events of a segment are lost. Returns those that were not known to be.
    pub(super) fn lose(&mut self, segment: &Segment, numbers: &EpochSet) -> EpochSet {
        let released = EpochSet::range(1, self.released);
        let numbers = numbers.minus(&self.missing()).minus(&released);
        if !numbers.is_empty() && !planted(Bug::EventsForgotten) {
            self.lost.push(LostEvents {
                gateway: segment.gateway.clone(),
                numbers: numbers.clone(),
                start_ns: segment.start_ns,
                end_ns: segment.end_ns,
            });
        }
        numbers
    }

    /// Somebody else knows now that these are lost.
    pub(super) fn report(&mut self, numbers: &EpochSet) {
        for lost in &mut self.lost {
            let left = lost.numbers.minus(numbers);
            self.reported = self.reported.union(&lost.numbers.minus(&left));
            lost.numbers = left;
        }
        self.lost.retain(|lost| !lost.numbers.is_empty());
    }

    /// The store has all events up to this number.
    pub(super) fn release(&mut self, through: u64) {
        self.released = through.min(self.last()).max(self.released);
    }

    /// These segments are gone for good.
    pub(super) fn forget_released(&mut self, gone: &[Segment]) {
        self.segments.retain(|segment| !gone.contains(segment));
        let first =
            self.segments.first().map_or(self.released, |segment| segment.first.saturating_sub(1));
        self.reported = self.reported.minus(&EpochSet::range(1, first.min(self.released)));
    }
}

impl Segment {
    /// Whether all of its events are released.
    pub(super) fn is_released(&self, released: u64) -> bool {
        if planted(Bug::EventsReleasedEarly) {
            self.first <= released
        } else {
            self.last <= released
        }
    }

    /// The numbers that count.
    pub(super) fn numbers(&self) -> EpochSet {
        EpochSet::range(self.first, self.last)
    }
}
