//! The only place that reads time, and the way from the kernel's time to UTC.
//!
//! The kernel program stamps packets with its coarse monotonic clock, whose step is a jiffy. The
//! offset to UTC is read once per epoch. An epoch is converted with the offset of its opening; where
//! the wall clock was set meanwhile, with the [`Dating`] that is the better one of the two.

mod monotonic;

use std::time::Duration;

use jiff::Timestamp;

pub use monotonic::MonotonicNs;

/// A day of UTC.
pub const DAY: Duration = Duration::from_hours(24);

/// An instant in UTC, to the nanosecond, between the years 1677 and 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc(i64);

impl Utc {
    /// The instant this many nanoseconds after 1970.
    #[must_use]
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// The instant this many milliseconds after 1970; the ends of the range where it has none.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds after 1970.
    #[must_use]
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Whole milliseconds after 1970.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The first whole millisecond at this instant or after it.
    #[must_use]
    pub const fn ceiling_ms(self) -> Self {
        let rest = self.0.rem_euclid(1_000_000);
        Self(if rest == 0 { self.0 } else { self.0.saturating_add(1_000_000 - rest) })
    }

    /// The multiple of `step` at this instant or before it.
    #[must_use]
    pub fn floor(self, step: Duration) -> Self {
        let step = duration_ns(step).max(1);
        Self(self.0 - self.0.rem_euclid(step))
    }

    /// The beginnings of the times of a length, from the one that has this instant on: that one, and all before `end`.
    pub fn starts(self, length: Duration, end: Self) -> impl Iterator<Item = Self> {
        let first = self.floor(length);
        let next = move |start: &Self| Some(start.plus(length)).filter(|next| *next < end);
        std::iter::successors(Some(first), next)
    }

    /// This instant and a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration_ns(duration)))
    }

    /// This instant less a duration.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration_ns(duration)))
    }

    /// How far apart two instants are.
    #[must_use]
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.abs_diff(other.0))
    }
}

impl From<Timestamp> for Utc {
    fn from(timestamp: Timestamp) -> Self {
        let ns = timestamp.as_nanosecond();
        Self(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl From<Utc> for Timestamp {
    fn from(utc: Utc) -> Self {
        // Every instant of `Utc` is in the range of `Timestamp`.
        Self::from_nanosecond(i128::from(utc.0)).unwrap_or_default()
    }
}

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Timestamp::from(*self).fmt(f)
    }
}

/// The distance from the kernel's monotonic clock to UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    /// Reads both clocks, as nearly at once as it can be done.
    ///
    /// A thread that is interrupted between the two would be wrong by how long that lasted, which
    /// on a busy machine is tens of milliseconds: of several readings the quickest counts.
    #[must_use]
    pub fn now() -> Self {
        let (mut offset, mut quickest) = Self::reading();
        for _ in 1..READINGS {
            if quickest <= QUICK_NS {
                break;
            }
            let (again, took) = Self::reading();
            if took < quickest {
                (offset, quickest) = (again, took);
            }
        }
        offset
    }

    /// An offset, and the nanoseconds that it took to read it.
    fn reading() -> (Self, i64) {
        let before = read(libc::CLOCK_MONOTONIC);
        let wall = read(libc::CLOCK_REALTIME);
        let after = read(libc::CLOCK_MONOTONIC);
        (Self(wall - before.midpoint(after)), after - before)
    }

    /// An offset of this many nanoseconds, for tests and benchmarks.
    #[must_use]
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// Nanoseconds from the kernel's monotonic clock to UTC.
    #[must_use]
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// An instant of the kernel in UTC.
    #[must_use]
    pub fn utc(self, monotonic: MonotonicNs) -> Utc {
        Utc(i64::try_from(monotonic.ns()).unwrap_or(i64::MAX).saturating_add(self.0))
    }

    /// An instant in UTC on the kernel's clock; zero where it was not running yet.
    #[must_use]
    pub fn monotonic(self, utc: Utc) -> MonotonicNs {
        MonotonicNs::from_ns(u64::try_from(utc.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// By which reading of the wall clock something is dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dating {
    /// The reading.
    pub offset: Offset,
    /// Whether something kept the wall clock then.
    pub synchronised: bool,
}

impl Dating {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { offset: Offset::now(), synchronised: quality().synchronised }
    }

    /// By how many nanoseconds the wall clock was set between two readings, so long apart; `None`
    /// where it was slewed at most.
    #[must_use]
    pub fn step(self, later: Self, apart: Duration) -> Option<i64> {
        let step = later.offset.0.saturating_sub(self.offset.0);
        // The kernel slews by half a thousandth at most.
        let slewed = SLEW.saturating_add(apart / 1000);
        (step.unsigned_abs() > u64::try_from(slewed.as_nanos()).unwrap_or(u64::MAX)).then_some(step)
    }

    /// Which of two readings, between which the wall clock was set, dates what was counted before, at
    /// `at` by the first one.
    ///
    /// The later one, since a clock is set to correct it. But of a clock that nothing keeps a [`JUMP`]
    /// forward is not believed, unless it leaves a time that cannot be; and what a kept clock has dated
    /// stays as it is where nothing keeps it any more: somebody set it by hand.
    #[must_use]
    pub fn better(self, later: Self, at: Utc) -> Self {
        let step = Duration::from_nanos(
            u64::try_from(later.offset.0.saturating_sub(self.offset.0)).unwrap_or(0),
        );
        let is_doubtful = self.synchronised || (step > JUMP && at >= EARLIEST);
        if is_doubtful && !later.synchronised { self } else { later }
    }
}

/// 2015-06-21, when Linux 4.1 brought eBPF classifiers: nothing was recorded before.
pub const EARLIEST: Utc = Utc::from_ms(1_434_844_800_000);
/// A clock that nothing keeps is not believed when it jumps forward by more: longer than a weekend's
/// pause, shorter than what does damage.
pub const JUMP: Duration = Duration::from_hours(48);

/// More than the clock is slewed by in a few seconds, less than anyone sets it by.
const SLEW: Duration = Duration::from_millis(50);

/// Readings of which the quickest counts.
const READINGS: u32 = 16;
/// A reading that was not interrupted, on any machine.
const QUICK_NS: i64 = 5_000;

/// UTC now.
#[must_use]
pub fn now() -> Utc {
    Utc(read(libc::CLOCK_REALTIME))
}

/// The clock that the kernel program reads: monotonic, in steps of a jiffy.
#[must_use]
pub fn monotonic_coarse() -> MonotonicNs {
    MonotonicNs::from_ns(u64::try_from(read(libc::CLOCK_MONOTONIC_COARSE)).unwrap_or(0))
}

/// Time since the machine was started, also while it slept; nobody can set it.
#[must_use]
pub fn since_boot() -> Duration {
    Duration::from_nanos(u64::try_from(read(libc::CLOCK_BOOTTIME)).unwrap_or(0))
}

/// What tells this start of the machine from every other; empty where the kernel does not say.
#[must_use]
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// What the kernel knows of how right its wall clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockQuality {
    /// Whether something (chrony, ntpd, timesyncd) keeps it.
    pub synchronised: bool,
    /// The greatest error that it may have; grows while nothing keeps the clock.
    pub max_error: Duration,
}

/// Asks the kernel how right its wall clock is (adjtimex).
#[must_use]
pub fn quality() -> ClockQuality {
    // SAFETY: zeroes are a valid request to change nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the argument outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    ClockQuality {
        synchronised: state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
        max_error: Duration::from_micros(u64::try_from(timex.maxerror).unwrap_or(0)),
    }
}

fn duration_ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the argument outlives the call, which cannot fail for a clock that exists.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_goes_to_utc_and_back() {
        let offset = Offset::from_ns(1_700_000_000_000_000_000);
        let monotonic = MonotonicNs::from_ns(5_000_000_123);
        let utc = offset.utc(monotonic);
        assert_eq!(utc, Utc::from_ns(1_700_000_005_000_000_123));
        assert_eq!(offset.monotonic(utc), monotonic);
        assert_eq!(utc.to_string(), "2023-11-14T22:13:25.000000123Z");
    }

    #[test]
    fn windows_begin_at_multiples_of_their_length() {
        let five_minutes = Duration::from_mins(5);
        let utc: Timestamp = "2026-11-22T09:57:31.5Z".parse().unwrap();
        let start = Utc::from(utc).floor(five_minutes);
        assert_eq!(start.to_string(), "2026-11-22T09:55:00Z");
        assert_eq!(start.floor(five_minutes), start);
        assert_eq!(Utc::from_ms(-1).floor(Duration::from_secs(1)), Utc::from_ms(-1000));
    }

    #[test]
    fn a_clock_that_is_slewed_was_not_set() {
        let at = |ms: i64| Dating { offset: Offset::from_ns(ms * 1_000_000), synchronised: true };
        let (hour, moment) = (Duration::from_hours(1), Duration::from_secs(10));
        assert_eq!(at(0).step(at(40), moment), None);
        assert_eq!(at(0).step(at(-3_000), hour), None);
        assert_eq!(at(0).step(at(-3_000), moment), Some(-3_000_000_000));
        assert_eq!(at(0).step(at(4_000), hour), Some(4_000_000_000));
    }

    #[test]
    fn of_two_readings_a_kept_clock_counts_and_else_the_later_one_unless_it_jumped() {
        const YEAR: i64 = 365 * 86_400_000_000_000;
        let dating = |ns, synchronised| Dating { offset: Offset::from_ns(ns), synchronised };
        let (plausible, in_1970) = (Utc::from_ns(50 * YEAR), Utc::from_ms(60_000));
        for (before, after, step, at, is_later) in [
            (false, false, 1, plausible, true),
            (false, true, 1, plausible, true),
            (true, true, 1, plausible, true),
            (true, false, 1, plausible, false),
            // Years ahead of what was counted just now; back again; from a clock without a battery.
            (false, false, YEAR, plausible, false),
            (false, true, YEAR, plausible, true),
            (false, false, -YEAR, plausible, true),
            (false, false, 56 * YEAR, in_1970, true),
        ] {
            let chosen = dating(0, before).better(dating(step, after), at);
            assert_eq!(chosen.offset.ns() != 0, is_later, "{before} {after} {step}");
        }
    }

    #[test]
    fn the_coarse_clock_follows_the_monotonic_one() {
        let coarse = monotonic_coarse();
        let fine = MonotonicNs::from_ns(u64::try_from(read(libc::CLOCK_MONOTONIC)).unwrap());
        assert!(fine >= coarse && fine.since(coarse) < Duration::from_millis(100));
    }
}
