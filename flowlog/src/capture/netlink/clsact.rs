//! The clsact queueing discipline, from which filters hang where the kernel has no TCX.
//!
//! There is one for each interface, shared by all who filter there. What flowlog added it removes
//! again when it ends, unless others have come to use it. An older discipline of the name `ingress`
//! sits in the same place and has one hook only: a filter that is hung from its egress hook sees what
//! arrives.

use std::{io, mem::offset_of};

use aya_obj::generated::{
    TC_H_CLSACT, TC_H_MAJ_MASK, TC_H_MIN_EGRESS, TC_H_MIN_INGRESS, tcmsg as TcMessage,
};

use super::{Message, Netlink, Request, attribute, text, word};

/// The discipline that filters of an interface hang from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Discipline {
    /// With a hook for each direction.
    Clsact,
    /// With a hook for what arrives only.
    Ingress,
}

/// Adds one to an interface; false if it has one already.
pub(in crate::capture) fn add(kernel: &Netlink, kernel_index: u32) -> io::Result<bool> {
    let request = Request::create(libc::RTM_NEWQDISC)
        .words(&tcmsg(kernel_index, HANDLE, TC_H_CLSACT))
        .attribute(libc::TCA_KIND, b"clsact\0");
    match kernel.ask(request, |_| {}) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The discipline that an interface has.
pub(in crate::capture) fn discipline(
    kernel: &Netlink,
    kernel_index: u32,
) -> io::Result<Option<Discipline>> {
    let mut found = None;
    // The kernel lists those of all interfaces.
    kernel.ask(Request::dump(libc::RTM_GETQDISC).words(&tcmsg(kernel_index, 0, 0)), |message| {
        found = found.or(parse(kernel_index, &message));
    })?;
    Ok(found)
}

/// From a message that answers: `tcmsg` and its attributes.
fn parse(kernel_index: u32, message: &Message<'_>) -> Option<Discipline> {
    let body = message.body;
    if message.kind != libc::RTM_NEWQDISC
        || word(body, offset_of!(TcMessage, tcm_ifindex))? != kernel_index
    {
        return None;
    }
    match text(attribute(body.get(TCMSG_BYTES..)?, libc::TCA_KIND)?) {
        b"clsact" => Some(Discipline::Clsact),
        b"ingress" => Some(Discipline::Ingress),
        _ => None,
    }
}

/// Removes it from an interface, unless a filter hangs from it.
///
/// A filter that is added between the question and the removal goes too: the kernel has no way to
/// do both at once.
pub fn remove_unless_used(kernel_index: u32) -> io::Result<()> {
    let kernel = Netlink::open()?;
    for hook in [INGRESS, EGRESS] {
        if has_filter(&kernel, kernel_index, hook)? {
            return Ok(());
        }
    }
    // With its kind, so that an `ingress` discipline which somebody put in its place stays.
    let request = Request::change(libc::RTM_DELQDISC)
        .words(&tcmsg(kernel_index, HANDLE, TC_H_CLSACT))
        .attribute(libc::TCA_KIND, b"clsact\0");
    kernel.ask(request, |_| {})
}

/// The discipline's own number, of which the hooks are parts.
const HANDLE: u32 = TC_H_CLSACT & TC_H_MAJ_MASK;
pub(super) const INGRESS: u32 = HANDLE | TC_H_MIN_INGRESS;
pub(super) const EGRESS: u32 = HANDLE | TC_H_MIN_EGRESS;

pub(super) const TCMSG_BYTES: usize = size_of::<TcMessage>();

fn has_filter(kernel: &Netlink, kernel_index: u32, hook: u32) -> io::Result<bool> {
    let mut has_filter = false;
    kernel.ask(filters_request(kernel_index, hook), |message| {
        has_filter |= message.kind == libc::RTM_NEWTFILTER;
    })?;
    Ok(has_filter)
}

/// Asks for the filters at a hook of an interface.
pub(super) fn filters_request(kernel_index: u32, hook: u32) -> Request {
    Request::dump(libc::RTM_GETTFILTER).words(&tcmsg(kernel_index, 0, hook))
}

const fn tcmsg(kernel_index: u32, handle: u32, parent: u32) -> [u32; 5] {
    [0, kernel_index, handle, parent, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_no_filter_and_no_discipline() {
        // Needs no privilege: everybody may ask.
        let kernel = Netlink::open().unwrap();
        assert!(!has_filter(&kernel, u32::MAX >> 1, INGRESS).unwrap());
        assert_eq!(discipline(&kernel, u32::MAX >> 1).unwrap(), None);
    }
}
