//! Merging runs: the rows of all of them, in the order of the flow table.

pub mod runs;

use std::{cmp::Ordering, net::IpAddr};

use flowlog_common::flow::{FlowKey, detail};

use super::{
    Error,
    entry::Entry,
    longest_table,
    run::{Cursor, Run},
};
use crate::record::{
    flow::FlowRecord,
    order::{self, MemberText},
};

/// What becomes of several entries of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// They are of one window: one row.
    Merge,
    /// They are of several windows: a row each.
    KeepBoth,
}

/// The entries of an IP version of several runs, in order.
pub struct Merge<const A: usize> {
    heads: Vec<Head<A>>,
    /// Places among the heads, as a heap: the first one is the least. Heads are too large to be moved.
    heap: Vec<u32>,
    duplicates: Duplicates,
}

/// The next entry of a run.
struct Head<const A: usize> {
    member: MemberText,
    rank: u128,
    entry: Entry<A>,
    cursor: Cursor<A>,
}

impl<const A: usize> Merge<A>
where
    IpAddr: From<[u8; A]>,
{
    /// Merges what these cursors give.
    pub fn new(cursors: Vec<Cursor<A>>, duplicates: Duplicates) -> Result<Self, Error> {
        let mut heads = Vec::with_capacity(cursors.len());
        for mut cursor in cursors {
            if let Some(entry) = cursor.next_entry()? {
                let member = MemberText::from(IpAddr::from(entry.key.member));
                heads.push(Head { member, rank: order::rank(&entry.key), entry, cursor });
            }
        }
        let heap = (0..).take(heads.len()).collect();
        let mut merge = Self { heads, heap, duplicates };
        (0..merge.heap.len() / 2).rev().for_each(|place| merge.sift_down(place));
        Ok(merge)
    }

    /// The next entry; `None` behind the last one.
    pub fn next_entry(&mut self) -> Result<Option<Entry<A>>, Error> {
        let Some(mut next) = self.pop()? else { return Ok(None) };
        while self.duplicates == Duplicates::Merge
            && self.least().is_some_and(|head| head.entry.key == next.key)
            && let Some(other) = self.pop()?
        {
            next.activity.merge(&other.activity);
        }
        Ok(Some(next))
    }

    /// The text of the next entry's member.
    fn member(&self) -> Option<&MemberText> {
        self.least().map(|head| &head.member)
    }

    fn least(&self) -> Option<&Head<A>> {
        self.heads.get(*self.heap.first()? as usize)
    }

    fn pop(&mut self) -> Result<Option<Entry<A>>, Error> {
        let Some(least) = self.heap.first() else { return Ok(None) };
        let Some(head) = self.heads.get_mut(*least as usize) else { return Ok(None) };
        let popped = head.entry;
        if let Some(entry) = head.cursor.next_entry()? {
            if entry.key.member != popped.key.member {
                head.member = MemberText::from(IpAddr::from(entry.key.member));
            }
            head.rank = order::rank(&entry.key);
            head.entry = entry;
        } else {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(Some(popped))
    }

    /// Moves the head at a place of the heap down to where it belongs.
    fn sift_down(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let [first, second] = children.map(|child| self.head(child));
            let (Some(parent), Some(first)) = (self.head(place), first) else { return };
            let (child, least) = match second {
                Some(second) if is_before(second, first) => (children[1], second),
                _ => (children[0], first),
            };
            if !is_before(least, parent) {
                return;
            }
            self.heap.swap(place, child);
            place = child;
        }
    }

    fn head(&self, place: usize) -> Option<(u32, &Head<A>)> {
        let head = *self.heap.get(place)?;
        Some((head, self.heads.get(head as usize)?))
    }
}

/// Whether a head comes before another one; of equal ones, the one of the earlier run.
fn is_before<const A: usize>(
    (place, one): (u32, &Head<A>),
    (other_place, other): (u32, &Head<A>),
) -> bool {
    let by_member = if one.entry.key.member == other.entry.key.member {
        Ordering::Equal
    } else {
        one.member.cmp(&other.member)
    };
    let order = by_member
        .then_with(|| one.rank.cmp(&other.rank))
        .then_with(|| order::within_member(&one.entry.key, &other.entry.key))
        .then_with(|| one.entry.activity.start_ms.cmp(&other.entry.activity.start_ms))
        .then_with(|| place.cmp(&other_place));
    order == Ordering::Less
}

/// The rows of several runs, of both IP versions, in the order of the flow table.
pub struct Rows {
    interfaces: Vec<String>,
    v4: Merge<4>,
    v6: Merge<16>,
}

impl Rows {
    /// Merges runs.
    pub fn new(runs: &[Run], duplicates: Duplicates) -> Result<Self, Error> {
        let (v4, v6) = cursors(runs)?;
        Ok(Self {
            interfaces: longest_table(runs),
            v4: Merge::new(v4, duplicates)?,
            v6: Merge::new(v6, duplicates)?,
        })
    }

    /// Hands the next row to `with`; false behind the last one.
    pub fn next_row<E: From<Error>>(
        &mut self,
        with: impl FnOnce(&FlowRecord<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let is_v4 = match (self.v4.member(), self.v6.member()) {
            (None, None) => return Ok(false),
            (Some(v4), Some(v6)) => v4 <= v6,
            (v4, _) => v4.is_some(),
        };
        let Self { interfaces, v4, v6 } = self;
        if is_v4 {
            v4.next_entry()?.map_or(Ok(()), |entry| with(&record(interfaces, &entry)))?;
        } else {
            v6.next_entry()?.map_or(Ok(()), |entry| with(&record(interfaces, &entry)))?;
        }
        Ok(true)
    }
}

/// The entries of each run, of both IP versions.
fn cursors(runs: &[Run]) -> Result<(Vec<Cursor<4>>, Vec<Cursor<16>>), Error> {
    Ok(runs.iter().map(Run::cursors).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

fn record<'a, const A: usize>(interfaces: &'a [String], entry: &Entry<A>) -> FlowRecord<'a>
where
    IpAddr: From<[u8; A]>,
{
    let FlowKey { member, remote, member_port, remote_port, interface, protocol, detail } =
        entry.key;
    FlowRecord {
        interface: interfaces.get(usize::from(interface)).map_or("", String::as_str),
        member: IpAddr::from(member).into(),
        remote: (detail == detail::FULL).then(|| IpAddr::from(remote).into()),
        member_port: u16::from_be_bytes(member_port),
        remote_port: u16::from_be_bytes(remote_port),
        protocol,
        activity: entry.activity,
    }
}
