//! Cutting a row at midnight, UTC: a row lies within one partition.

use super::{
    super::clock::{DAY, Utc},
    Held, SessionRow, slack,
};

impl SessionRow {
    /// The row in the days that it touches. Where only its slack reaches into a day, the row of that day is certain of
    /// no time.
    #[must_use]
    pub fn slices(&self) -> Vec<Self> {
        let days: Vec<Utc> =
            self.held.possible_start().starts(DAY, self.held.possible_end()).collect();
        let last = days.len().saturating_sub(1);
        let of_day = |(place, day): (usize, Utc)| {
            let next = day.plus(DAY);
            let goes_on = self.held.end > next || self.held.end == next && self.continues;
            let continues = goes_on && self.held.start < next;
            let holds_end = self.held.end >= day && (self.held.end < next || place == last);
            Self {
                held: self.held.within(day, next),
                continues: continues || self.continues && place == last,
                end_reason: self.end_reason.filter(|_| !continues && self.held.end <= next),
                bytes: self.bytes.filter(|_| holds_end),
                ..self.clone()
            }
        };
        days.into_iter().enumerate().map(of_day).collect()
    }
}

impl SessionRow {
    /// The day of a row that lies within one.
    #[must_use]
    pub fn day(&self) -> Utc {
        let Held { start, start_slack_ms, .. } = self.held;
        let day = start.floor(DAY);
        // Where only its slack lies in its day, before the certain time, it is certain of no time at the day's end.
        let is_behind = self.held.is_empty() && start == day && start_slack_ms > 0;
        if is_behind { day.minus(DAY) } else { day }
    }
}

impl Held {
    /// Whether it is certain of no time.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The part between two instants.
    #[must_use]
    pub fn within(&self, from: Utc, to: Utc) -> Self {
        let (start, end) = (self.start.clamp(from, to), self.end.clamp(from, to));
        Self {
            start,
            end,
            start_slack_ms: slack(self.possible_start().clamp(from, to), start),
            end_slack_ms: slack(end, self.possible_end().clamp(from, to)),
        }
    }
}
