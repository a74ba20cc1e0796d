//! Telling the kernel program whom the profile `targeted` records, and when.

use std::net::IpAddr;

use aya::maps::{
    MapData,
    lpm_trie::{Key, LpmTrie},
};
use flowlog_common::policy::{Span, Spans};

use super::{Error, error::map_error};
use crate::record::{clock::Offset, policy::Target};

/// The targets in the kernel's maps.
///
/// The kernel program compares their dates with its own clock: an order ends on time although this
/// process should not live to see it.
pub struct Targets {
    pub(super) v4: LpmTrie<MapData, [u8; 4], Spans>,
    pub(super) v6: LpmTrie<MapData, [u8; 16], Spans>,
    pub(super) wanted: Vec<Target>,
}

impl Targets {
    /// Writes them as this offset between the clocks makes them; again where the clock was set.
    pub fn install(&mut self, offset: Offset) -> Result<(), Error> {
        for Target { prefix, periods } in &self.wanted {
            let mut spans = Spans::default();
            for (span, (from, to)) in spans.spans.iter_mut().zip(periods) {
                let [from, to] = [*from, *to].map(|bound| offset.monotonic(bound).ns());
                *span = Span { from_ns: from, to_ns: to };
            }
            let prefix = prefix.in_clear();
            let length = u32::from(prefix.prefix_len());
            match prefix.addr() {
                IpAddr::V4(ip) => self.v4.insert(&Key::new(length, ip.octets()), spans, 0),
                IpAddr::V6(ip) => self.v6.insert(&Key::new(length, ip.octets()), spans, 0),
            }
            .map_err(|source| map_error("TARGETS", source))?;
        }
        Ok(())
    }
}
