//! Getting the kernel program in front of the packets: load it, find the interfaces, attach to
//! each, and attach again when one returns.
//!
//! A sysadmin runs `wg-quick down wg0 && wg-quick up wg0`, OpenVPN restarts, a PPP session comes
//! and goes: [`Capture::scan`] compares the interfaces that exist with those that are attached, and
//! [`watch::LinkWatch`] says when that is worth doing.

mod bpffs;
mod clsact;
mod control;
mod error;
mod filter;
mod found;
mod hook;
pub mod interface;
mod netlink;
mod pins;
pub mod presence;
mod program;
pub mod survey;
mod takeover;
mod targets;
mod tcx;
pub mod uninstall;
pub mod watch;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use flowlog_common::{flow::Direction, interface::Interface};

use crate::config::InterfacePattern;
pub use bpffs::{reachable, reachable_as_it_is};
pub use control::Control;
pub use error::Error;
pub use found::{Contents, Counts, Emptied, Found, Previous};
use hook::{Before, Hooked};
use interface::{Layer, Link};
pub use pins::{Kept, OtherGateway, Pins};
use presence::Presence;
pub use program::{Loaded, MapSizes, Maps, Program};
pub use targets::Targets;

/// Where links and maps outlive the daemon, unless somewhere else is named.
pub const DEFAULT_PINS: &str = "/sys/fs/bpf/flowlog";

/// How the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AttachMode {
    /// TCX where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// TCX only.
    Tcx,
    /// A filter of the clsact queueing discipline.
    Clsact,
}

/// What a scan found changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names of the interfaces that are counted from now on.
    pub attached: Vec<String>,
    /// Names of the interfaces that are gone.
    pub detached: Vec<String>,
    /// Interfaces that match but cannot be counted.
    pub failed: Vec<Error>,
}

/// The loaded program and the interfaces that it is attached to.
pub struct Capture {
    program: Program,
    mode: AttachMode,
    presence: Arc<Presence>,
    attached: HashMap<String, Attached>,
    /// Kernel indexes that failed, so that one failure is reported once.
    refused: HashMap<String, u32>,
    /// Kernel indexes of interfaces that had no clsact before it was needed here.
    own_clsacts: HashSet<u32>,
    /// Whether what the daemon before left attached was looked at.
    took_over: bool,
}

struct Attached {
    kernel_index: u32,
    layer: Layer,
    hooked: Vec<(Direction, Hooked)>,
}

impl Capture {
    /// Takes over a loaded program.
    #[must_use]
    pub fn new(program: Program, mode: AttachMode, presence: Arc<Presence>) -> Self {
        Self {
            program,
            mode,
            presence,
            attached: HashMap::new(),
            refused: HashMap::new(),
            own_clsacts: HashSet::new(),
            took_over: false,
        }
    }

    /// Attaches to the interfaces that match and forgets those that are gone.
    pub fn scan(&mut self, patterns: &[InterfacePattern]) -> Result<Changes, Error> {
        let links = interface::list().map_err(|source| Error::List { source })?;
        let mut changes = Changes::default();
        if !self.took_over {
            self.take_over(&links, patterns, &mut changes)?;
            self.took_over = true;
        }
        self.forget_gone(&links, &mut changes);
        for link in links.iter().filter(|link| patterns.iter().any(|p| p.matches(&link.name))) {
            if self.attached.contains_key(&link.name)
                || self.refused.get(&link.name) == Some(&link.kernel_index)
            {
                continue;
            }
            match self.attach(link, vec![]) {
                Ok(()) => changes.attached.push(link.name.clone()),
                // It may be gone again already.
                Err(_) if interface::kernel_index(&link.name) != Some(link.kernel_index) => {}
                Err(error) => {
                    self.refused.insert(link.name.clone(), link.kernel_index);
                    changes.failed.push(error);
                }
            }
        }
        Ok(changes)
    }

    /// Whether an interface that matches is attached.
    #[must_use]
    pub fn is_attached(&self, pattern: &InterfacePattern) -> bool {
        self.attached.keys().any(|name| pattern.matches(name))
    }

    fn forget_gone(&mut self, links: &[Link], changes: &mut Changes) {
        let still_there = |name: &str, kernel_index: u32| {
            links.iter().any(|link| link.name == name && link.kernel_index == kernel_index)
        };
        self.refused.retain(|name, kernel_index| still_there(name, *kernel_index));
        let gone: Vec<String> = self
            .attached
            .iter()
            .filter(|(name, attached)| !still_there(name, attached.kernel_index))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.detach(&name);
            changes.detached.push(name);
        }
    }

    /// Attaches to an interface; where a program of the daemon before is, in its place.
    fn attach(&mut self, link: &Link, mut before: Vec<Before>) -> Result<(), Error> {
        let layer = link.layer()?;
        let collides = |a: &Attached| {
            flowlog_common::interface::index(a.kernel_index)
                == flowlog_common::interface::index(link.kernel_index)
        };
        if let Some((other, _)) = self.attached.iter().find(|(_, a)| collides(a)) {
            return Err(Error::Collision { interface: link.name.clone(), other: other.clone() });
        }
        let slot = self.presence.slot(&link.name).ok_or_else(|| Error::TooMany {
            interface: link.name.clone(),
            limit: self.presence.limit(),
        })?;
        let counted = Interface { kernel_index: link.kernel_index, slot };
        // Known as counted before the first packet that reaches the program.
        if !before.is_empty() && self.program.control.counts(counted) {
            self.presence.continued(slot);
        } else {
            self.presence.attached(slot);
        }
        self.program.count_interface(counted);
        let mut hooked = vec![];
        for direction in Direction::ALL {
            let place = before.extract_if(.., |before| before.direction() == direction).next();
            match self.hook(link, layer, direction, place) {
                Ok(hook) => hooked.push((direction, hook)),
                Err(error) => {
                    self.unhook(layer, hooked);
                    self.remove_clsact(&link.name, link.kernel_index);
                    self.program.ignore_interface(link.kernel_index);
                    self.presence.detached(slot);
                    return Err(error);
                }
            }
        }
        let attached = Attached { kernel_index: link.kernel_index, layer, hooked };
        self.attached.insert(link.name.clone(), attached);
        Ok(())
    }

    fn hook(
        &mut self,
        link: &Link,
        layer: Layer,
        direction: Direction,
        before: Option<Before>,
    ) -> Result<Hooked, Error> {
        if let Some(before) = before {
            return self.program.replace(link, layer, before);
        }
        let mut made_clsact = false;
        let hooked = self.program.hook(link, layer, direction, self.mode, &mut made_clsact);
        if made_clsact {
            self.own_clsacts.insert(link.kernel_index);
            if let Some(pinned) = &self.program.pinned
                && let Err(error) = pins::remember_clsact(&pinned.directory, link.kernel_index)
            {
                tracing::warn!("a clsact will stay when flowlog is uninstalled: {error}");
            }
        }
        hooked
    }

    fn detach(&mut self, name: &str) {
        let Some(attached) = self.attached.remove(name) else { return };
        self.unhook(attached.layer, attached.hooked);
        self.remove_clsact(name, attached.kernel_index);
        self.program.ignore_interface(attached.kernel_index);
        if let Some(slot) = self.presence.slot(name) {
            self.presence.detached(slot);
        }
    }

    fn unhook(&mut self, layer: Layer, hooked: Vec<(Direction, Hooked)>) {
        for (direction, hooked) in hooked {
            self.program.unhook(layer, direction, hooked);
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

impl Drop for Capture {
    fn drop(&mut self) {
        if self.program.pinned.is_some() {
            // All of it goes on counting, for the daemon to come.
            for Attached { layer, hooked, .. } in std::mem::take(&mut self.attached).into_values() {
                for (direction, hooked) in hooked {
                    self.program.leave(layer, direction, hooked);
                }
            }
            return;
        }
        let names: Vec<String> = self.attached.keys().cloned().collect();
        for name in names {
            self.detach(&name);
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::EINVAL))
}
