//! Getting the kernel program in front of the packets: load it, find the interfaces, attach to
//! each, and attach again when one returns.
//!
//! A sysadmin runs `wg-quick down wg0 && wg-quick up wg0`, OpenVPN restarts, a PPP session comes
//! and goes: [`Capture::scan`] compares the interfaces that exist with those that are attached, and
//! [`watch::LinkWatch`] says when that is worth doing.

mod clsact;
mod control;
mod error;
pub mod interface;
pub mod presence;
mod program;
mod targets;
pub mod watch;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions},
};
use flowlog_common::{flow::Direction, interface::Interface};

use crate::config::InterfacePattern;
pub use control::Control;
pub use error::Error;
use error::is_permission;
use interface::{Layer, Link};
use presence::Presence;
pub use program::{MapSizes, Maps, Program};
pub use targets::Targets;

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
}

struct Attached {
    kernel_index: u32,
    layer: Layer,
    links: Vec<(Direction, SchedClassifierLinkId)>,
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
        }
    }

    /// Attaches to the interfaces that match and forgets those that are gone.
    pub fn scan(&mut self, patterns: &[InterfacePattern]) -> Result<Changes, Error> {
        let links = interface::list().map_err(|source| Error::List { source })?;
        let mut changes = Changes::default();
        self.forget_gone(&links, &mut changes);
        for link in links.iter().filter(|link| patterns.iter().any(|p| p.matches(&link.name))) {
            if self.attached.contains_key(&link.name)
                || self.refused.get(&link.name) == Some(&link.kernel_index)
            {
                continue;
            }
            match self.attach(link) {
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

    fn attach(&mut self, link: &Link) -> Result<(), Error> {
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
        // Known as counted before the first packet that reaches the program.
        self.presence.attached(slot);
        self.program.count_interface(Interface { kernel_index: link.kernel_index, slot });
        let mut links = vec![];
        for direction in Direction::ALL {
            match self.attach_one(link, layer, direction) {
                Ok(id) => links.push((direction, id)),
                Err(source) => {
                    self.drop_links(layer, links);
                    self.remove_clsact(&link.name, link.kernel_index);
                    self.program.ignore_interface(link.kernel_index);
                    self.presence.detached(slot);
                    return Err(attach_error(&link.name, self.mode, source));
                }
            }
        }
        let attached = Attached { kernel_index: link.kernel_index, layer, links };
        self.attached.insert(link.name.clone(), attached);
        Ok(())
    }

    fn attach_one(
        &mut self,
        link: &Link,
        layer: Layer,
        direction: Direction,
    ) -> Result<SchedClassifierLinkId, ProgramError> {
        // Ingress before anyone else: what a member sent is counted although a filter drops it.
        // Egress after everyone else: what a filter drops never reached the member.
        let (hook, order) = match direction {
            Direction::Up => (TcAttachType::Ingress, LinkOrder::first()),
            Direction::Down => (TcAttachType::Egress, LinkOrder::last()),
        };
        let mode = self.mode;
        let program = self.program.entry_point(layer, direction)?;
        if mode != AttachMode::Clsact {
            match program.attach_with_options(&link.name, hook, TcAttachOptions::TcxOrder(order)) {
                Err(error) if mode == AttachMode::Auto && lacks_tcx(&error) => {}
                result => return result,
            }
        }
        if clsact::add(&link.name)? {
            self.own_clsacts.insert(link.kernel_index);
        }
        // A filter may end the walk over those behind it, whatever it does with the packet, so that
        // behind one packets go by that nobody counts: first at either hook, unless it is taken.
        let first = NlOptions { priority: 1, ..NlOptions::default() };
        match program.attach_with_options(&link.name, hook, TcAttachOptions::Netlink(first)) {
            Err(_) => {
                let anywhere = TcAttachOptions::Netlink(NlOptions::default());
                let id = program.attach_with_options(&link.name, hook, anywhere)?;
                tracing::warn!(
                    interface = link.name,
                    ?direction,
                    "a filter of preference 1 comes first: what it takes is not counted"
                );
                Ok(id)
            }
            result => result,
        }
    }

    fn detach(&mut self, name: &str) {
        let Some(attached) = self.attached.remove(name) else { return };
        self.drop_links(attached.layer, attached.links);
        self.remove_clsact(name, attached.kernel_index);
        self.program.ignore_interface(attached.kernel_index);
        if let Some(slot) = self.presence.slot(name) {
            self.presence.detached(slot);
        }
    }

    fn drop_links(&mut self, layer: Layer, links: Vec<(Direction, SchedClassifierLinkId)>) {
        for (direction, id) in links {
            let detached =
                self.program.entry_point(layer, direction).and_then(|program| program.detach(id));
            if let Err(error) = detached {
                // The kernel detaches by itself when the interface goes.
                tracing::debug!("detaching from an interface that is gone: {error}");
            }
        }
    }

    fn remove_clsact(&mut self, interface: &str, kernel_index: u32) {
        if !self.own_clsacts.remove(&kernel_index) {
            return;
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
        let names: Vec<String> = self.attached.keys().cloned().collect();
        for name in names {
            self.detach(&name);
        }
    }
}

/// Whether TCX is not known to this kernel: `BPF_LINK_CREATE` says EINVAL for an attach type that
/// it does not know.
fn lacks_tcx(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(call)
        if call.io_error.raw_os_error() == Some(libc::EINVAL))
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT | libc::EINVAL))
}

fn attach_error(interface: &str, mode: AttachMode, source: ProgramError) -> Error {
    match &source {
        error if mode == AttachMode::Tcx && lacks_tcx(error) => {
            Error::NoTcx { interface: interface.to_owned() }
        }
        ProgramError::SyscallError(call) if is_permission(&call.io_error) => {
            Error::Permission { action: "attach to an interface" }
        }
        _ => Error::Attach { interface: interface.to_owned(), source: Box::new(source) },
    }
}

impl Program {
    fn entry_point(
        &mut self,
        layer: Layer,
        direction: Direction,
    ) -> Result<&mut SchedClassifier, ProgramError> {
        self.classifier(match (layer, direction) {
            (Layer::Ip, Direction::Up) => "up_l3",
            (Layer::Ip, Direction::Down) => "down_l3",
            (Layer::Ethernet, Direction::Up) => "up_l2",
            (Layer::Ethernet, Direction::Down) => "down_l2",
        })
    }
}
