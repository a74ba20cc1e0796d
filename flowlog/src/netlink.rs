//! Questions to the kernel: sockets of netlink, requests and answers.
//!
//! This is the only room that has sockets of the kernel, and they are of netlink. The socket is one of
//! `netlink-sys`; headers and attributes are read and written by `netlink-packet-core`; the bodies are a few
//! fields each (`docs/adr/0022-kept-crates.md`), which those know who ask.

pub(crate) mod name;
mod request;

use std::{cell::Cell, io};

use netlink_packet_core::{
    ErrorBuffer, NLA_HEADER_SIZE, NLM_F_DUMP_INTR, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NlasIterator,
};
use netlink_sys::{
    Socket,
    protocols::{NETLINK_GENERIC, NETLINK_ROUTE},
};

pub(crate) use request::Request;
#[cfg(test)]
pub(crate) use request::{attribute_bytes, message_bytes};

/// Room for what the kernel sends at once of a list.
pub(crate) const DUMP_BYTES: usize = 64 << 10;

/// A connection, in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    socket: Socket,
    /// Number of the last request, which its answers repeat.
    sequence: Cell<u32>,
}

impl Netlink {
    /// Opens one to the routing subsystem.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(NETLINK_ROUTE)?, sequence: Cell::new(0) })
    }

    /// Opens one to the families of generic netlink.
    pub(crate) fn open_generic() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(NETLINK_GENERIC)?, sequence: Cell::new(0) })
    }

    /// Sends a request, and hands on the messages that answer it, up to the last.
    pub(crate) fn ask(&self, request: Request, each: impl FnMut(Message<'_>)) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(if request.is_dump() { DUMP_BYTES } else { 8 << 10 });
        self.ask_into(&mut buffer, request, each)
    }

    /// The same with a buffer of the caller, who may have to overwrite it; it does not grow.
    pub(crate) fn ask_into(
        &self,
        buffer: &mut Vec<u8>,
        request: Request,
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let has_last = request.has_last();
        self.socket.send(&request.finish(sequence), 0)?;
        loop {
            buffer.clear();
            match self.socket.recv(buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            for answer in Answers(buffer) {
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
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    /// What follows the header.
    pub(crate) body: &'a [u8],
    /// Whether what is listed changed meanwhile, so that the list may lack something.
    pub(crate) is_interrupted: bool,
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
        if self.0.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(self.0).ok()?;
        let length = usize::try_from(message.length()).ok()?;
        let aligned = length.next_multiple_of(usize::from(NLMSG_ALIGNTO));
        self.0 = self.0.get(aligned..).unwrap_or_default();
        let answer = match message.message_type() {
            // A list that broke off ends with the error.
            NLMSG_DONE => Answer::Last(word(message.payload(), 0).map_or(0, u32::cast_signed)),
            NLMSG_ERROR => {
                let error = ErrorBuffer::new_checked(message.payload()).ok()?;
                Answer::Last(error.code().map_or(0, i32::from))
            }
            kind => {
                let is_interrupted = message.flags() & NLM_F_DUMP_INTR != 0;
                Answer::Message(Message { kind, body: message.payload(), is_interrupted })
            }
        };
        Some((message.sequence_number(), answer))
    }
}

/// The attributes in a payload, each with its kind; one that is not whole ends them.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        let payload = NLA_HEADER_SIZE..usize::from(attribute.length());
        Some((attribute.kind(), attribute.into_inner().get(payload)?))
    })
}

/// The payload of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// A word of a payload.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Text that ends with a zero.
pub(crate) fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_one_by_one_up_to_the_last() {
        let refused = -libc::ENOENT;
        let kind = libc::RTM_NEWTFILTER;
        let bytes =
            [message_bytes(kind, &[1; 5]), message_bytes(NLMSG_ERROR, &refused.to_ne_bytes())]
                .concat();
        let answers: Vec<Answer<'_>> = Answers(&bytes).map(|(_, answer)| answer).collect();
        let message = Message { kind, body: &[1; 5], is_interrupted: false };
        assert_eq!(answers, [Answer::Message(message), Answer::Last(refused)]);
    }

    #[test]
    fn an_answer_that_is_cut_or_lies_about_its_length_ends_them() {
        let whole = message_bytes(libc::RTM_NEWTFILTER, &[0; 20]);
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
        let two = [attribute_bytes(7, b"one\0"), attribute_bytes(9 | 0x8000, b"two")].concat();
        assert_eq!(attribute(&two, 9), Some(&b"two"[..]));
        assert_eq!(attribute(&two[..two.len() - 2], 9), None);
    }
}
