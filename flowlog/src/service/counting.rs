//! Counting: the kernel program is loaded and attached before anything else is looked at, and
//! attached again as interfaces come and go.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Error, Options, recovery::FirstLook, snapshot};
use crate::{
    capture::{
        self, Adoption, Capture, Loaded, MapSizes, Pins, Previous, Program,
        drain::{self, Drainer},
        events,
        presence::Presence,
        watch::LinkWatch,
    },
    config::CaptureSettings,
    record::{
        clock::{self, Utc},
        epoch::EpochNumber,
        pattern::InterfacePattern,
        policy::Policy,
    },
    status::Status,
    telemetry::with_causes,
};

/// Interface names that one run can tell apart.
const MAX_INTERFACES: u16 = MapSizes::MAX_INTERFACES;
/// Pause before interfaces are looked at again that could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// What is counted, and how.
#[derive(Clone, Copy)]
pub(super) struct CountingSettings<'a> {
    pub(super) interfaces: &'a [InterfacePattern],
    pub(super) capture: &'a CaptureSettings,
    pub(super) policy: &'a Policy,
    /// How often the hooks are looked at.
    pub(super) interval: Duration,
    /// The gateway whose counters outlive the daemon; `None` where they do not.
    pub(super) pinned_as: Option<&'a str>,
}

/// The program that counts, and what it is attached to.
pub(super) struct Counting {
    capture: Capture,
    /// `None` while nothing tells of changes; then the interfaces are looked at now and then.
    watch: Option<LinkWatch>,
    patterns: Vec<InterfacePattern>,
    status: Status,
    /// How often the hooks are looked at.
    interval: Duration,
    /// When they are looked at next, whatever changes.
    next: Instant,
    /// Whether the interfaces could not be looked at the last time.
    is_behind: bool,
}

/// What is drained from now on.
pub(super) struct Drainable {
    pub(super) drainer: Drainer,
    /// Maps of daemons before, in which nothing is counted any more.
    pub(super) previous: Vec<Previous>,
    /// Whether the kernel has counted all along, since a daemon before.
    pub(super) goes_on: bool,
    /// When the interfaces were looked at first.
    pub(super) since: Utc,
}

impl Counting {
    /// Loads the program and attaches it. The numbers of its epochs come after those of the spool, as
    /// far as they are known.
    pub(super) fn start(
        settings: &CountingSettings<'_>,
        options: &Options,
        look: &FirstLook,
    ) -> Result<(Self, Drainable), Error> {
        // What outlives the daemon is of use to those only who know what was spooled of it.
        let CountingSettings { interfaces, capture, policy, interval, pinned_as } = *settings;
        let pins = pinned_as.map(|gateway| pins(&capture.pins, gateway, look)).transpose()?;
        let Loaded { program, maps, previous } =
            Program::load(MapSizes::configured(capture), policy, pins.as_ref())?;
        let presence = Arc::new(Presence::restore(MAX_INTERFACES, Arc::clone(&maps.control)));
        let is_continued = previous.is_continued;
        let mut previous = previous.maps;
        previous.sort_by_key(Previous::last_epoch);
        let is_whole =
            !previous.is_empty() && previous.iter().all(|found| found.counts().is_some());
        let last = last_number(look.last, &previous, is_whole);
        let drainer = Drainer::new(maps, Arc::clone(&presence), last)?;
        let goes_on = is_continued || is_whole;
        let mut counting = Self {
            capture: Capture::new(program, options.attach, capture.order, presence),
            // Listening begins before the first look, so that nothing happens in between.
            watch: listen(),
            patterns: interfaces.to_vec(),
            status: options.status.clone(),
            interval,
            next: Instant::now() + interval,
            is_behind: false,
        };
        counting.look_first(options)?;
        counting.report_interfaces();
        Ok((counting, Drainable { drainer, previous, goes_on, since: clock::now() }))
    }

    /// The patterns that stand for something that is counted, and those that do not.
    pub(super) fn patterns(&self) -> (Vec<&InterfacePattern>, Vec<&InterfacePattern>) {
        self.patterns.iter().partition(|pattern| self.capture.is_attached(pattern))
    }

    /// Attaches to interfaces that appear, forgets those that go, and looks at the hooks of all in each
    /// drain interval; never returns. What fails is tried again.
    pub(super) async fn follow(&mut self) {
        loop {
            self.changed().await;
            self.next = Instant::now() + self.interval;
            match self.capture.scan(&self.patterns) {
                Ok(changes) => {
                    self.is_behind = false;
                    events::report(&changes);
                    self.report_interfaces();
                }
                Err(error) => {
                    if !self.is_behind {
                        tracing::error!("{}; trying again every {PAUSE:?}", with_causes(&error));
                    }
                    self.is_behind = true;
                    snapshot::looked(&self.status, Err(with_causes(&error)));
                }
            }
        }
    }

    /// Writes to the snapshot which interfaces are attached.
    fn report_interfaces(&self) {
        snapshot::looked(&self.status, Ok(self.capture.attached(&self.patterns)));
    }

    /// Waits until it is worth looking at the interfaces.
    async fn changed(&mut self) {
        if self.watch.is_none() {
            tokio::time::sleep(PAUSE).await;
            self.watch = listen();
            return;
        }
        let Some(watch) = &self.watch else { return };
        // Who comes and goes at a hook is told by nobody.
        let next = if self.is_behind { Instant::now() + PAUSE } else { self.next };
        let outcome = tokio::select! {
            outcome = watch.changed() => outcome,
            () = tokio::time::sleep_until(next) => Ok(()),
        };
        if let Err(error) = outcome {
            tracing::warn!("{}; looking every {PAUSE:?}", with_causes(&error));
            self.watch = None;
        }
    }

    /// Reports what cannot be counted and counts the rest. Fails where nothing can be.
    fn look_first(&mut self, options: &Options) -> Result<(), Error> {
        let mut changes = match self.capture.scan(&self.patterns) {
            Ok(changes) => changes,
            Err(error) if is_passing(&error) => {
                tracing::error!("{}; trying again every {PAUSE:?}", with_causes(&error));
                self.is_behind = true;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let is_missing = |pattern: &&InterfacePattern| {
            pattern.is_name()
                && !self.capture.is_attached(pattern)
                && !self.capture.is_refused(pattern)
                && capture::interface::kernel_index(&pattern.to_string()).is_none()
        };
        if !options.wait
            && let Some(pattern) = self.patterns.iter().find(is_missing)
        {
            return Err(Error::NoInterface { pattern: pattern.clone() });
        }
        let alternative = |pattern: &&InterfacePattern| {
            let links = capture::interface::list().unwrap_or_default();
            let name = capture::interface::real_name(&pattern.to_string(), &links)?;
            Some(Error::AlternativeName { pattern: (*pattern).clone(), name })
        };
        let unmatched =
            |pattern: &&InterfacePattern| pattern.is_name() && !self.capture.is_attached(pattern);
        let mut names = self.patterns.iter().filter(unmatched);
        if let Some(error) = names.find_map(|pattern| alternative(&pattern)) {
            return Err(error);
        }
        let is_hopeless = |error: &capture::Error| {
            !options.wait || matches!(error, capture::Error::Permission { .. })
        };
        let counts = self.patterns.iter().any(|pattern| self.capture.is_attached(pattern));
        if !counts && changes.failed.first().is_some_and(is_hopeless) {
            return Err(changes.failed.remove(0).into());
        }
        events::report(&changes);
        Ok(())
    }
}

/// Where links and maps outlive the daemon; those of another name that the gateway had are its own.
fn pins(base: &Path, gateway: &str, look: &FirstLook) -> Result<Pins, capture::Error> {
    let pins = Pins::new(capture::reachable(base)?, gateway.to_owned());
    if let Some(former) = &look.former_gateway {
        match pins.adopt(former) {
            Ok(Adoption::Nothing) => {}
            Ok(Adoption::All) => {
                tracing::info!("continues the counts of gateway {former} as gateway {gateway}");
            }
            Ok(Adoption::Kept) => tracing::error!(
                "both gateway {former} and {gateway} have programs in the kernel; `flowlog uninstall --gateway {former}` removes those of the former name"
            ),
            Err(error @ capture::Error::Newer { .. }) => return Err(error),
            // Counting does not depend on it.
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }
    Ok(pins)
}

fn listen() -> Option<LinkWatch> {
    match LinkWatch::new() {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!("{}; looking every {PAUSE:?}", with_causes(&error));
            None
        }
    }
}

/// Whether the same may work a moment later: the machine or the process has too much open.
fn is_passing(error: &capture::Error) -> bool {
    let capture::Error::List { source } = error else { return false };
    drain::is_exhausted(source)
}

/// The number after which new maps begin.
///
/// Maps of other sizes are drained later, and their epochs have the numbers before. Where nothing goes
/// on, or not all of it can be read, a number is left out: that is how the ledger comes to know of the
/// gap, also when this daemon does not live to write it down, since the maps keep their number.
pub(super) fn last_number(last: EpochNumber, previous: &[Previous], goes_on: bool) -> EpochNumber {
    // The last number that an epoch in maps of other sizes may have.
    let before = previous.iter().map(Previous::last_epoch).max().unwrap_or_default();
    let last = last.max(before);
    if goes_on { last } else { last.next() }
}
