//! The order of the rows in a file of `flows`.
//!
//! By the text of the member's address, since statistics of a text column prune only where it is
//! sorted as text; then by protocol, remote port, remote address, member port and interface, which
//! puts beside each other what compresses well; rows of one flow by their start. ADR 11 has the
//! measurements.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use flowlog_common::flow::FlowKey;
use hashbrown::HashMap;

use super::address::Text;
use crate::record::flow::FlowRecord;

/// Place of a member among others: the order of the texts, of either family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberText([u64; 5]);

impl From<IpAddr> for MemberText {
    fn from(member: IpAddr) -> Self {
        let text = Text::from(member);
        let (words, _) = text.padded().as_chunks::<8>();
        let mut places = [0; 5];
        for (place, word) in places.iter_mut().zip(words) {
            *place = u64::from_be_bytes(*word);
        }
        Self(places)
    }
}

/// Order of the flows of one member.
///
/// A merge of sorted runs compares [`MemberText`] first, which it need compute only where the
/// member changes.
#[must_use]
pub fn within_member<const A: usize>(one: &FlowKey<A>, other: &FlowKey<A>) -> Ordering {
    let place = |key: &FlowKey<A>| {
        // Destructured, so that no part of a key can be forgotten.
        let FlowKey { member: _, remote, member_port, remote_port, interface, protocol, detail } =
            *key;
        (protocol, remote_port, remote, member_port, interface, detail)
    };
    place(one).cmp(&place(other))
}

/// The file order of keys, as indexes into them; there are fewer than 2^32.
///
/// Members are told apart by their bytes and only their order is that of texts, so that no text is
/// made or compared for a flow.
#[must_use]
pub fn permutation<const A: usize>(keys: &[FlowKey<A>]) -> Vec<u32>
where
    IpAddr: From<[u8; A]>,
{
    let groups = Groups::new(keys);
    let mut places = groups.scatter(keys);
    let mut rest = places.as_mut_slice();
    for size in groups.sizes_in_order() {
        let Some((group, others)) = rest.split_at_mut_checked(size as usize) else { break };
        group.sort_unstable_by(|one, other| {
            let by_leading = (one >> INDEX_BITS).cmp(&(other >> INDEX_BITS));
            by_leading.then_with(|| match (keys.get(index(*one)), keys.get(index(*other))) {
                (Some(one_key), Some(other_key)) => within_member(one_key, other_key)
                    // Equal keys stay as they were, so that the order depends on nothing else.
                    .then(one.cmp(other)),
                _ => Ordering::Equal,
            })
        });
        rest = others;
    }
    places.into_iter().map(low_bits).collect()
}

/// The flows of each member, numbered as the members come.
struct Groups {
    /// By flow.
    group_of: Vec<u32>,
    /// By group: how many flows.
    sizes: Vec<u32>,
    /// Groups in the order of their texts.
    order: Vec<u32>,
}

impl Groups {
    fn new<const A: usize>(keys: &[FlowKey<A>]) -> Self
    where
        IpAddr: From<[u8; A]>,
    {
        let mut numbers: HashMap<[u8; A], u32> = HashMap::new();
        let mut members = vec![];
        let mut sizes: Vec<u32> = vec![];
        let group_of = keys.iter().map(|key| {
            // There are no more members than flows, which an index of 32 bits counts.
            let next = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
            let group = *numbers.entry(key.member).or_insert(next);
            if let Some(size) = sizes.get_mut(group as usize) {
                *size += 1;
            } else {
                sizes.push(1);
                members.push((MemberText::from(IpAddr::from(key.member)), group));
            }
            group
        });
        let group_of = group_of.collect();
        members.sort_unstable();
        Self { group_of, sizes, order: members.into_iter().map(|(_, group)| group).collect() }
    }

    fn sizes_in_order(&self) -> impl Iterator<Item = u32> {
        self.order.iter().filter_map(|group| self.sizes.get(*group as usize).copied())
    }

    /// The places of the flows, those of a group beside each other, groups in their order.
    fn scatter<const A: usize>(&self, keys: &[FlowKey<A>]) -> Vec<u128> {
        let mut next = vec![0; self.sizes.len()];
        let mut begin = 0;
        for (group, size) in self.order.iter().zip(self.sizes_in_order()) {
            if let Some(next) = next.get_mut(*group as usize) {
                *next = begin;
            }
            begin += size;
        }
        let mut places = vec![0; keys.len()];
        for ((key, group), flow) in keys.iter().zip(&self.group_of).zip(0_u32..) {
            let Some(next) = next.get_mut(*group as usize) else { continue };
            if let Some(place) = places.get_mut(*next as usize) {
                *place = rank(key) | u128::from(flow);
            }
            *next += 1;
        }
        places
    }
}

const INDEX_BITS: u32 = u32::BITS;

/// The first 96 bits by which flows of a member are ordered, all of them for IPv4, and room for an
/// index below.
pub fn rank<const A: usize>(key: &FlowKey<A>) -> u128 {
    const { assert!(A <= 16, "an address") };
    let mut bytes = [0; 24];
    bytes[0] = key.protocol;
    bytes[1..3].copy_from_slice(&key.remote_port);
    bytes[3..3 + A].copy_from_slice(&key.remote);
    bytes[3 + A..5 + A].copy_from_slice(&key.member_port);
    bytes[5 + A..7 + A].copy_from_slice(&key.interface.to_be_bytes());
    bytes[7 + A] = key.detail;
    let [first, ..] = bytes.as_chunks::<12>().0 else { return 0 };
    let mut word = [0; 16];
    word[..12].copy_from_slice(first);
    u128::from_be_bytes(word)
}

fn low_bits(place: u128) -> u32 {
    let [.., a, b, c, d] = place.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn index(place: u128) -> usize {
    low_bits(place) as usize
}

/// Rows in the order of a file.
pub fn sorted<'r, 'a>(
    records: &'r mut [FlowRecord<'a>],
) -> impl Iterator<Item = &'r FlowRecord<'a>> + use<'r, 'a> {
    records.sort_unstable_by(|one, other| {
        one.member.cmp(&other.member).then_with(|| record_place(one).cmp(&record_place(other)))
    });
    let mut members: Vec<_> = records
        .chunk_by(|one, other| one.member == other.member)
        .filter_map(|rows| Some((MemberText::from(*rows.first()?.member.in_clear()), rows)))
        .collect();
    members.sort_unstable_by_key(|(text, _)| *text);
    members.into_iter().flat_map(|(_, rows)| rows)
}

/// The order of a member's keys ([`within_member`]) and start, as far as a row tells it.
fn record_place<'a>(record: &FlowRecord<'a>) -> impl Ord + use<'a> {
    let FlowRecord { member, remote, member_port, remote_port, interface, protocol, activity } =
        *record;
    let unknown = if member.in_clear().is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let key = (protocol, remote_port, remote.unwrap_or(unknown), member_port, interface);
    (key, remote.is_none(), activity.start_ms)
}

#[cfg(test)]
mod tests;
