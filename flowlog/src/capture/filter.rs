//! The filters that hang from a clsact queueing discipline: unlike a link, a filter stays when its
//! process ends, and is found again in the kernel's list.

use std::{collections::HashSet, io};

use aya::programs::{
    ProgramError, TcAttachType,
    links::Link as _,
    tc::{SchedClassifierLink, TcError, TcHandle},
};
use flowlog_common::flow::Direction;

use super::clsact::{EGRESS, HEADER_BYTES, INGRESS, Message, ask, filters_request};

/// A filter that is a kernel program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) direction: Direction,
    priority: u16,
    handle: u32,
    /// The kernel's number of the program, which no other program gets.
    pub(super) program: u32,
    /// The name that it was given.
    pub(super) name: String,
}

impl Filter {
    /// Those of an interface whose programs are among these.
    pub(super) fn list_of(kernel_index: u32, programs: &HashSet<u32>) -> io::Result<Vec<Self>> {
        let mut filters = Self::list(kernel_index)?;
        filters.retain(|filter| programs.contains(&filter.program));
        Ok(filters)
    }

    /// All of an interface.
    pub(super) fn list(kernel_index: u32) -> io::Result<Vec<Self>> {
        let mut filters = vec![];
        for (direction, hook) in [(Direction::Up, INGRESS), (Direction::Down, EGRESS)] {
            ask(&filters_request(kernel_index, hook)?, |message| {
                filters.extend(Self::parse(direction, &message));
            })?;
        }
        Ok(filters)
    }

    /// As aya knows it, on an interface of this name.
    pub(super) fn link(&self, interface: &str) -> io::Result<SchedClassifierLink> {
        let hook = match self.direction {
            Direction::Up => TcAttachType::Ingress,
            Direction::Down => TcAttachType::Egress,
        };
        let handle = TcHandle::from(self.handle);
        SchedClassifierLink::attached(interface, hook, self.priority, handle, None)
    }

    /// Removes it from an interface of this name.
    pub(super) fn remove(&self, interface: &str) -> Result<(), ProgramError> {
        self.link(interface).map_err(TcError::IoError)?.detach()
    }

    /// From a message that answers: `nlmsghdr`, `tcmsg` and its attributes.
    fn parse(direction: Direction, message: &Message<'_>) -> Option<Self> {
        if message.kind != libc::RTM_NEWTFILTER {
            return None;
        }
        let body = message.bytes.get(HEADER_BYTES..)?;
        let word = |at: usize| Some(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?));
        let (handle, priority) = (word(8)?, u16::try_from(word(16)? >> 16).ok()?);
        let attributes = body.get(TCMSG_BYTES..)?;
        if attribute(attributes, libc::TCA_KIND)? != b"bpf\0" {
            return None;
        }
        let options = attribute(attributes, libc::TCA_OPTIONS)?;
        let program = u32::from_ne_bytes(*attribute(options, TCA_BPF_ID)?.first_chunk()?);
        let name = attribute(options, TCA_BPF_NAME).unwrap_or_default();
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        Some(Self { direction, priority, handle, program, name })
    }
}

const TCMSG_BYTES: usize = 20;
// linux/pkt_cls.h, which libc lacks.
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
/// What is left of an attribute's kind without its flags.
const KIND_MASK: u16 = 0x3fff;

/// The payload of an attribute.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & KIND_MASK;
        let payload = bytes.get(4..length)?;
        if kind == wanted {
            return Some(payload);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + payload.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(program: &[u8]) -> Vec<u8> {
        let options =
            [attribute_of(TCA_BPF_NAME, b"up_l3\0"), attribute_of(TCA_BPF_ID, program)].concat();
        let mut bytes = vec![0; HEADER_BYTES];
        for word in [0, 7, 0x1234_0001, INGRESS, 5 << 16] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(attribute_of(libc::TCA_KIND, b"bpf\0"));
        // As the kernel marks an attribute of attributes.
        bytes.extend(attribute_of(libc::TCA_OPTIONS | 0x8000, &options));
        bytes
    }

    fn parsed(bytes: &[u8]) -> Option<Filter> {
        Filter::parse(Direction::Up, &Message { kind: libc::RTM_NEWTFILTER, bytes })
    }

    #[test]
    fn a_filter_is_known_by_its_program_and_found_by_preference_and_handle() {
        let expected = Filter {
            direction: Direction::Up,
            priority: 5,
            handle: 0x1234_0001,
            program: 99,
            name: "up_l3".to_owned(),
        };
        assert_eq!(parsed(&message(&99_u32.to_ne_bytes())), Some(expected));
    }

    #[test]
    fn a_message_that_is_cut_or_lies_about_its_lengths_is_no_filter() {
        let whole = message(&99_u32.to_ne_bytes());
        for length in 0..whole.len() {
            assert_eq!(parsed(&whole[..length]), None, "{length}");
        }
        assert_eq!(attribute(&[0; 64], 1), None);
        assert_eq!(attribute(&[0xff; 64], 1), None);
    }
}
