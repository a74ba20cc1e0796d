//! Getting the kernel program in front of the packets: load it, find the interfaces, attach to
//! each, and attach again when one returns.
//!
//! A sysadmin runs `wg-quick down wg0 && wg-quick up wg0`, OpenVPN restarts, a PPP session comes
//! and goes: [`Capture::scan`] compares the interfaces that exist with those that are attached, and
//! [`watch::LinkWatch`] says when that is worth doing.

mod attached;
mod bpffs;
mod control;
pub mod drain;
mod error;
pub mod events;
mod hook;
mod inspect;
mod netlink;
mod notice;
mod pins;
pub mod presence;
mod previous;
mod program;
mod refusal;
pub mod survey;
pub(crate) mod syscall;
mod takeover;
mod targets;
mod tcx;
pub mod uninstall;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use flowlog_common::{flow::Direction, interface::Interface};

use crate::record::{
    clock::{self, MonotonicNs},
    pattern::InterfacePattern,
    policy::{AttachMode, Order},
};
pub use attached::Attached;
pub use bpffs::{reachable, reachable_as_it_is};
pub use control::Control;
pub use error::Error;
use hook::{Attachment, Wanted};
use netlink::{
    clsact, filter,
    interface::{Layer, Link},
};
pub use netlink::{clsact::Discipline, interface, watch, witness::Witness};
pub use notice::{Changes, Notice};
pub use pins::{Adoption, Kept, OtherGateway, Pins, is_newer};
use presence::{Metered, Presence};
pub use previous::{Contents, Counts, Emptied, Previous, PreviousState};
pub use program::{Loaded, MapSizes, Maps, Program};
use refusal::Refusals;
pub use targets::Targets;

/// The loaded program and the interfaces that it is attached to.
pub struct Capture {
    program: Program,
    mode: AttachMode,
    order: Order,
    presence: Arc<Presence>,
    witness: Witness,
    /// By kernel index.
    attached: HashMap<u32, Counted>,
    refused: Refusals,
    /// Kernel indexes of interfaces that had no clsact before it was needed here.
    own_clsacts: HashSet<u32>,
    /// Whether what the daemon before left attached was looked at.
    took_over: bool,
}

/// An interface that is counted.
struct Counted {
    link: Link,
    layer: Layer,
    hooks: Vec<Guarded>,
}

/// The program at a hook.
struct Guarded {
    direction: Direction,
    attachment: Attachment,
    /// When it was last seen there.
    seen: MonotonicNs,
    rank: inspect::Rank,
}

impl Guarded {
    fn new(direction: Direction, attachment: Attachment) -> Self {
        let seen = clock::monotonic_coarse();
        Self { direction, attachment, seen, rank: inspect::Rank::default() }
    }
}

impl Capture {
    /// Takes over a loaded program.
    #[must_use]
    pub fn new(program: Program, mode: AttachMode, order: Order, presence: Arc<Presence>) -> Self {
        Self {
            program,
            mode,
            order,
            presence,
            witness: Witness::open(),
            attached: HashMap::new(),
            refused: Refusals::default(),
            own_clsacts: HashSet::new(),
            took_over: false,
        }
    }

    /// Attaches to the interfaces that match, forgets those that are gone, and sees to it that the
    /// program is still where it was. To be called in every drain interval, and when interfaces change.
    pub fn scan(&mut self, patterns: &[InterfacePattern]) -> Result<Changes, Error> {
        let links = interface::list().map_err(|source| Error::List { source })?;
        let mut changes = Changes::default();
        if !self.took_over {
            self.take_over(&links, patterns, &mut changes)?;
            self.took_over = true;
        }
        let is_wanted = |link: &Link| patterns.iter().any(|pattern| pattern.matches(&link.name));
        self.forget_gone(&links, is_wanted, &mut changes);
        self.restore_pins(&mut changes);
        self.inspect(&links, &mut changes);
        for link in links.iter().filter(|link| is_wanted(link)) {
            if self.attached.contains_key(&link.kernel_index) || !self.refused.is_due(link) {
                continue;
            }
            match self.attach(link, vec![]) {
                Ok(()) => {
                    self.refused.forget(link);
                    changes.attached.push(link.name.clone());
                    self.inspect(std::slice::from_ref(link), &mut changes);
                }
                Err(error) => self.refused.add(link, error, &mut changes),
            }
        }
        Ok(changes)
    }

    fn forget_gone(
        &mut self,
        links: &[Link],
        is_wanted: impl Fn(&Link) -> bool,
        changes: &mut Changes,
    ) {
        self.refused.retain(links);
        let indexes: Vec<u32> = self.attached.keys().copied().collect();
        for kernel_index in indexes {
            let link = links.iter().find(|link| link.kernel_index == kernel_index);
            let Some(counted) = self.attached.get(&kernel_index) else { continue };
            match link {
                Some(link) if link.name == counted.link.name => {}
                Some(link) if is_wanted(link) => self.rename(link, changes),
                _ => {
                    changes.detached.push(counted.link.name.clone());
                    self.detach(kernel_index);
                }
            }
        }
    }

    /// A link follows its interface: only the name that packets are counted under is another.
    fn rename(&mut self, link: &Link, changes: &mut Changes) {
        let kernel_index = link.kernel_index;
        let Some(counted) = self.attached.get_mut(&kernel_index) else { return };
        let from = std::mem::replace(&mut counted.link, link.clone()).name;
        let reading = self.witness.read(kernel_index);
        let before = self.presence.known_slot(&from);
        let Some(slot) = self.presence.slot(&link.name) else {
            counted.link.name = from;
            self.detach(kernel_index);
            return;
        };
        self.presence.attached(slot);
        self.program.count_interface(Interface { kernel_index, slot: slot.number() });
        let metered = Metered { kernel_index, counters: link.counters() };
        self.presence.metered(slot, metered, reading, true);
        if let Some(before) = before {
            self.presence.detached(before, reading);
        }
        // What came since the reading may have been counted under the name before.
        self.presence.counted_before(slot, self.witness.moved_since(kernel_index, reading));
        changes.notices.push(Notice::Renamed { from, to: link.name.clone() });
    }

    /// Attaches to an interface; where a program of the daemon before is, in its place.
    fn attach(&mut self, link: &Link, mut existing: Vec<Attachment>) -> Result<(), Error> {
        let layer = link.layer()?;
        let kernel_index = link.kernel_index;
        let collides = |other: &u32| {
            flowlog_common::interface::index(*other)
                == flowlog_common::interface::index(kernel_index)
        };
        if let Some((_, other)) = self.attached.iter().find(|(other, _)| collides(other)) {
            let other = other.link.name.clone();
            return Err(Error::Collision { interface: link.name.clone(), other });
        }
        if self.attached.values().any(|other| other.link.name == link.name) {
            return Err(Error::SameName { interface: link.name.clone() });
        }
        let slot = self.presence.slot(&link.name).ok_or_else(|| Error::TooMany {
            interface: link.name.clone(),
            limit: self.presence.limit(),
        })?;
        let counted = Interface { kernel_index, slot: slot.number() };
        // Known as counted before the first packet that reaches the program.
        let is_continued = !existing.is_empty() && self.program.control.counts(counted);
        let lost = if is_continued {
            self.presence.continued(slot);
            None
        } else {
            self.presence.attached(slot)
        };
        self.program.count_interface(counted);
        let mut hooks = vec![];
        for direction in Direction::ALL {
            let place = existing.extract_if(.., |there| there.direction() == direction).next();
            match self.hook(link, layer, direction, place) {
                Ok(attachment) => hooks.push(Guarded::new(direction, attachment)),
                Err(error) => {
                    unhook(kernel_index, hooks);
                    self.remove_clsact(&link.name, kernel_index);
                    self.program.ignore_interface(kernel_index);
                    self.presence.not_attached(slot, lost);
                    return Err(error);
                }
            }
        }
        let metered = Metered { kernel_index, counters: link.counters() };
        let reading = self.witness.read(kernel_index);
        self.presence.metered(slot, metered, reading, !is_continued);
        self.attached.insert(kernel_index, Counted { link: link.clone(), layer, hooks });
        Ok(())
    }

    fn hook(
        &mut self,
        link: &Link,
        layer: Layer,
        direction: Direction,
        existing: Option<Attachment>,
    ) -> Result<Attachment, Error> {
        if let Some(existing) = existing {
            let there = self.program.replace(link, layer, existing)?;
            return Ok(if self.order == Order::Last {
                self.move_last(link, layer, there)
            } else {
                there
            });
        }
        let wanted = Wanted { link, layer, direction, mode: self.mode, order: self.order };
        let mut made_clsact = false;
        let attachment = self.program.attach(wanted, &mut made_clsact);
        if made_clsact {
            self.own_clsacts.insert(link.kernel_index);
            if let Some(pinned) = &self.program.pinned
                && let Err(error) = pins::remember_clsact(&pinned.directory, link.kernel_index)
            {
                tracing::warn!(
                    "`flowlog uninstall` will leave a clsact queueing discipline behind: {error}"
                );
            }
        }
        attachment
    }

    fn detach(&mut self, kernel_index: u32) {
        let Some(Counted { link, hooks, .. }) = self.attached.remove(&kernel_index) else { return };
        let reading = self.witness.read(kernel_index);
        unhook(kernel_index, hooks);
        self.remove_clsact(&link.name, kernel_index);
        self.program.ignore_interface(kernel_index);
        if let Some(slot) = self.presence.known_slot(&link.name) {
            self.presence.detached(slot, reading);
        }
    }

    fn remove_clsact(&mut self, interface: &str, kernel_index: u32) {
        if !self.own_clsacts.remove(&kernel_index) {
            return;
        }
        if let Some(pinned) = &self.program.pinned
            && let Err(error) = pins::forget_clsact(&pinned.directory, kernel_index)
        {
            tracing::debug!("a clsact stays remembered: {error}");
        }
        match clsact::remove_unless_used(kernel_index) {
            Ok(()) => {}
            // It went with its interface, or somebody else removed or replaced it.
            Err(error) if is_gone(&error) => {}
            Err(error) => tracing::warn!(
                interface,
                "the clsact queueing discipline stays (remove it with `tc qdisc del dev {interface} clsact`): {error}"
            ),
        }
    }
}

fn unhook(kernel_index: u32, hooks: Vec<Guarded>) {
    for Guarded { attachment, .. } in hooks {
        if let Err(error) = attachment.remove(kernel_index) {
            // The kernel detaches by itself when the interface goes.
            tracing::debug!("detaching from an interface that is gone: {error}");
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if self.program.pinned.is_some() {
            // All of it goes on counting, for the daemon to come.
            return;
        }
        let indexes: Vec<u32> = self.attached.keys().copied().collect();
        for kernel_index in indexes {
            self.detach(kernel_index);
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::EINVAL))
}
