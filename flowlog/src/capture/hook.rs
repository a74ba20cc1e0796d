//! The hooks of an interface: attaching the program to one, by TCX or by clsact, and replacing the
//! program of the daemon before without losing a packet.

mod reorder;

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use flowlog_common::flow::Direction;

use super::{
    Error, Program,
    clsact::{self, Discipline},
    error::is_permission,
    filter::{self, Filter},
    interface::{Layer, Link},
    netlink::Netlink,
    pins::{self, LinkPin},
    tcx,
};
use crate::record::policy::{AttachMode, Order};
use reorder::{move_filter, move_link};

/// What keeps a program at a hook.
pub(super) enum Attachment {
    /// A link, which goes with the process where it is not pinned.
    Tcx(TcxLink),
    /// A filter, which stays.
    Filter(Filter),
}

/// A link of TCX, open: it stays as long as the process, also when somebody removes its pin.
pub(super) struct TcxLink {
    pub(super) fd: OwnedFd,
    /// The kernel's number of it.
    pub(super) id: u32,
    pub(super) direction: Direction,
    pub(super) pin: Option<LinkPin>,
}

/// Where an attachment can be found again.
pub(super) enum AttachmentLocation {
    Pin(LinkPin),
    Filter(u32, Filter),
}

impl Attachment {
    /// A pinned link, where it is attached to this interface. An index may be that of another
    /// interface by now, or of one in another network namespace: the kernel knows the link itself.
    pub(super) fn pinned(pin: &LinkPin, link: &Link) -> Option<Self> {
        let open = || -> io::Result<_> {
            let fd = tcx::open(&pin.path)?;
            let id = tcx::link_id(&fd)?;
            Ok(TcxLink { fd, id, direction: pin.direction, pin: Some(pin.clone()) })
        };
        let opened = match open() {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(interface = link.name, "a pinned link cannot be opened: {error}");
                return None;
            }
        };
        match tcx::programs(link.kernel_index, pin.direction) {
            Ok(programs) if programs.iter().any(|at| at.link == opened.id) => {
                Some(Self::Tcx(opened))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(
                    interface = link.name,
                    "the TCX links of the interface cannot be listed: {error}"
                );
                None
            }
        }
    }

    pub(super) const fn direction(&self) -> Direction {
        match self {
            Self::Tcx(link) => link.direction,
            Self::Filter(filter) => filter.direction,
        }
    }

    /// Whether one would attach like that today.
    pub(super) const fn fits(&self, mode: AttachMode) -> bool {
        matches!(
            (self, mode),
            (_, AttachMode::Auto)
                | (Self::Tcx(_), AttachMode::Tcx)
                | (Self::Filter(_), AttachMode::Clsact)
        )
    }

    pub(super) fn location(&self, kernel_index: u32) -> Option<AttachmentLocation> {
        match self {
            Self::Tcx(link) => link.pin.clone().map(AttachmentLocation::Pin),
            Self::Filter(filter) => Some(AttachmentLocation::Filter(kernel_index, filter.clone())),
        }
    }

    /// Detaches it, at once.
    pub(super) fn remove(self, kernel_index: u32) -> Result<(), Error> {
        if let Self::Tcx(link) = &self
            && let Err(error) = tcx::detach(&link.fd)
        {
            // The kernel detaches by itself when the interface goes.
            tracing::debug!("a link that is detached already: {error}");
        }
        self.location(kernel_index)
            .map_or(Ok(()), |location| location.remove(&kernel_index.to_string()))
    }
}

impl AttachmentLocation {
    /// Removes what is there, if it still is.
    pub(super) fn remove(&self, interface: &str) -> Result<(), Error> {
        match self {
            Self::Pin(pin) => pins::remove(&pin.path),
            Self::Filter(kernel_index, filter) => {
                let removed = Netlink::open()
                    .and_then(|kernel| filter.remove(&kernel, *kernel_index))
                    .or_else(|error| if super::is_gone(&error) { Ok(()) } else { Err(error) });
                removed.map_err(|source| attach_error(interface, source))
            }
        }
    }
}

/// Where and how to attach.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) link: &'a Link,
    pub(super) layer: Layer,
    pub(super) direction: Direction,
    pub(super) mode: AttachMode,
    pub(super) order: Order,
}

impl Program {
    /// Puts the program in the place of the one before: no packet goes by either of them.
    pub(super) fn replace(
        &mut self,
        link: &Link,
        layer: Layer,
        existing: Attachment,
    ) -> Result<Attachment, Error> {
        let folder = self.pinned.as_ref().map(|pinned| pinned.current.clone());
        let failed = |source| attach_error(&link.name, source);
        let program = self.entry_point(layer, existing.direction()).map_err(failed)?;
        match existing {
            Attachment::Filter(mut filter) => {
                let kernel = Netlink::open().map_err(failed)?;
                filter.replace(&kernel, link.kernel_index, &program).map_err(failed)?;
                Ok(Attachment::Filter(filter))
            }
            Attachment::Tcx(mut opened) => {
                tcx::update(&opened.fd, program.fd).map_err(failed)?;
                if let (Some(pin), Some(folder)) = (opened.pin.take(), folder) {
                    opened.pin = Some(move_pin(pin, &folder)?);
                }
                Ok(Attachment::Tcx(opened))
            }
        }
    }

    /// Attaches the program to a hook, by a link that outlives the process if it is to.
    pub(super) fn attach(
        &mut self,
        wanted: Wanted<'_>,
        made_clsact: &mut bool,
    ) -> Result<Attachment, Error> {
        let Wanted { link, layer, direction, mode, order } = wanted;
        let folder = self.pinned.as_ref().map(|pinned| pinned.current.clone());
        let failed = |source| attach_error(&link.name, source);
        let program = self.entry_point(layer, direction).map_err(failed)?;
        if mode != AttachMode::Clsact {
            if tcx::is_known() {
                return attach_tcx(&program, wanted, folder.as_deref());
            }
            if mode == AttachMode::Tcx {
                return Err(Error::NoTcx { interface: link.name.clone() });
            }
        }
        let kernel = Netlink::open().map_err(failed)?;
        *made_clsact |= clsact::add(&kernel, link.kernel_index).map_err(failed)?;
        let found = clsact::discipline(&kernel, link.kernel_index).map_err(failed)?;
        if found == Some(Discipline::Ingress) {
            if !tcx::is_known() {
                return Err(Error::IngressDiscipline { interface: link.name.clone() });
            }
            tracing::warn!(
                interface = link.name,
                "an `ingress` queueing discipline is in the place of clsact, and has no hook for packets to members: flowlog uses TCX"
            );
            return attach_tcx(&program, wanted, folder.as_deref());
        }
        attach_filter(&kernel, &program, link.kernel_index, direction, order)
            .map(Attachment::Filter)
            .map_err(failed)
    }

    /// Moves to the first or last place of a hook. Packets go by uncounted for as long as two system
    /// calls take; none is counted twice.
    pub(super) fn move_to(
        &mut self,
        order: Order,
        link: &Link,
        layer: Layer,
        attachment: Attachment,
    ) -> Result<Attachment, (Attachment, io::Error)> {
        let folder = self.pinned.as_ref().map(|pinned| pinned.current.clone());
        let program = match self.entry_point(layer, attachment.direction()) {
            Ok(program) => program,
            Err(error) => return Err((attachment, error)),
        };
        match attachment {
            Attachment::Tcx(old) => move_link(&program, order, link, old, folder.as_deref()),
            Attachment::Filter(old) => move_filter(&program, order, link, old),
        }
    }

    fn entry_point(
        &mut self,
        layer: Layer,
        direction: Direction,
    ) -> io::Result<filter::Program<BorrowedFd<'_>>> {
        let name = match (layer, direction) {
            (Layer::Ip, Direction::Up) => "up_l3",
            (Layer::Ip, Direction::Down) => "down_l3",
            (Layer::Ethernet, Direction::Up) => "up_l2",
            (Layer::Ethernet, Direction::Down) => "down_l2",
        };
        let program = self.classifier(name).map_err(io::Error::other)?;
        let fd = program.fd().map_err(io::Error::other)?.as_fd();
        Ok(filter::Program { fd, id: tcx::program_id(fd)?, name })
    }
}

/// The names of the entry points, by which a filter of flowlog's can be told from others.
pub(super) const ENTRY_POINTS: [&str; 4] = ["up_l3", "down_l3", "up_l2", "down_l2"];

type Borrowed<'a> = filter::Program<BorrowedFd<'a>>;

fn attach_tcx(
    program: &Borrowed<'_>,
    wanted: Wanted<'_>,
    folder: Option<&Path>,
) -> Result<Attachment, Error> {
    let Wanted { link, direction, order, .. } = wanted;
    let failed = |source| attach_error(&link.name, source);
    let fd = tcx::attach(program.fd, link.kernel_index, direction, order).map_err(failed)?;
    let id = tcx::link_id(&fd).map_err(failed)?;
    let mut made = TcxLink { fd, id, direction, pin: None };
    if let Some(folder) = folder {
        made.pin(LinkPin::new(folder, link.kernel_index, direction))?;
    }
    Ok(Attachment::Tcx(made))
}

impl TcxLink {
    /// Pins it, in the place of what is there.
    pub(super) fn pin(&mut self, pin: LinkPin) -> Result<(), Error> {
        // One of an interface that had this index before.
        pins::remove(&pin.path)?;
        tcx::pin(&self.fd, &pin.path).map_err(|source| Error::Pins {
            action: "pin a link at",
            path: pin.path.display().to_string(),
            source,
        })?;
        self.pin = Some(pin);
        Ok(())
    }
}

/// The preference of a filter that comes before all others, where nobody has it.
const FIRST: u16 = 1;
/// The same behind all others.
const LAST: u16 = u16::MAX;

const fn preference(order: Order) -> u16 {
    match order {
        Order::First => FIRST,
        Order::Last => LAST,
    }
}

fn attach_filter(
    kernel: &Netlink,
    program: &Borrowed<'_>,
    kernel_index: u32,
    direction: Direction,
    order: Order,
) -> io::Result<Filter> {
    // Of programs with one preference the newest comes first; a filter of another kind may have it
    // for itself.
    Filter::attach(kernel, kernel_index, direction, preference(order), program)
        .or_else(|_| Filter::attach(kernel, kernel_index, direction, 0, program))
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

fn attach_error(interface: &str, source: io::Error) -> Error {
    if is_permission(&source) {
        Error::Permission { action: "attach to an interface" }
    } else {
        Error::Attach { interface: interface.to_owned(), source }
    }
}
