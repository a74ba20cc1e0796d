//! Moving to another place of a hook, while packets come by.

use std::{fs, io, os::fd::OwnedFd, path::Path};

use super::{Attachment, Borrowed, TcxLink, preference};
use crate::{
    capture::{
        filter::{self, Filter},
        interface::Link,
        netlink::Netlink,
        pins::{self, LinkPin},
        tcx,
    },
    record::policy::Order,
};

/// A second link is made at that place, at which nothing is done until nothing is done any more at the
/// first one: the kernel puts a program in the place of another in one step, and takes a hook only
/// once for the same program.
pub(super) fn move_link(
    program: &Borrowed<'_>,
    order: Order,
    link: &Link,
    mut old: TcxLink,
    folder: Option<&Path>,
) -> Result<Attachment, (Attachment, io::Error)> {
    let prepared = || -> io::Result<_> {
        let (one, other) = (tcx::nothing()?, tcx::nothing()?);
        let fd = tcx::attach(&one, link.kernel_index, old.direction, order)?;
        let id = tcx::link_id(&fd)?;
        let next =
            folder.map(|folder| LinkPin::unfinished(folder, link.kernel_index, old.direction));
        if let Some(path) = &next {
            pins::remove(path).map_err(io::Error::other)?;
            tcx::pin(&fd, path)?;
        }
        Ok((fd, id, other, next))
    };
    let (fd, id, other, next) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return Err((Attachment::Tcx(old), error)),
    };
    let moved = || -> io::Result<()> {
        tcx::update(&old.fd, &other)?;
        tcx::update(&fd, program.fd).or_else(|error| {
            tcx::update(&old.fd, program.fd)?;
            Err(error)
        })
    };
    if let Err(error) = moved() {
        detach_quietly(&fd, next.as_deref());
        return Err((Attachment::Tcx(old), error));
    }
    let pin = old.pin.take();
    if let (Some(next), Some(pin)) = (&next, &pin)
        && let Err(error) = fs::rename(next, &pin.path)
    {
        tracing::warn!(interface = link.name, "a link keeps the pin of the one before: {error}");
    }
    detach_quietly(&old.fd, None);
    Ok(Attachment::Tcx(TcxLink { fd, id, direction: old.direction, pin }))
}

fn detach_quietly(link: &OwnedFd, pin: Option<&Path>) {
    if let Err(error) = tcx::detach(link) {
        tracing::debug!("a link that is detached already: {error}");
    }
    if let Some(Err(error)) = pin.map(pins::remove) {
        tracing::debug!("a pin stays: {error}");
    }
}

/// The same with filters.
pub(super) fn move_filter(
    program: &Borrowed<'_>,
    order: Order,
    link: &Link,
    mut old: Filter,
) -> Result<Attachment, (Attachment, io::Error)> {
    let index = link.kernel_index;
    let prepared = || -> io::Result<_> {
        let kernel = Netlink::open()?;
        let nothing = || -> io::Result<_> {
            let fd = tcx::nothing()?;
            let id = tcx::program_id(&fd)?;
            Ok(filter::Program { fd, id, name: program.name })
        };
        let (one, other) = (nothing()?, nothing()?);
        let new = Filter::attach(&kernel, index, old.direction, preference(order), &one)?;
        Ok((kernel, new, other))
    };
    let (kernel, mut new, other) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return Err((Attachment::Filter(old), error)),
    };
    let moved = || -> io::Result<()> {
        old.replace(&kernel, index, &other)?;
        new.replace(&kernel, index, program).or_else(|error| {
            old.replace(&kernel, index, program)?;
            Err(error)
        })
    };
    let moved = {
        let mut moved = moved;
        moved()
    };
    let (kept, removed) = if moved.is_ok() { (new, old) } else { (old, new) };
    if let Err(error) = removed.remove(&kernel, index) {
        tracing::debug!("a filter that is gone already: {error}");
    }
    match moved {
        Ok(()) => Ok(Attachment::Filter(kept)),
        Err(error) => Err((Attachment::Filter(kept), error)),
    }
}
