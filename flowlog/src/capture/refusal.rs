//! Interfaces that match and cannot be counted: each is reported once for each reason, and tried again
//! later and later.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    Changes, Error,
    interface::{self, Link},
};
use crate::{record::pattern::InterfacePattern, telemetry::with_causes};

/// Those interfaces, by kernel index.
#[derive(Default)]
pub(super) struct Refusals(HashMap<u32, Refusal>);

struct Refusal {
    link: Link,
    reason: String,
    pause: Duration,
    again: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Refusals {
    /// Whether it is time to try an interface.
    pub(super) fn is_due(&self, link: &Link) -> bool {
        let refusal =
            self.0.get(&link.kernel_index).filter(|refusal| refusal.link.name == link.name);
        refusal.is_none_or(|refusal| refusal.again <= Instant::now())
    }

    /// It could not be counted; it may be gone again already.
    pub(super) fn add(&mut self, link: &Link, error: Error, changes: &mut Changes) {
        if interface::kernel_index(&link.name) == Some(link.kernel_index) {
            self.remember(link, error, changes);
        }
    }

    fn remember(&mut self, link: &Link, error: Error, changes: &mut Changes) {
        let reason = with_causes(&error);
        let before =
            self.0.get(&link.kernel_index).filter(|refusal| refusal.link.name == link.name);
        let pause = before.map_or(FIRST_PAUSE, |refusal| (refusal.pause * 2).min(LONGEST_PAUSE));
        if before.is_none_or(|refusal| refusal.reason != reason) {
            changes.failed.push(error);
        }
        let refusal = Refusal { link: link.clone(), reason, pause, again: Instant::now() + pause };
        self.0.insert(link.kernel_index, refusal);
    }

    /// It is counted.
    pub(super) fn forget(&mut self, link: &Link) {
        self.0.remove(&link.kernel_index);
    }

    /// Whether one of them matches.
    pub(super) fn has(&self, pattern: &InterfacePattern) -> bool {
        self.0.values().any(|refusal| pattern.matches(&refusal.link.name))
    }

    /// Their names, and why they cannot be counted.
    pub(super) fn reasons(&self) -> Vec<(String, String)> {
        self.0.values().map(|refusal| (refusal.link.name.clone(), refusal.reason.clone())).collect()
    }

    /// Forgets those that are gone.
    pub(super) fn retain(&mut self, links: &[Link]) {
        let is_there = |kernel_index: u32, name: &str| {
            links.iter().any(|link| link.kernel_index == kernel_index && link.name == name)
        };
        self.0.retain(|kernel_index, refusal| is_there(*kernel_index, &refusal.link.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_reported_once_and_another_again() {
        let link = Link { name: "wg0".to_owned(), kernel_index: 7, ..Link::default() };
        let mut refusals = Refusals::default();
        let mut changes = Changes::default();
        assert!(refusals.is_due(&link));
        let too_many = |limit| Error::TooMany { interface: "wg0".to_owned(), limit };
        for limit in [1, 1, 2] {
            refusals.remember(&link, too_many(limit), &mut changes);
            assert!(!refusals.is_due(&link));
        }
        assert_eq!(changes.failed.len(), 2);
        let renamed = Link { name: "wg1".to_owned(), ..link.clone() };
        assert!(refusals.is_due(&renamed));
        refusals.retain(&[renamed]);
        assert!(refusals.is_due(&link));
    }
}
