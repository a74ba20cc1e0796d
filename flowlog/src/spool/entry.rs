//! A flow as it lies in a run: its key and what it did, in a fixed number of bytes.

use flowlog_common::flow::{Direction, FlowKey};

use crate::record::flow::Activity;

/// A flow and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<const A: usize> {
    /// The flow. Its interface is a place in the run's table of names.
    pub key: FlowKey<A>,
    /// What it did.
    pub activity: Activity,
}

/// Ports, interface, protocol and detail.
const REST_OF_KEY: usize = 8;
const ACTIVITY: usize = 52;

impl<const A: usize> Entry<A> {
    /// Bytes of an entry in a file.
    pub const SIZE: usize = 2 * A + REST_OF_KEY + ACTIVITY;

    /// Appends its bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        // Destructured, so that a new field cannot be forgotten.
        let FlowKey { member, remote, member_port, remote_port, interface, protocol, detail } =
            self.key;
        let Activity {
            start_ms,
            end_ms,
            packets_up,
            bytes_up,
            packets_down,
            bytes_down,
            tcp_flags_up,
            tcp_flags_down,
            partial,
            initiator,
        } = self.activity;
        to.extend_from_slice(&member);
        to.extend_from_slice(&remote);
        to.extend_from_slice(&member_port);
        to.extend_from_slice(&remote_port);
        to.extend_from_slice(&interface.to_le_bytes());
        to.extend_from_slice(&[protocol, detail]);
        for time in [start_ms, end_ms] {
            to.extend_from_slice(&time.to_le_bytes());
        }
        for count in [packets_up, bytes_up, packets_down, bytes_down] {
            to.extend_from_slice(&count.to_le_bytes());
        }
        to.extend_from_slice(&[tcp_flags_up, tcp_flags_down, partial, initiator as u8]);
    }

    /// The entry that these bytes are; there must be [`Self::SIZE`] of them.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let key = FlowKey {
            member: bytes.take()?,
            remote: bytes.take()?,
            member_port: bytes.take()?,
            remote_port: bytes.take()?,
            interface: u16::from_le_bytes(bytes.take()?),
            protocol: bytes.byte()?,
            detail: bytes.byte()?,
        };
        let activity = Activity {
            start_ms: i64::from_le_bytes(bytes.take()?),
            end_ms: i64::from_le_bytes(bytes.take()?),
            packets_up: u64::from_le_bytes(bytes.take()?),
            bytes_up: u64::from_le_bytes(bytes.take()?),
            packets_down: u64::from_le_bytes(bytes.take()?),
            bytes_down: u64::from_le_bytes(bytes.take()?),
            tcp_flags_up: bytes.byte()?,
            tcp_flags_down: bytes.byte()?,
            partial: bytes.byte()?,
            initiator: match bytes.byte()? {
                0 => Direction::Up,
                _ => Direction::Down,
            },
        };
        Some(Self { key, activity })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = Entry::<4> {
            key: FlowKey {
                member: [10, 0, 0, 7],
                remote: [192, 0, 2, 1],
                member_port: [1, 2],
                remote_port: [3, 4],
                interface: 513,
                protocol: 6,
                detail: 2,
            },
            activity: Activity {
                start_ms: -5,
                end_ms: i64::MAX,
                packets_up: 1,
                bytes_up: u64::MAX,
                packets_down: 3,
                bytes_down: 4,
                tcp_flags_up: 5,
                tcp_flags_down: 6,
                partial: 7,
                initiator: Direction::Down,
            },
        };
        let mut bytes = vec![];
        entry.write(&mut bytes);
        assert_eq!(bytes.len(), Entry::<4>::SIZE);
        assert_eq!(Entry::read(&bytes), Some(entry));
        assert_eq!(Entry::<4>::read(&bytes[1..]), None);
    }
}
