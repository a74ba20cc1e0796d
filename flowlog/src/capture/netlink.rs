//! Asking the kernel's routing subsystem: interfaces, their counters, queueing disciplines, filters.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

/// A connection, in the network namespace of the thread that opened it.
pub(super) struct Netlink {
    socket: OwnedFd,
    /// Number of the last request, which its answers repeat.
    sequence: Cell<u32>,
}

/// Bytes of a `nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;
/// What is left of an attribute's kind without its flags.
const KIND_MASK: u16 = 0x3fff;

/// A request, or a part of one.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Asks for all that there is of a kind.
    pub(super) fn dump(kind: u16) -> Self {
        Self::new(kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP)
    }

    /// Asks for one thing.
    pub(super) fn get(kind: u16) -> Self {
        Self::new(kind, libc::NLM_F_REQUEST)
    }

    /// Changes something that is there, and hears how that went.
    pub(super) fn change(kind: u16) -> Self {
        Self::new(kind, libc::NLM_F_REQUEST | libc::NLM_F_ACK)
    }

    /// Makes something that is not there yet, and hears how that went.
    pub(super) fn create(kind: u16) -> Self {
        let new = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        Self::new(kind, libc::NLM_F_REQUEST | libc::NLM_F_ACK | new)
    }

    fn new(kind: u16, flags: libc::c_int) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(flags).unwrap_or(0).to_ne_bytes());
        Self(bytes)
    }

    /// Goes on with these words.
    pub(super) fn words(mut self, words: &[u32]) -> Self {
        self.0.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self
    }

    /// Goes on with an attribute.
    pub(super) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        self
    }

    /// Attributes that go into another.
    pub(super) const fn attributes() -> Self {
        Self(vec![])
    }

    /// Goes on with an attribute that has these in it.
    pub(super) fn nested(self, kind: u16, attributes: &Self) -> Self {
        self.attribute(kind, &attributes.0)
    }

    /// The bytes of an attribute.
    #[cfg(test)]
    pub(super) fn attribute_bytes(kind: u16, payload: &[u8]) -> Vec<u8> {
        Self(vec![]).attribute(kind, payload).0
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

impl Netlink {
    /// Opens one.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// Sends a request, and hands on the messages that answer it, up to the last.
    pub(super) fn ask(
        &self,
        request: Request,
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let flags = u16::from_ne_bytes([request.0[6], request.0[7]]);
        let is_dump = i32::from(flags) & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
        let has_last = is_dump || i32::from(flags) & libc::NLM_F_ACK != 0;
        send(self.socket.as_raw_fd(), &request.finish(sequence), MsgFlags::empty())?;
        let mut buffer = vec![0; if is_dump { 64 << 10 } else { 8 << 10 }];
        loop {
            let received = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            for answer in Answers(&buffer[..received]) {
                match answer {
                    // Of a request before, which was given up.
                    (number, _) if number != sequence => {}
                    (_, Answer::Last(0)) => return Ok(()),
                    (_, Answer::Last(error)) => return Err(io::Error::from_raw_os_error(-error)),
                    (_, Answer::Message(message)) => {
                        each(message);
                        if !has_last {
                            return Ok(());
                        }
                    }
                }
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

impl<'a> Message<'a> {
    /// What follows the header.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer<'a> {
    Message(Message<'a>),
    /// The end, with zero or a negative error.
    Last(i32),
}

/// The messages in what was received at once, each with the number of its request.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = (u32, Answer<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_ne_bytes(*self.0.first_chunk()?);
        let length = usize::try_from(length).ok().filter(|length| *length >= HEADER_BYTES)?;
        let (message, _) = self.0.split_at_checked(length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        let sequence = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
        let answer = match i32::from(kind) {
            libc::NLMSG_DONE => Answer::Last(0),
            libc::NLMSG_ERROR => {
                Answer::Last(i32::from_ne_bytes(*message.get(HEADER_BYTES..)?.first_chunk()?))
            }
            _ => Answer::Message(Message { kind, bytes: message }),
        };
        Some((sequence, answer))
    }
}

/// The attributes in a payload, each with its kind.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & KIND_MASK;
        let payload = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The payload of the first attribute of a kind.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    Attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// A word of a payload.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Text that ends with a zero.
pub(super) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
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
        let answers: Vec<Answer<'_>> = Answers(&bytes).map(|(_, answer)| answer).collect();
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
    fn attributes_that_lie_about_their_length_end_them() {
        assert_eq!(attribute(&[0; 64], 1), None);
        assert_eq!(attribute(&[0xff; 64], 1), None);
        let two =
            [Request::attribute_bytes(7, b"one\0"), Request::attribute_bytes(9 | 0x8000, b"two")]
                .concat();
        assert_eq!(attribute(&two, 9), Some(&b"two"[..]));
        assert_eq!(attribute(&two[..two.len() - 2], 9), None);
    }
}
