//! What a test did, and when: who really had which address.

use std::{collections::BTreeMap, time::Duration};

use flowlog::record::clock::{self, Utc};
use ipnet::IpNet;

/// Something that a test did, at some instant of a time.
#[derive(Clone, Copy, Debug)]
struct Change<T> {
    from: Utc,
    to: Utc,
    what: T,
}

/// The holders of addresses, as a test made them.
#[derive(Debug, Default)]
pub struct Journal {
    holders: BTreeMap<IpNet, Vec<Change<Option<usize>>>>,
    /// When a member's tunnel was lost, or made anew.
    tunnels: BTreeMap<usize, Vec<Change<()>>>,
}

impl Journal {
    /// Does something that gives a member, or nobody, these addresses.
    pub fn give(
        &mut self,
        prefixes: impl IntoIterator<Item = IpNet>,
        to: Option<usize>,
        act: impl FnOnce(),
    ) {
        let (from, until) = timed(act);
        for prefix in prefixes {
            self.holders.entry(prefix).or_default().push(Change { from, to: until, what: to });
        }
    }

    /// Does something after which a member needs a new handshake.
    pub fn cut(&mut self, member: usize, act: impl FnOnce()) {
        let (from, to) = timed(act);
        self.tunnels.entry(member).or_default().push(Change { from, to, what: () });
    }

    /// Those who may have had an address at an instant: more than one only while it changed hands.
    pub fn holders(&self, prefix: &IpNet, at: Utc) -> Vec<Option<usize>> {
        let changes = self.holders.get(prefix).map(Vec::as_slice).unwrap_or_default();
        let before = changes.iter().rev().find(|change| change.to < at);
        let during = changes.iter().filter(|change| change.from <= at && at <= change.to);
        let before = before.and_then(|change| change.what);
        std::iter::once(before).chain(during.map(|change| change.what)).collect()
    }

    /// Whether an address changed hands within a time around an instant.
    pub fn is_near_change(&self, prefix: &IpNet, at: Utc, within: Duration) -> bool {
        self.holders.get(prefix).is_some_and(|changes| near(changes, at, within))
    }

    /// Whether a member's tunnel was made anew within a time around an instant.
    pub fn is_near_cut(&self, member: usize, at: Utc, within: Duration) -> bool {
        self.tunnels.get(&member).is_some_and(|changes| near(changes, at, within))
    }

    /// Since when a member may have had its last tunnel before an instant.
    pub fn last_cut(&self, member: usize, at: Utc) -> Option<Utc> {
        let changes = self.tunnels.get(&member)?;
        changes.iter().rev().find(|change| change.from <= at).map(|change| change.to)
    }

    /// How often addresses changed hands, and tunnels were made anew.
    pub fn counts(&self) -> (usize, usize) {
        (self.holders.values().map(Vec::len).sum(), self.tunnels.values().map(Vec::len).sum())
    }
}

fn timed(act: impl FnOnce()) -> (Utc, Utc) {
    let from = clock::now();
    act();
    (from, clock::now())
}

fn near<T>(changes: &[Change<T>], at: Utc, within: Duration) -> bool {
    changes.iter().any(|change| change.from.minus(within) <= at && at <= change.to.plus(within))
}
