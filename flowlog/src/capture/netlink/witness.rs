//! The independent witness: what an interface itself has counted, asked of the kernel.

use std::io;

use flowlog_common::total::Count;

use super::{Netlink, Request, attribute};
use crate::record::epoch::Reading;

/// Reads the counters of interfaces, in the network namespace of the thread that opened it.
pub struct Witness(Option<Netlink>);

impl Witness {
    /// Opens one. Where that fails there is no witness, and nothing else is missing.
    #[must_use]
    pub fn open() -> Self {
        let opened = Netlink::open().map_err(|error| {
            tracing::warn!(
                "the ledger will lack the interfaces' own counters, which cannot be read: {error}"
            );
        });
        Self(opened.ok())
    }

    /// What an interface has counted since it was made, by direction; `None` where it is not there, or
    /// the kernel does not say.
    #[must_use]
    pub fn read(&self, kernel_index: u32) -> Option<Reading> {
        match read(self.0.as_ref()?, kernel_index) {
            Ok(reading) => reading,
            Err(error) => {
                tracing::debug!("the counters of interface {kernel_index} are not known: {error}");
                None
            }
        }
    }

    /// What it has counted since a reading; nothing where one of the two is not known.
    #[must_use]
    pub fn moved_since(&self, kernel_index: u32, reading: Option<Reading>) -> Reading {
        let both = reading.zip(self.read(kernel_index));
        both.and_then(|(from, to)| difference(from, to)).unwrap_or_default()
    }
}

/// `None` where a counter went back: it is that of another interface, or was reset.
pub fn difference(from: Reading, to: Reading) -> Option<Reading> {
    let of = |from: Count, to: Count| {
        Some(Count {
            packets: to.packets.checked_sub(from.packets)?,
            bytes: to.bytes.checked_sub(from.bytes)?,
        })
    };
    Some([of(from[0], to[0])?, of(from[1], to[1])?])
}

// linux/if_link.h, of which libc has no statistics.
const IFLA_STATS_LINK_64: u16 = 1;
/// Bytes of an `if_stats_msg`.
const IF_STATS_MSG_BYTES: usize = 12;

fn read(kernel: &Netlink, kernel_index: u32) -> io::Result<Option<Reading>> {
    // `if_stats_msg`: family and padding, index, filter.
    let filter = 1 << (IFLA_STATS_LINK_64 - 1);
    let request = Request::get(libc::RTM_GETSTATS).words(&[0, kernel_index, filter]);
    let mut reading = None;
    kernel.ask(request, |message| {
        reading = message
            .body
            .get(IF_STATS_MSG_BYTES..)
            .and_then(|attributes| attribute(attributes, IFLA_STATS_LINK_64))
            .and_then(parse);
    })?;
    Ok(reading)
}

/// From the beginning of `rtnl_link_stats64`: packets received and sent, bytes received and sent.
fn parse(counters: &[u8]) -> Option<Reading> {
    let number = |place: usize| {
        Some(u64::from_ne_bytes(*counters.get(place * size_of::<u64>()..)?.first_chunk()?))
    };
    // What an interface receives comes from its members.
    let up = Count { packets: number(0)?, bytes: number(2)? };
    let down = Count { packets: number(1)?, bytes: number(3)? };
    Some([up, down])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_counters_of_the_loopback_interface_move_with_a_packet() {
        let index = nix::net::if_::if_nametoindex("lo").unwrap();
        let witness = Witness::open();
        let Some([before, _]) = witness.read(index) else { panic!("no counters") };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[0; 100], socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 200]).unwrap();
        let [after, sent] = witness.read(index).unwrap();
        assert!(after.packets > before.packets && after.bytes >= before.bytes + 128);
        assert_eq!(after, sent, "what goes out of it comes in by it");
        assert_eq!(witness.read(u32::MAX >> 1), None);
    }

    #[test]
    fn counters_that_are_cut_are_none() {
        let counters: Vec<u8> = [1_u64, 2, 3, 4].iter().flat_map(|n| n.to_ne_bytes()).collect();
        let count = |packets, bytes| Count { packets, bytes };
        assert_eq!(parse(&counters), Some([count(1, 3), count(2, 4)]));
        assert_eq!(parse(&counters[..31]), None);
    }
}
