//! The filters that hang from a queueing discipline: unlike a link, a filter stays when its process
//! ends, and is found again in the kernel's list.

use std::{collections::HashSet, io};

use aya::programs::{
    ProgramError, TcAttachType,
    links::Link as _,
    tc::{SchedClassifierLink, TcError, TcHandle},
};
use flowlog_common::flow::Direction;

use super::{
    clsact::{EGRESS, INGRESS, TCMSG_BYTES, filters_request},
    netlink::{Message, Netlink, attribute, text, word},
};

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) direction: Direction,
    pub(super) priority: u16,
    handle: u32,
    /// The kernel's number of the program, which no other program gets; `None` where it is no program.
    pub(super) program: Option<u32>,
    /// The name that it was given; its kind where it is no program.
    pub(super) name: String,
}

impl Filter {
    /// Those of an interface whose programs are among these.
    pub(super) fn list_of(kernel_index: u32, programs: &HashSet<u32>) -> io::Result<Vec<Self>> {
        let mut filters = Self::list(kernel_index)?;
        filters.retain(|filter| filter.program.is_some_and(|program| programs.contains(&program)));
        Ok(filters)
    }

    /// All of an interface.
    pub(super) fn list(kernel_index: u32) -> io::Result<Vec<Self>> {
        let kernel = Netlink::open()?;
        let mut filters = vec![];
        for direction in Direction::ALL {
            filters.extend(Self::at(&kernel, kernel_index, direction)?);
        }
        Ok(filters)
    }

    /// Those at a hook of an interface, in the order in which they run.
    pub(super) fn at(
        kernel: &Netlink,
        kernel_index: u32,
        direction: Direction,
    ) -> io::Result<Vec<Self>> {
        let hook = match direction {
            Direction::Up => INGRESS,
            Direction::Down => EGRESS,
        };
        let mut filters: Vec<Self> = vec![];
        kernel.ask(filters_request(kernel_index, hook), |message| {
            let Some(filter) = Self::parse(direction, &message) else { return };
            // One that is no program is told in several parts.
            let is_known = |known: &Self| {
                filter.program.is_none()
                    && known.priority == filter.priority
                    && known.name == filter.name
            };
            if !filters.iter().any(is_known) {
                filters.push(filter);
            }
        })?;
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
        let body = message.body();
        let (handle, priority) = (word(body, 8)?, u16::try_from(word(body, 16)? >> 16).ok()?);
        let attributes = body.get(TCMSG_BYTES..)?;
        // The walk begins with the first chain; what is in another, a filter of this one goes to.
        if attribute(attributes, libc::TCA_CHAIN).and_then(|chain| word(chain, 0)).unwrap_or(0) != 0
        {
            return None;
        }
        let kind = text(attribute(attributes, libc::TCA_KIND)?);
        if kind != b"bpf" {
            let name = String::from_utf8_lossy(kind).into_owned();
            return Some(Self { direction, priority, handle, program: None, name });
        }
        let options = attribute(attributes, libc::TCA_OPTIONS)?;
        let program = Some(word(attribute(options, TCA_BPF_ID)?, 0)?);
        let name = text(attribute(options, TCA_BPF_NAME).unwrap_or_default());
        let name = String::from_utf8_lossy(name).into_owned();
        Some(Self { direction, priority, handle, program, name })
    }
}

// linux/pkt_cls.h, which libc lacks.
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::netlink::{HEADER_BYTES, tests::attribute_of};

    fn message(kind: &[u8], program: &[u8]) -> Vec<u8> {
        let options =
            [attribute_of(TCA_BPF_NAME, b"up_l3\0"), attribute_of(TCA_BPF_ID, program)].concat();
        let mut bytes = vec![0; HEADER_BYTES];
        for word in [0, 7, 0x1234_0001, INGRESS, 5 << 16] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(attribute_of(libc::TCA_KIND, kind));
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
            program: Some(99),
            name: "up_l3".to_owned(),
        };
        assert_eq!(parsed(&message(b"bpf\0", &99_u32.to_ne_bytes())), Some(expected.clone()));
        let other = Filter { program: None, name: "u32".to_owned(), ..expected };
        assert_eq!(parsed(&message(b"u32\0", &[])), Some(other));
    }

    #[test]
    fn a_message_that_is_cut_or_lies_about_its_lengths_is_no_filter() {
        let whole = message(b"bpf\0", &99_u32.to_ne_bytes());
        for length in 0..whole.len() {
            assert_eq!(parsed(&whole[..length]), None, "{length}");
        }
    }
}
