//! Merging runs: the rows of all of them, in the order of the flow table.

use std::{cmp::Ordering, collections::BinaryHeap, net::IpAddr};

use flowlog_common::flow::{FlowKey, detail};

use super::{
    Error,
    entry::Entry,
    longest_table,
    run::{Cursor, Run},
};
use crate::{
    aggregate::FlowRecord,
    encode::order::{self, MemberText},
};

/// What becomes of entries of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// They are of one window: one row.
    Combine,
    /// They are of several windows: a row each.
    Keep,
}

/// The entries of an IP version of several runs, in order.
pub struct Merge<const A: usize> {
    heads: BinaryHeap<Head<A>>,
    cursors: Vec<Cursor<A>>,
    same: Same,
}

struct Head<const A: usize> {
    member: MemberText,
    entry: Entry<A>,
    cursor: usize,
}

impl<const A: usize> Merge<A>
where
    IpAddr: From<[u8; A]>,
{
    /// Merges what these cursors give.
    pub fn new(mut cursors: Vec<Cursor<A>>, same: Same) -> Result<Self, Error> {
        let mut heads = BinaryHeap::with_capacity(cursors.len());
        for (cursor, entries) in cursors.iter_mut().enumerate() {
            if let Some(entry) = entries.next_entry()? {
                let member = MemberText::from(IpAddr::from(entry.key.member));
                heads.push(Head { member, entry, cursor });
            }
        }
        Ok(Self { heads, cursors, same })
    }

    /// The next entry; `None` behind the last one.
    pub fn next_entry(&mut self) -> Result<Option<Entry<A>>, Error> {
        let Some(mut next) = self.pop()? else { return Ok(None) };
        while self.same == Same::Combine
            && self.heads.peek().is_some_and(|head| head.entry.key == next.key)
            && let Some(other) = self.pop()?
        {
            next.activity.merge(&other.activity);
        }
        Ok(Some(next))
    }

    /// The text of the next entry's member.
    fn member(&self) -> Option<&MemberText> {
        self.heads.peek().map(|head| &head.member)
    }

    fn pop(&mut self) -> Result<Option<Entry<A>>, Error> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let popped = head.entry;
        match self.cursors[head.cursor].next_entry()? {
            Some(entry) => {
                if entry.key.member != popped.key.member {
                    head.member = MemberText::from(IpAddr::from(entry.key.member));
                }
                head.entry = entry;
            }
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        Ok(Some(popped))
    }
}

impl<const A: usize> Ord for Head<A> {
    /// Reversed: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.entry.key, &other.entry.key);
        let by_member =
            if a.member == b.member { Ordering::Equal } else { self.member.cmp(&other.member) };
        by_member
            .then_with(|| order::within_member(a, b))
            .then_with(|| self.entry.activity.start_ms.cmp(&other.entry.activity.start_ms))
            .then_with(|| self.cursor.cmp(&other.cursor))
            .reverse()
    }
}

impl<const A: usize> PartialOrd for Head<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const A: usize> PartialEq for Head<A> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<const A: usize> Eq for Head<A> {}

/// The rows of several runs, of both IP versions, in the order of the flow table.
pub struct Rows {
    interfaces: Vec<String>,
    v4: Merge<4>,
    v6: Merge<16>,
}

impl Rows {
    /// Merges runs.
    pub fn new(runs: &[Run], same: Same) -> Result<Self, Error> {
        let v4 = runs.iter().map(Run::v4).collect::<Result<_, _>>()?;
        let v6 = runs.iter().map(Run::v6).collect::<Result<_, _>>()?;
        Ok(Self {
            interfaces: longest_table(runs),
            v4: Merge::new(v4, same)?,
            v6: Merge::new(v6, same)?,
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

fn record<'a, const A: usize>(interfaces: &'a [String], entry: &Entry<A>) -> FlowRecord<'a>
where
    IpAddr: From<[u8; A]>,
{
    let FlowKey { member, remote, member_port, remote_port, interface, protocol, detail } =
        entry.key;
    FlowRecord {
        interface: interfaces.get(usize::from(interface)).map_or("", String::as_str),
        member: IpAddr::from(member),
        remote: (detail == detail::FULL).then(|| IpAddr::from(remote)),
        member_port: u16::from_be_bytes(member_port),
        remote_port: u16::from_be_bytes(remote_port),
        protocol,
        activity: entry.activity,
    }
}
