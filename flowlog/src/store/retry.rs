//! When to try again.

use std::time::Duration;

use super::Error;

/// Waits longer after each failure, up to a limit, and by a random part of it: gateways whose
/// store comes back are not to ask all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The pause after the first failure, doubled with each one.
    pub first: Duration,
    /// The longest pause; also the one after a failure that does not pass by itself.
    pub longest: Duration,
    /// How many times to try; `None` is until it works.
    pub attempts: Option<u32>,
}

impl Retry {
    /// For a daemon, which must lose nothing: forever. What does not pass by itself is tried too,
    /// slowly, since somebody may mend it.
    pub const DAEMON: Self =
        Self { first: Duration::from_millis(500), longest: Duration::from_mins(1), attempts: None };

    /// For a command that somebody waits for. What does not pass by itself fails at once.
    pub const COMMAND: Self = Self { attempts: Some(5), ..Self::DAEMON };

    /// Attempts until one succeeds or the policy says that it is enough. Each failure that is
    /// followed by another attempt goes to `noted`, with the pause before that.
    pub async fn run<T, F>(
        &self,
        mut attempt: impl FnMut() -> F,
        mut noted: impl FnMut(Error, Duration),
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut failures = 0_u32;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            let is_enough =
                self.attempts.is_some_and(|attempts| failures >= attempts || !error.is_passing());
            if is_enough {
                return Err(error);
            }
            let pause = if error.is_passing() {
                self.pause(failures, fastrand::f64())
            } else {
                self.longest
            };
            noted(error, pause);
            tokio::time::sleep(pause).await;
        }
    }

    /// The pause after so many failures: half of it is certain, the other half is chance (0 to 1).
    pub(crate) fn pause(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let limit = self.first.saturating_mul(doubled).min(self.longest);
        (limit / 2).saturating_add((limit / 2).mul_f64(chance.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io};

    use super::*;
    use crate::store::Kind;

    const QUICK: Retry = Retry {
        first: Duration::from_micros(1),
        longest: Duration::from_micros(9),
        attempts: None,
    };

    fn failure(kind: io::ErrorKind) -> Error {
        Error::Sync { path: "/".into(), source: kind.into() }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_half_of_each_is_chance() {
        let pause = |failures, chance| Retry::DAEMON.pause(failures, chance).as_millis();
        assert_eq!([1, 2, 3, 4].map(|f| pause(f, 1.0)), [500, 1000, 2000, 4000]);
        assert_eq!([1, 2, 3, 4].map(|f| pause(f, 0.0)), [250, 500, 1000, 2000]);
        assert_eq!([8, 60, u32::MAX].map(|f| pause(f, 1.0)), [60_000; 3]);
    }

    #[tokio::test]
    async fn a_daemon_tries_until_it_works_whatever_the_failure() {
        let attempts = Cell::new(0);
        let mut noted = vec![];
        let attempt = async || {
            attempts.set(attempts.get() + 1);
            match attempts.get() {
                1..50 => Err(failure(io::ErrorKind::TimedOut)),
                50..60 => Err(failure(io::ErrorKind::PermissionDenied)),
                done => Ok(done),
            }
        };
        let done = QUICK.run(attempt, |error, pause| noted.push((error.kind(), pause))).await;
        assert_eq!((done.unwrap(), noted.len()), (60, 59));
        assert_eq!(noted[48].0, Kind::Away);
        assert_eq!(noted[49], (Kind::Denied, QUICK.longest));
    }

    #[tokio::test]
    async fn a_command_gives_up_at_its_limit_or_on_what_does_not_pass() {
        for (kind, expected) in [(io::ErrorKind::TimedOut, 3), (io::ErrorKind::PermissionDenied, 1)]
        {
            let attempts = Cell::new(0);
            let attempt = async || {
                attempts.set(attempts.get() + 1);
                Err::<(), _>(failure(kind))
            };
            let limited = Retry { attempts: Some(3), ..QUICK };
            assert!(limited.run(attempt, |_, _| ()).await.is_err());
            assert_eq!(attempts.get(), expected, "{kind}");
        }
    }
}
