//! WireGuard: the kernel's by generic netlink, that in user space by its socket.
//!
//! A peer has no session; it has allowed addresses, and a tunnel that lives 180 s from each handshake on. The answers
//! have private and preshared keys in them, which are overwritten as soon as they were read over.

mod kernel;
mod peer;
mod user_space;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot},
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

pub use user_space::Parser;

use super::{
    Error, Health,
    blocking::Blocking,
    events::Event,
    reporter::{Closed, Reporter},
};
use crate::{
    netlink::name,
    record::{
        clock::{self, Utc},
        pattern::InterfacePattern,
        session::{Content, Entry, Instance, PeerKey, Report, Source},
    },
};

/// An answer takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// The interfaces that a pattern stands for, and how they are looked at.
#[derive(Debug)]
pub struct Watch {
    /// Their names.
    pub interfaces: InterfacePattern,
    /// The space of their addresses.
    pub realm: String,
    /// How often they are asked.
    pub poll: Duration,
    /// What makes the pseudonyms of their peers.
    pub key: PeerKey,
    /// Why they cannot be asked.
    pub health: Health,
}

/// An interface that has peers to tell of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interface {
    name: Vec<u8>,
    /// Another one each time the interface is made anew.
    kernel_index: u32,
    place: Place,
}

/// Where the peers of an interface are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Kernel,
    UserSpace,
}

impl Watch {
    /// Asks them until nobody takes reports any more: each in a task of its own, so that one that hangs delays none of
    /// the others.
    pub(super) async fn run(self, reports: mpsc::Sender<Report>) {
        let mut watched: BTreeMap<Interface, JoinSet<()>> = BTreeMap::new();
        let mut listing = Blocking::default();
        let mut ticks = interval(self.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = reports.closed() => return,
                _ = ticks.tick() => {}
            }
            let pattern = self.interfaces.clone();
            let listed = listing.run(LIMIT, move || list(&pattern)).await.flatten();
            let found = match listed {
                Ok(found) => found,
                Err(error) => {
                    // Those that are known are still asked: each of them fails by itself where it has to.
                    let instance = self.all();
                    self.health.failed(&instance, &error);
                    let is_first = !is_failing;
                    Event::Failed { instance: &instance, error: &error, is_first, is_part: false }
                        .emit();
                    is_failing = true;
                    continue;
                }
            };
            if std::mem::take(&mut is_failing) {
                self.health.recovered(&self.all());
            }
            if self.follow(&mut watched, found, &reports).await.is_err() {
                return;
            }
        }
    }

    /// Begins to ask interfaces that came, and leaves those that went.
    async fn follow(
        &self,
        watched: &mut BTreeMap<Interface, JoinSet<()>>,
        found: BTreeSet<Interface>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        let gone: Vec<Interface> =
            watched.keys().filter(|known| !found.contains(known)).cloned().collect();
        for interface in gone {
            if let Some(mut task) = watched.remove(&interface) {
                // Its last report comes before the one of its end.
                task.shutdown().await;
            }
            self.reporter(&interface, reports).gone().await?;
        }
        for interface in found {
            if let Slot::Vacant(vacant) = watched.entry(interface) {
                let reporter = self.reporter(vacant.key(), reports);
                reporter.found();
                let mut task = JoinSet::new();
                task.spawn(ask(vacant.key().clone(), self.poll, self.key.clone(), reporter));
                vacant.insert(task);
            }
        }
        Ok(())
    }

    fn reporter(&self, interface: &Interface, reports: &mpsc::Sender<Report>) -> Reporter {
        let instance = instance(&name::text(&interface.name));
        Reporter::new(instance, &self.realm, reports.clone(), self.health.clone())
    }

    /// All interfaces of the pattern.
    fn all(&self) -> Instance {
        instance(&self.interfaces.to_string())
    }
}

fn instance(name: &str) -> Instance {
    Instance { source: Source::Wireguard, name: name.to_owned() }
}

/// The interfaces of this network namespace whose name matches, and which are WireGuard's.
fn list(pattern: &InterfacePattern) -> Result<BTreeSet<Interface>, Error> {
    let links = kernel::links().map_err(|source| Error::Interfaces { source })?;
    let matching = links.into_iter().filter(|link| pattern.matches(&name::text(&link.name)));
    let interface = |kernel::Link { name, kernel_index, is_wireguard }| {
        let place = if is_wireguard {
            Place::Kernel
        } else if user_space::socket(&name).exists() {
            Place::UserSpace
        } else {
            return None;
        };
        Some(Interface { name, kernel_index, place })
    };
    Ok(matching.filter_map(interface).collect())
}

/// Asks each interface once how many peers it has.
pub(super) async fn probe(
    pattern: &InterfacePattern,
    key: &PeerKey,
    at: Utc,
    limit: Duration,
) -> Result<Vec<(String, Result<usize, Error>)>, Error> {
    let names = pattern.clone();
    let found = Blocking::default().run(limit, move || list(&names)).await.flatten()?;
    let mut probes = vec![];
    for interface in found {
        let mut kernel = Blocking::default();
        let listed = interface.entries(&mut kernel, key, at).await;
        probes.push((name::text(&interface.name), listed.map(|entries| entries.len())));
    }
    Ok(probes)
}

impl Interface {
    /// Its peers, as it tells of them.
    async fn entries(
        &self,
        kernel: &mut Blocking<Result<Vec<Entry>, Error>>,
        key: &PeerKey,
        at: Utc,
    ) -> Result<Vec<Entry>, Error> {
        match self.place {
            Place::Kernel => {
                let (key, index) = (key.clone(), self.kernel_index);
                kernel.run(LIMIT, move || kernel::entries(index, &key, at)).await.flatten()
            }
            Place::UserSpace => {
                user_space::entries(&user_space::socket(&self.name), key, at, LIMIT).await
            }
        }
    }
}

/// Asks one interface until nobody takes its reports.
async fn ask(interface: Interface, poll: Duration, key: PeerKey, mut reporter: Reporter) {
    let mut kernel = Blocking::default();
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Between the question and the end of the answer nobody knows which came first: the look, or what it shows. A
        // clock that is set meanwhile does not count.
        let (at, asked) = (clock::now(), Instant::now());
        let listed = interface.entries(&mut kernel, &key, at).await;
        let answered = at.plus(asked.elapsed());
        if reporter.answer((at, answered), listed.map(Content::Listing)).await.is_err() {
            return;
        }
    }
}
