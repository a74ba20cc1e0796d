//! The clsact queueing discipline, from which filters hang where the kernel has no TCX.
//!
//! There is one for each interface, shared by all who filter there. What flowlog added it removes
//! again when it ends, unless others have come to use it.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use aya::programs::tc::{TcError, qdisc_add_clsact};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// Adds one to an interface; false if it has one already.
pub fn add(interface: &str) -> Result<bool, TcError> {
    match qdisc_add_clsact(interface) {
        Ok(()) => Ok(true),
        Err(error) if already_there(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn already_there(error: &TcError) -> bool {
    if matches!(error, TcError::AlreadyAttached) {
        return true;
    }
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(libc::EEXIST)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// Removes it from an interface, unless a filter hangs from it.
///
/// A filter that is added between the question and the removal goes too: the kernel has no way to
/// do both at once.
pub fn remove_unless_used(kernel_index: u32) -> io::Result<()> {
    for hook in [INGRESS, EGRESS] {
        if has_filter(kernel_index, hook)? {
            return Ok(());
        }
    }
    remove(kernel_index)
}

// linux/pkt_sched.h, which libc lacks.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
pub(super) const INGRESS: u32 = 0xffff_fff2;
pub(super) const EGRESS: u32 = 0xffff_fff3;

const KIND: &[u8] = b"clsact\0";

fn has_filter(kernel_index: u32, hook: u32) -> io::Result<bool> {
    let mut has_filter = false;
    ask(&filters_request(kernel_index, hook)?, |message| {
        has_filter |= message.kind == libc::RTM_NEWTFILTER;
    })?;
    Ok(has_filter)
}

/// Asks for the filters at a hook of an interface.
pub(super) fn filters_request(kernel_index: u32, hook: u32) -> io::Result<Vec<u8>> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    message(libc::RTM_GETTFILTER, flags, kernel_index, 0, hook)
}

fn remove(kernel_index: u32) -> io::Result<()> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    let request = message(libc::RTM_DELQDISC, flags, kernel_index, CLSACT_HANDLE, CLSACT)?;
    ask(&request, |_| {})
}

/// A request about a queueing discipline: `nlmsghdr`, `tcmsg`, and the attribute `TCA_KIND`, so
/// that an `ingress` discipline which somebody put in its place is not taken for it.
fn message(
    kind: u16,
    flags: libc::c_int,
    kernel_index: u32,
    handle: u32,
    parent: u32,
) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER_BYTES];
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    let flags = u16::try_from(flags).map_err(io::Error::other)?;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    for field in [0, kernel_index, handle, parent, 0] {
        message.extend(field.to_ne_bytes());
    }
    if kind == libc::RTM_DELQDISC {
        let length = u16::try_from(ATTRIBUTE_BYTES + KIND.len()).map_err(io::Error::other)?;
        message.extend(length.to_ne_bytes());
        message.extend(libc::TCA_KIND.to_ne_bytes());
        message.extend(KIND);
        message.resize(message.len().next_multiple_of(ALIGNMENT), 0);
    }
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    Ok(message)
}

/// Bytes of a `nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
/// Bytes of a `nlattr`.
const ATTRIBUTE_BYTES: usize = 4;
const ALIGNMENT: usize = 4;

/// Sends a request and tells the messages that answer it, up to the last.
pub(super) fn ask(request: &[u8], mut tell: impl FnMut(Message<'_>)) -> io::Result<()> {
    let kernel: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    send(kernel.as_raw_fd(), request, MsgFlags::empty())?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let received = recv(kernel.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for answer in Answers(&buffer[..received]) {
            match answer {
                Answer::Last(0) => return Ok(()),
                Answer::Last(error) => return Err(io::Error::from_raw_os_error(-error)),
                Answer::Message(message) => tell(message),
            }
        }
    }
}

/// A message that answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    /// All of it, with its header.
    pub(super) bytes: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
enum Answer<'a> {
    Message(Message<'a>),
    /// The end, with zero or a negative error.
    Last(i32),
}

/// The messages in what was received at once.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let length = u32::from_ne_bytes(*self.0.first_chunk()?);
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER_BYTES)?;
        let (message, _) = self.0.split_at_checked(length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        Some(match i32::from(kind) {
            libc::NLMSG_DONE => Answer::Last(0),
            libc::NLMSG_ERROR => {
                Answer::Last(i32::from_ne_bytes(*message.get(HEADER_BYTES..)?.first_chunk()?))
            }
            _ => Answer::Message(Message { kind, bytes: message }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    #[test]
    fn answers_are_read_one_by_one_up_to_the_last() {
        let refused = -libc::ENOENT;
        let error = u16::try_from(libc::NLMSG_ERROR).unwrap();
        let kind = libc::RTM_NEWTFILTER;
        let bytes = [answer(kind, &[1; 5]), answer(error, &refused.to_ne_bytes())].concat();
        let answers: Vec<Answer<'_>> = Answers(&bytes).collect();
        let message = Message { kind, bytes: &bytes[..HEADER_BYTES + 5] };
        assert_eq!(answers, [Answer::Message(message), Answer::Last(refused)]);
    }

    #[test]
    fn an_answer_that_is_cut_or_lies_about_its_length_ends_them() {
        let whole = answer(libc::RTM_NEWTFILTER, &[0; 20]);
        for length in 0..whole.len() {
            assert_eq!(Answers(&whole[..length]).next(), None, "{length}");
        }
        assert_eq!(Answers(&[0; 64]).next(), None);
        assert_eq!(Answers(&[0xff; 64]).next(), None);
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_filter() {
        // Needs no privilege: everybody may ask.
        assert!(!has_filter(u32::MAX >> 1, INGRESS).unwrap());
    }
}
