//! Whether the wall clock may decide what is deleted.
//!
//! A clock that is years ahead makes everything look old. So it is compared with what was recorded:
//! a clock that reads two days more than the newest record, and that nothing keeps, deletes nothing.
//! One that is kept (NTP) may delete after any pause, and only warns: a gateway was stopped for long.

use std::time::Duration;

use jiff::{SpanRound, Timestamp, Unit};

pub use crate::record::clock::JUMP;
use crate::record::clock::{ClockQuality, Utc};

/// Records may be so far ahead of a clock: those of another gateway, whose clock is not the same.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// Whether retention may go by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may, and somebody should look at the clock.
    Warn(Doubt),
    /// Nothing may be deleted.
    Refuse(Doubt),
}

/// What is wrong with the clock, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing keeps it.
    Unsynchronised {
        /// The greatest error that it may have by what the kernel knows.
        max_error: Duration,
    },
    /// It is far ahead of everything that was recorded.
    Jump {
        /// What it reads.
        now: Utc,
        /// The newest record.
        newest: Utc,
        /// Whether something keeps it.
        synchronised: bool,
    },
}

/// Decides by the clock, by what the kernel knows of it, and by the newest record before it.
#[must_use]
pub fn clock_guard(now: Utc, quality: ClockQuality, newest: Option<Utc>) -> Verdict {
    let ClockQuality { synchronised, max_error } = quality;
    let jump = newest.filter(|newest| now > newest.plus(JUMP));
    match (jump, synchronised) {
        (Some(newest), true) => Verdict::Warn(Doubt::Jump { now, newest, synchronised }),
        (Some(newest), false) => Verdict::Refuse(Doubt::Jump { now, newest, synchronised }),
        (None, false) => Verdict::Warn(Doubt::Unsynchronised { max_error }),
        (None, true) => Verdict::Allow,
    }
}

/// The newest record that says something of the time before `now`.
///
/// `trusted` is when retention last had no doubt. What was recorded after that counts as far as it
/// goes on without a jump: a clock that jumps and records does not become right by its own records.
/// Where nothing is trusted yet, the newest record counts.
#[must_use]
pub fn newest(
    trusted: Option<Utc>,
    recorded: impl IntoIterator<Item = Utc>,
    now: Utc,
) -> Option<Utc> {
    let latest = now.plus(TOLERANCE);
    let mut recorded: Vec<Utc> = recorded.into_iter().filter(|at| *at <= latest).collect();
    let Some(trusted) = trusted.filter(|trusted| *trusted <= latest) else {
        return recorded.into_iter().max();
    };
    recorded.sort_unstable();
    Some(recorded.into_iter().fold(trusted, |newest, at| {
        if at > newest && at <= newest.plus(JUMP) { at } else { newest }
    }))
}

impl Verdict {
    /// What there is to be said against the clock.
    #[must_use]
    pub const fn doubt(&self) -> Option<Doubt> {
        match self {
            Self::Allow => None,
            Self::Warn(doubt) | Self::Refuse(doubt) => Some(*doubt),
        }
    }

    /// Whether nothing may be deleted.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refuse(_))
    }

    /// Its name in answers for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn(_) => "warn",
            Self::Refuse(_) => "refuse",
        }
    }
}

impl Doubt {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unsynchronised { .. } => "install and start chrony, ntpd or systemd-timesyncd",
            Self::Jump { synchronised: true, .. } => {
                "after a long pause of flowlog this is normal; otherwise check the time source"
            }
            Self::Jump { synchronised: false, .. } => {
                "synchronise the clock with chrony, ntpd or systemd-timesyncd; if it is right already, \
                 run `flowlog retention run --accept-clock` once"
            }
        }
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsynchronised { max_error } => write!(
                f,
                "the clock is not synchronised, and may be off by up to {} s",
                max_error.as_secs()
            ),
            Self::Jump { now, newest, synchronised } => {
                let kept = if *synchronised { "synchronised" } else { "not synchronised" };
                let (now, newest) = (seconds(*now), seconds(*newest));
                write!(
                    f,
                    "the clock reads {now}, {} after the newest record ({newest}), and is {kept}",
                    apart(newest, now)
                )
            }
        }
    }
}

fn seconds(utc: Utc) -> Timestamp {
    utc.floor(Duration::from_secs(1)).into()
}

/// How far apart two instants are, as people say it.
fn apart(from: Timestamp, to: Timestamp) -> String {
    let days = SpanRound::new().largest(Unit::Day).smallest(Unit::Day).days_are_24_hours();
    let span = to.since(from).and_then(|span| span.round(days));
    span.map_or_else(|_| "long".to_owned(), |span| format!("{} days", span.get_days()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SYNCHRONISED: ClockQuality =
        ClockQuality { synchronised: true, max_error: Duration::from_millis(1) };
    const ALONE: ClockQuality =
        ClockQuality { synchronised: false, max_error: Duration::from_secs(16) };

    fn hours(hours: i64) -> Utc {
        Utc::from_ms(hours * 3_600_000)
    }

    #[test]
    fn a_jump_refuses_a_clock_that_nothing_keeps_and_warns_of_one_that_is_kept() {
        let newest = Some(hours(1000));
        for (now, quality, expected) in [
            (1000, SYNCHRONISED, "allow"),
            (1048, SYNCHRONISED, "allow"),
            (1049, SYNCHRONISED, "warn"),
            (90_000, SYNCHRONISED, "warn"),
            (1000, ALONE, "warn"),
            (1048, ALONE, "warn"),
            (1049, ALONE, "refuse"),
            (90_000, ALONE, "refuse"),
            (10, ALONE, "warn"),
            (10, SYNCHRONISED, "allow"),
        ] {
            let verdict = clock_guard(hours(now), quality, newest);
            assert_eq!(verdict.name(), expected, "{now} {quality:?}");
        }
        assert_eq!(clock_guard(hours(9), ALONE, None).name(), "warn");
        assert_eq!(clock_guard(hours(9), SYNCHRONISED, None).name(), "allow");
    }

    #[test]
    fn the_sentence_names_both_times_and_the_remedy() {
        let verdict = clock_guard(hours(100_000), ALONE, Some(hours(1000)));
        let doubt = verdict.doubt().unwrap();
        assert_eq!(
            doubt.to_string(),
            "the clock reads 1981-05-29T16:00:00Z, 4125 days after the newest record \
             (1970-02-11T16:00:00Z), and is not synchronised"
        );
        assert!(doubt.remedy().contains("--accept-clock"));
    }

    #[test]
    fn what_is_ahead_of_the_clock_says_nothing_of_it() {
        let recorded = [hours(5), hours(10), hours(500)];
        assert_eq!(newest(None, recorded, hours(20)), Some(hours(10)));
        assert_eq!(newest(Some(hours(500)), recorded, hours(20)), Some(hours(10)));
        assert_eq!(newest(None, recorded, hours(3)), None);
    }

    #[test]
    fn records_after_a_jump_do_not_make_the_clock_right() {
        let recorded = [hours(5), hours(30), hours(60), hours(90_000), hours(90_001)];
        assert_eq!(newest(Some(hours(5)), recorded, hours(90_002)), Some(hours(60)));
        // Where nothing is trusted yet, nothing tells the jump from a long pause.
        assert_eq!(newest(None, recorded, hours(90_002)), Some(hours(90_001)));
    }

    proptest! {
        /// However much a clock that has jumped records, and however often it is asked, it deletes
        /// nothing until somebody keeps it or accepts it.
        #[test]
        fn a_jump_is_refused_whatever_is_recorded_after_it(
            before in prop::collection::vec(0..1000_i64, 0..20),
            trusted in 0..1000_i64,
            jump in 1_100..1_000_000_i64,
            after in prop::collection::vec(0..1000_i64, 0..20),
        ) {
            let recorded = before.iter().copied().chain(after.iter().map(|at| jump + 2000 + at));
            let now = hours(jump + 3000);
            let newest = newest(Some(hours(trusted)), recorded.map(hours), now);
            prop_assert!(newest < Some(hours(1000)));
            prop_assert!(clock_guard(now, ALONE, newest).is_refusal());
            prop_assert!(!clock_guard(now, SYNCHRONISED, newest).is_refusal());
        }

        /// A gateway that records at least every two days is never refused.
        #[test]
        fn a_clock_that_goes_on_is_never_refused(steps in prop::collection::vec(1..=48_i64, 1..50)) {
            let mut at = 0;
            let recorded: Vec<_> = steps.iter().map(|step| { at += step; hours(at) }).collect();
            let now = hours(at + 48);
            let newest = newest(Some(hours(0)), recorded, now);
            prop_assert_eq!(newest, Some(hours(at)));
            prop_assert!(!clock_guard(now, ALONE, newest).is_refusal());
        }
    }
}
