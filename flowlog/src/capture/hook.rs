//! The hooks of an interface: attaching the program to one, by TCX or by clsact, and replacing the
//! program of the daemon before without losing a packet.

use std::{fs, io, path::Path};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, LinkError, PinnedLink},
    tc::{NlOptions, SchedClassifierLinkId, TcAttachOptions, TcError},
};
use flowlog_common::flow::Direction;

use super::{
    AttachMode, Error, Program, clsact,
    error::is_permission,
    filter::Filter,
    interface::{Layer, Link},
    pins::{self, LinkPin},
    tcx,
};

/// What keeps the program at a hook.
pub(super) enum Hooked {
    /// A link, which goes with the process, or a filter, which does not.
    Held(SchedClassifierLinkId),
    /// A pinned link.
    Pinned(LinkPin),
}

/// What keeps a program of the daemon before at a hook.
pub(super) enum Before {
    Tcx(LinkPin, FdLink),
    Filter(Filter),
}

/// Where that is.
pub(super) enum Place {
    Pin(LinkPin),
    Filter(Filter),
}

impl Before {
    /// A pinned link, where it is attached to this interface. An index may be that of another
    /// interface by now, or of one in another network namespace: the kernel knows the link itself.
    pub(super) fn tcx(pin: &LinkPin, link: &Link) -> Option<Self> {
        let open = || -> Result<_, LinkError> {
            let opened = FdLink::from(PinnedLink::from_pin(&pin.path)?);
            let id = opened.info()?.id();
            Ok((opened, id))
        };
        let (opened, id) = match open() {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(interface = link.name, "a pinned link cannot be opened: {error}");
                return None;
            }
        };
        match tcx::programs(link.kernel_index, pin.direction) {
            Ok(programs) if programs.iter().any(|attached| attached.link == id) => {
                Some(Self::Tcx(pin.clone(), opened))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(interface = link.name, "its TCX links cannot be listed: {error}");
                None
            }
        }
    }

    pub(super) const fn direction(&self) -> Direction {
        match self {
            Self::Tcx(pin, _) => pin.direction,
            Self::Filter(filter) => filter.direction,
        }
    }

    /// Whether one would attach like that today.
    pub(super) fn fits(&self, mode: AttachMode) -> bool {
        match self {
            Self::Tcx(..) => mode != AttachMode::Clsact,
            Self::Filter(_) => mode != AttachMode::Tcx,
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            Self::Tcx(pin, _) => Place::Pin(pin.clone()),
            Self::Filter(filter) => Place::Filter(filter.clone()),
        }
    }

    /// Detaches it.
    pub(super) fn remove(self, interface: &str) -> Result<(), Error> {
        let place = self.place();
        // The kernel detaches when nobody has the link any more.
        drop(self);
        place.remove(interface)
    }
}

impl Place {
    /// Removes what is there, if it still is.
    pub(super) fn remove(&self, interface: &str) -> Result<(), Error> {
        match self {
            Self::Pin(pin) => pins::remove(&pin.path),
            Self::Filter(filter) => {
                filter.remove(interface).or_else(|error| if_there(error, interface))
            }
        }
    }
}

/// A filter that is gone need not be removed.
fn if_there(error: ProgramError, interface: &str) -> Result<(), Error> {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = source {
        let number = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if matches!(number, Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)) {
            return Ok(());
        }
        source = cause.source();
    }
    Err(attach_error(interface, AttachMode::Clsact, error))
}

impl Program {
    /// Puts the program in the place of the one before: no packet goes by either of them.
    pub(super) fn replace(
        &mut self,
        link: &Link,
        layer: Layer,
        before: Before,
    ) -> Result<Hooked, Error> {
        let direction = before.direction();
        let current = self.pinned.as_ref().map(|pinned| pinned.current.clone());
        let failed = |source| attach_error(&link.name, AttachMode::Auto, source);
        let program = self.entry_point(layer, direction).map_err(failed)?;
        match before {
            Before::Filter(filter) => {
                let at = filter.link(&link.name).map_err(TcError::IoError);
                let id = at.map_err(ProgramError::from).and_then(|at| program.attach_to_link(at));
                Ok(Hooked::Held(id.map_err(failed)?))
            }
            Before::Tcx(pin, opened) => {
                // What its pin keeps is no link of TCX, which cannot be: `tcx` has found it there.
                let opened = opened.try_into().map_err(|_| failed(ProgramError::NotAttached))?;
                let id = program.attach_to_link(opened).map_err(failed)?;
                // Dropped here, it stays where it is pinned.
                program.take_link(id).map(drop).map_err(failed)?;
                let Some(current) = current else { return Ok(Hooked::Pinned(pin)) };
                move_pin(pin, &current).map(Hooked::Pinned)
            }
        }
    }

    /// Attaches the program to a hook, by a link that outlives the process if it is to.
    pub(super) fn hook(
        &mut self,
        link: &Link,
        layer: Layer,
        direction: Direction,
        mode: AttachMode,
        made_clsact: &mut bool,
    ) -> Result<Hooked, Error> {
        let folder = self.pinned.as_ref().map(|pinned| pinned.current.clone());
        let failed = |source| attach_error(&link.name, mode, source);
        let program = self.entry_point(layer, direction).map_err(failed)?;
        if mode != AttachMode::Clsact {
            match attach_tcx(program, &link.name, direction) {
                Err(error) if mode == AttachMode::Auto && lacks_tcx(&error) => {}
                Err(error) => return Err(failed(error)),
                Ok(id) => {
                    let Some(folder) = folder else { return Ok(Hooked::Held(id)) };
                    let pin = LinkPin::new(&folder, link.kernel_index, direction);
                    return pin_link(program, id, pin).map(Hooked::Pinned);
                }
            }
        }
        *made_clsact |= clsact::add(&link.name).map_err(|source| failed(source.into()))?;
        attach_filter(program, &link.name, direction).map(Hooked::Held).map_err(failed)
    }

    /// Detaches it.
    pub(super) fn unhook(&mut self, layer: Layer, direction: Direction, hooked: Hooked) {
        let detached = match hooked {
            Hooked::Pinned(pin) => pins::remove(&pin.path).map_err(|error| error.to_string()),
            Hooked::Held(id) => self
                .entry_point(layer, direction)
                .and_then(|program| program.detach(id))
                .map_err(|error| error.to_string()),
        };
        if let Err(error) = detached {
            // The kernel detaches by itself when the interface goes.
            tracing::debug!("detaching from an interface that is gone: {error}");
        }
    }

    /// Leaves it as it is when the process ends.
    pub(super) fn leave(&mut self, layer: Layer, direction: Direction, hooked: Hooked) {
        let Hooked::Held(id) = hooked else { return };
        match self.entry_point(layer, direction).and_then(|program| program.take_link(id)) {
            // A filter: dropped, it would be removed.
            Ok(filter) => std::mem::forget(filter),
            Err(error) => tracing::debug!("a filter to be left is not there: {error}"),
        }
    }

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

/// The names of the entry points, by which a filter of flowlog's can be told from others.
pub(super) const ENTRY_POINTS: [&str; 4] = ["up_l3", "down_l3", "up_l2", "down_l2"];

fn attach_tcx(
    program: &mut SchedClassifier,
    interface: &str,
    direction: Direction,
) -> Result<SchedClassifierLinkId, ProgramError> {
    // Ingress before anyone else: what a member sent is counted although a filter drops it.
    // Egress after everyone else: what a filter drops never reached the member.
    let (hook, order) = match direction {
        Direction::Up => (TcAttachType::Ingress, LinkOrder::first()),
        Direction::Down => (TcAttachType::Egress, LinkOrder::last()),
    };
    program.attach_with_options(interface, hook, TcAttachOptions::TcxOrder(order))
}

fn attach_filter(
    program: &mut SchedClassifier,
    interface: &str,
    direction: Direction,
) -> Result<SchedClassifierLinkId, ProgramError> {
    let hook = match direction {
        Direction::Up => TcAttachType::Ingress,
        Direction::Down => TcAttachType::Egress,
    };
    // A filter may end the walk over those behind it, whatever it does with the packet, so that
    // behind one packets go by that nobody counts: first at either hook, unless it is taken.
    let first = NlOptions { priority: 1, ..NlOptions::default() };
    match program.attach_with_options(interface, hook, TcAttachOptions::Netlink(first)) {
        Err(_) => {
            let anywhere = TcAttachOptions::Netlink(NlOptions::default());
            let id = program.attach_with_options(interface, hook, anywhere)?;
            tracing::warn!(
                interface,
                ?direction,
                "a filter of preference 1 comes first: what it takes is not counted"
            );
            Ok(id)
        }
        result => result,
    }
}

/// Pins a link that was just made.
fn pin_link(
    program: &mut SchedClassifier,
    id: SchedClassifierLinkId,
    pin: LinkPin,
) -> Result<LinkPin, Error> {
    let pinned = || -> io::Result<()> {
        let link = program.take_link(id).map_err(io::Error::other)?;
        let link = FdLink::try_from(link).map_err(io::Error::other)?;
        link.pin(&pin.path).map(drop).map_err(io::Error::other)
    };
    // One of an interface that had this index before.
    pins::remove(&pin.path)?;
    match pinned() {
        Ok(()) => Ok(pin),
        Err(source) => Err(Error::Pins {
            action: "pin a link at",
            path: pin.path.display().to_string(),
            source,
        }),
    }
}

/// Moves the pin of a link to where its maps are.
fn move_pin(pin: LinkPin, folder: &Path) -> Result<LinkPin, Error> {
    let to = LinkPin::new(folder, pin.kernel_index, pin.direction);
    if to == pin {
        return Ok(pin);
    }
    fs::rename(&pin.path, &to.path).map_err(|source| Error::Pins {
        action: "move the pin of a link to",
        path: to.path.display().to_string(),
        source,
    })?;
    Ok(to)
}

/// Whether TCX is not known to this kernel: `BPF_LINK_CREATE` says EINVAL for an attach type that
/// it does not know.
fn lacks_tcx(error: &ProgramError) -> bool {
    matches!(error, ProgramError::SyscallError(call)
        if call.io_error.raw_os_error() == Some(libc::EINVAL))
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
