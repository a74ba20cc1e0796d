//! The filters that hang from a queueing discipline: unlike a link, a filter stays when its process
//! ends, and is found again in the kernel's list.

use std::{
    collections::HashSet,
    io,
    mem::offset_of,
    os::fd::{AsFd, AsRawFd as _},
};

use aya_obj::generated::{self, TCA_BPF_FLAG_ACT_DIRECT, tcmsg as TcMessage};
use flowlog_common::flow::Direction;

use super::{
    Message, Netlink, Request, attribute,
    clsact::{EGRESS, INGRESS, TCMSG_BYTES, filters_request},
    text, word,
};

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Filter {
    pub(in crate::capture) direction: Direction,
    pub(in crate::capture) priority: u16,
    handle: u32,
    /// The kernel's number of the program, which no other program gets; `None` where it is no program.
    pub(in crate::capture) program: Option<u32>,
    /// The name that it was given; its kind where it is no program.
    pub(in crate::capture) name: String,
}

impl Filter {
    /// Those of an interface whose programs are among these.
    pub(in crate::capture) fn list_of(
        kernel_index: u32,
        programs: &HashSet<u32>,
    ) -> io::Result<Vec<Self>> {
        let mut filters = Self::list(kernel_index)?;
        filters.retain(|filter| filter.program.is_some_and(|program| programs.contains(&program)));
        Ok(filters)
    }

    /// All of an interface.
    pub(in crate::capture) fn list(kernel_index: u32) -> io::Result<Vec<Self>> {
        let kernel = Netlink::open()?;
        let mut filters = vec![];
        for direction in Direction::ALL {
            filters.extend(Self::at(&kernel, kernel_index, direction)?);
        }
        Ok(filters)
    }

    /// Those at a hook of an interface, in the order in which they run.
    pub(in crate::capture) fn at(
        kernel: &Netlink,
        kernel_index: u32,
        direction: Direction,
    ) -> io::Result<Vec<Self>> {
        let mut filters: Vec<Self> = vec![];
        kernel.ask(filters_request(kernel_index, parent(direction)), |message| {
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

    /// Hangs a program from a hook, with a preference of its own or, where it is zero, one before all
    /// others.
    pub(in crate::capture) fn attach(
        kernel: &Netlink,
        kernel_index: u32,
        direction: Direction,
        priority: u16,
        program: &Program<impl AsFd>,
    ) -> io::Result<Self> {
        let request = Request::create(libc::RTM_NEWTFILTER);
        let request = request.words(&tcmsg(kernel_index, direction, priority, 0));
        kernel.ask(program.describe(request), |_| {})?;
        // The kernel has given it a number, and a preference where it was to.
        let filters = Self::at(kernel, kernel_index, direction)?;
        let is_it = |filter: &Self| filter.program == Some(program.id);
        filters.into_iter().find(is_it).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Puts another program in its place.
    pub(in crate::capture) fn replace(
        &mut self,
        kernel: &Netlink,
        kernel_index: u32,
        program: &Program<impl AsFd>,
    ) -> io::Result<()> {
        let request = Request::change(libc::RTM_NEWTFILTER).words(&self.tcmsg(kernel_index));
        kernel.ask(program.describe(request), |_| {})?;
        self.program = Some(program.id);
        program.name.clone_into(&mut self.name);
        Ok(())
    }

    /// Removes it.
    pub(in crate::capture) fn remove(&self, kernel: &Netlink, kernel_index: u32) -> io::Result<()> {
        let request = Request::change(libc::RTM_DELTFILTER).words(&self.tcmsg(kernel_index));
        kernel.ask(request.attribute(libc::TCA_KIND, b"bpf\0"), |_| {})
    }

    fn tcmsg(&self, kernel_index: u32) -> [u32; 5] {
        tcmsg(kernel_index, self.direction, self.priority, self.handle)
    }

    /// From a message that answers: `tcmsg` and its attributes.
    fn parse(direction: Direction, message: &Message<'_>) -> Option<Self> {
        if message.kind != libc::RTM_NEWTFILTER {
            return None;
        }
        let body = message.body;
        let handle = word(body, offset_of!(TcMessage, tcm_handle))?;
        let information = word(body, offset_of!(TcMessage, tcm_info))?;
        let priority = u16::try_from(information >> 16).ok()?;
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

/// A program to hang from a hook.
pub(in crate::capture) struct Program<F> {
    pub(in crate::capture) fd: F,
    /// The kernel's number of it.
    pub(in crate::capture) id: u32,
    pub(in crate::capture) name: &'static str,
}

impl<F: AsFd> Program<F> {
    fn describe(&self, request: Request) -> Request {
        let fd = self.fd.as_fd().as_raw_fd().to_ne_bytes();
        let name = [self.name.as_bytes(), &[0]].concat();
        // The program's verdict is the filter's.
        let flags = TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes();
        let options =
            [(TCA_BPF_FD, &fd[..]), (TCA_BPF_NAME, &name[..]), (TCA_BPF_FLAGS, &flags[..])];
        request.attribute(libc::TCA_KIND, b"bpf\0").nested(libc::TCA_OPTIONS, &options)
    }
}

const fn parent(direction: Direction) -> u32 {
    match direction {
        Direction::Up => INGRESS,
        Direction::Down => EGRESS,
    }
}

fn tcmsg(kernel_index: u32, direction: Direction, priority: u16, handle: u32) -> [u32; 5] {
    let protocol = ETH_P_ALL.to_be();
    let information = u32::from(priority) << 16 | u32::from(protocol);
    [0, kernel_index, handle, parent(direction), information]
}

/// Frames of every protocol.
const ETH_P_ALL: u16 = 3;
// linux/pkt_cls.h: attributes have kinds of 16 bits, and the generated constants 32.
const TCA_BPF_FD: u16 = kind(generated::TCA_BPF_FD);
const TCA_BPF_NAME: u16 = kind(generated::TCA_BPF_NAME);
const TCA_BPF_FLAGS: u16 = kind(generated::TCA_BPF_FLAGS);
const TCA_BPF_ID: u16 = kind(generated::TCA_BPF_ID);

#[expect(clippy::cast_possible_truncation, reason = "the kernel has fewer than a hundred kinds")]
const fn kind(generated: u32) -> u16 {
    generated as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute_bytes;

    fn message(kind: &[u8], program: &[u8]) -> Vec<u8> {
        let options =
            [attribute_bytes(TCA_BPF_NAME, b"up_l3\0"), attribute_bytes(TCA_BPF_ID, program)]
                .concat();
        let mut bytes = vec![];
        for word in [0, 7, 0x1234_0001, INGRESS, 5 << 16] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(attribute_bytes(libc::TCA_KIND, kind));
        // As the kernel marks an attribute of attributes.
        bytes.extend(attribute_bytes(libc::TCA_OPTIONS | 0x8000, &options));
        bytes
    }

    fn parsed(bytes: &[u8]) -> Option<Filter> {
        Filter::parse(
            Direction::Up,
            &Message { kind: libc::RTM_NEWTFILTER, body: bytes, is_interrupted: false },
        )
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
