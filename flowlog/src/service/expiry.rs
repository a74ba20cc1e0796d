//! The task that deletes what has expired, again and again.

pub(super) mod events;
mod unpublished;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tokio::sync::watch;

use super::{snapshot, windows::Shared};
use crate::{
    config::RetentionSettings,
    keep::retain::{
        self, Inventory, Keep, RetentionPlan, Rule, Scope,
        aside::Aside,
        guard::{self, Verdict},
    },
    record::clock::{self, Utc},
    status::Status,
    store::{self, Store},
    telemetry::with_causes,
};
use events::Event;

/// Deletes what has expired.
pub(super) struct Expiry {
    retention: RetentionSettings,
    /// This one, and the names that it had before.
    gateways: Vec<Scope>,
    spool: Option<PathBuf>,
    /// What is not in the store for good.
    shared: Shared,
    status: Status,
    wall: WallClock,
    /// What was last reported of the clock.
    verdict: &'static str,
    /// What was reported already, so that it is not again every few minutes.
    reported: BTreeSet<String>,
}

impl Expiry {
    /// Of what the gateway recorded, under this name and those before, and of what its spool has.
    pub(super) fn new(
        retention: RetentionSettings,
        gateways: Vec<Scope>,
        spool: Option<PathBuf>,
        (shared, status): (Shared, Status),
    ) -> Self {
        Self {
            shared,
            status,
            retention,
            gateways,
            spool,
            wall: WallClock::start(clock::now(), clock::since_boot()),
            verdict: Verdict::Allow.name(),
            reported: BTreeSet::new(),
        }
    }

    /// Runs until it is dropped. What is in the store expires once there is one, what is in the spool
    /// meanwhile.
    pub(super) async fn keep_expiring(mut self, mut store: watch::Receiver<Option<Store>>) {
        let mut ticks = tokio::time::interval(self.retention.interval);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = store.changed() => if changed.is_err() {
                    return;
                },
            }
            let known = store.borrow_and_update().clone();
            let Some(known) = known else {
                self.expire_unpublished();
                continue;
            };
            let outcome = self.expire(&known).await;
            if let Err(error) = &outcome {
                Event::Failed { error }.emit();
            }
            let outcome = outcome.and_then(|failed| failed.map_or(Ok(()), Err));
            snapshot::looked_for_expired(
                &self.status,
                outcome.map_err(|error| with_causes(&error)),
            );
        }
    }

    /// Deletes what expired in the spool before the store took it, without asking the store.
    pub(super) fn expire_unpublished(&mut self) {
        let (now, since_boot) = (clock::now(), clock::since_boot());
        let newest = unpublished::newest(&self.shared, self.wall.proven(since_boot), now);
        let verdict = guard::clock_guard(now, clock::quality(), newest);
        snapshot::judged_clock(&self.status, verdict);
        if !verdict.is_refusal() {
            let keep = Keep::configured(&self.retention);
            let rule = Rule { keep: &keep, at: now, now, gateways: None };
            unpublished::delete(&self.shared, &rule);
        }
    }

    /// Deletes what has expired. Returns the first file's error where not all could be deleted.
    async fn expire(&mut self, store: &Store) -> Result<Option<store::Error>, store::Error> {
        let mut inventory = Inventory::of(store).await?;
        let was = inventory.memory.clone();
        let now = clock::now();
        let proven = self.wall.proven(clock::since_boot());
        if let Some((from, until)) = self.wall.look(now, clock::since_boot()) {
            inventory.misdate(&self.gateways, from, until, now);
        }
        let newest = inventory.newest(proven, now);
        let verdict = guard::clock_guard(now, clock::quality(), newest);
        self.report_clock(verdict);
        snapshot::judged_clock(&self.status, verdict);
        let mut failure = None;
        let (keep, gateways) = (Keep::configured(&self.retention), self.gateways.clone());
        let rule = Rule { keep: &keep, at: now, now, gateways: Some(&gateways) };
        let plan = retain::plan(&inventory, &rule);
        if !verdict.is_refusal() {
            self.wall.trust(now, clock::since_boot());
            self.report_odd(&plan);
            unpublished::delete(&self.shared, &rule);
            failure = delete(store, &plan).await;
            self.expire_aside(&rule);
        }
        let memory = inventory.remember(&rule, verdict.is_refusal(), newest, &plan);
        memory.write(store, &was).await?;
        Ok(failure)
    }

    /// Once for each change.
    fn report_clock(&mut self, verdict: Verdict) {
        if verdict.name() == std::mem::replace(&mut self.verdict, verdict.name()) {
            return;
        }
        let every = self.retention.interval;
        match verdict {
            Verdict::Allow => Event::ClockTrusted.emit(),
            Verdict::Warn(doubt) => Event::ClockDoubtful { doubt }.emit(),
            Verdict::Refuse(doubt) => Event::ClockRefused { doubt, every }.emit(),
        }
    }

    fn report_odd(&mut self, plan: &RetentionPlan) {
        for object in &plan.foreign {
            Event::Foreign { object: object.as_ref() }.emit();
        }
        for oddity in &plan.undeletable {
            if self.reported.insert(oddity.path.clone()) {
                Event::Undeletable { oddity: &oddity.to_string() }.emit();
            }
        }
        let files = plan.misdated.len();
        if files > 0 && self.reported.insert(format!("{files} misdated")) {
            Event::Misdated { files }.emit();
        }
    }

    fn expire_aside(&self, rule: &Rule<'_>) {
        let Some(spool) = &self.spool else { return };
        let deleted = Aside::of(spool, rule).and_then(|aside| aside.delete(spool));
        match deleted {
            Ok(done) => {
                if done.files > 0 {
                    Event::AsideDeleted { files: done.files }.emit();
                }
                if let Some((path, error)) = done.failed.first() {
                    Event::AsideNotDeleted { path, error }.emit();
                }
            }
            Err(error) => Event::AsideUnread { error: &error }.emit(),
        }
    }
}

/// Deletes what a plan names. Returns the first error.
async fn delete(store: &Store, plan: &RetentionPlan) -> Option<store::Error> {
    let mut done = retain::run(store, plan, |expired| {
        Event::Expired { partition: &expired.partition.folder() }.emit();
    })
    .await;
    if done.staged > 0 {
        Event::UnfinishedDeleted { files: done.staged }.emit();
    }
    if let Some((path, error)) = done.failed.first() {
        let (failed, untried) = (done.failed.len(), done.untried);
        Event::NotDeleted { failed, untried, path: path.as_ref(), error }.emit();
        return Some(done.failed.remove(0).1);
    }
    None
}

/// The wall clock, watched by the one that nobody can set.
#[derive(Clone, Copy, Debug)]
struct WallClock {
    /// Since when it goes on without a jump, as it reads itself.
    since: Utc,
    /// The last reading, and how long the machine ran then.
    last: (Utc, Duration),
    /// The last reading without a doubt.
    trusted: Option<(Utc, Duration)>,
}

impl WallClock {
    const fn start(now: Utc, since_boot: Duration) -> Self {
        Self { since: now, last: (now, since_boot), trusted: None }
    }

    /// Looks at it. Where it has jumped forward, returns between which instants it read was it wrong.
    fn look(&mut self, now: Utc, since_boot: Duration) -> Option<(Utc, Utc)> {
        let (was, then) = self.last;
        let expected = was.plus(since_boot.saturating_sub(then));
        self.last = (now, since_boot);
        if now.distance(expected) <= guard::JUMP {
            return None;
        }
        let wrong = (self.since, expected);
        self.since = now;
        (now > expected).then_some(wrong)
    }

    const fn trust(&mut self, now: Utc, since_boot: Duration) {
        self.trusted = Some((now, since_boot));
    }

    /// An instant that has passed for certain.
    fn proven(&self, since_boot: Duration) -> Option<Utc> {
        let (trusted, then) = self.trusted?;
        Some(trusted.plus(since_boot.saturating_sub(then)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_jump_forward_tells_since_when_the_clock_was_wrong() {
        let year = seconds(365 * 86_400);
        let start = Utc::from_ms(0);
        let mut wall = WallClock::start(start, seconds(100));
        assert_eq!(wall.look(start.plus(seconds(60)), seconds(160)), None);
        // Set by an hour: nothing of it expires for that.
        assert_eq!(wall.look(start.plus(seconds(3_720)), seconds(220)), None);
        let corrected = start.plus(year);
        let wrong = (start, start.plus(seconds(3_780)));
        assert_eq!(wall.look(corrected, seconds(280)), Some(wrong));
        assert_eq!(wall.look(corrected.plus(seconds(60)), seconds(340)), None);
        // Back again: what was recorded meanwhile is ahead of the clock, which is enough to know.
        assert_eq!(wall.look(start.plus(seconds(400)), seconds(400)), None);
    }

    #[test]
    fn time_that_has_passed_without_the_wall_clock_is_certain() {
        let mut wall = WallClock::start(Utc::from_ms(5), seconds(1));
        assert_eq!(wall.proven(seconds(9)), None);
        wall.trust(Utc::from_ms(1_000), seconds(10));
        assert_eq!(wall.proven(seconds(70)), Some(Utc::from_ms(61_000)));
    }
}
