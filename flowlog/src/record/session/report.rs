//! The reports of a source: which sessions there are at an instant, or that one began or ended.
//!
//! Sources make them, and the tracker of sessions makes rows of them. A report is about one instance.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{super::clock::Utc, EndReason, Instance, Outer, Peer, State};
use crate::record::redacted::Prefix;

/// A report of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The source.
    pub instance: Instance,
    /// The space of its addresses.
    pub realm: String,
    /// The instant of which it tells: that of the question, or the one that the source wrote into it.
    pub at: Utc,
    /// The end of the answer to a question, else the same instant. The source looked at itself between the two: what goes on
    /// is certain up to the first, and what is new from the second on.
    pub answered: Utc,
    /// Its content.
    pub content: Content,
    /// How far apart its answers may be, where it gives them by itself and not whenever it is asked.
    pub apart: Option<Duration>,
    /// Given to its source once it is written down.
    pub receipt: Receipt,
}

/// What counts the reports of a source that were written down: their notes can go then.
#[derive(Clone, Debug, Default)]
pub struct Receipt(Arc<AtomicU64>);

impl Receipt {
    /// One more report is written down.
    pub fn give(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// How many are.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// It is nothing that a report tells.
impl PartialEq for Receipt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Receipt {}

/// The content of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All sessions at the instant: one that is not in the list is over.
    Listing(Vec<Entry>),
    /// A session began, or its addresses changed: the entry is the whole of it.
    Began(Entry),
    /// A session ended.
    Ended {
        /// Whose it was.
        key: EntryKey,
        /// Why.
        reason: EndReason,
        /// Bytes from and to the member in the whole session, where they are known.
        bytes: Option<[u64; 2]>,
    },
    /// The source is there and has nothing new: whatever was open goes on.
    Unchanged,
    /// The source could not be looked at, or its answer could not be read.
    Failed {
        /// Whether it gave an answer.
        is_answered: bool,
    },
    /// The interface, the server or the file is gone for good, or is not configured any more.
    Gone,
}

/// What tells the sessions of an instance from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The peer.
    pub peer: Peer,
    /// What tells the sessions of one peer from each other; zero where it has one at a time. It is the same in each
    /// report of a session, from whichever part of the source that comes, and after a restart of the daemon.
    pub discriminator: u64,
}

/// A session, as a source tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub key: EntryKey,
    /// Whether it can send.
    pub state: State,
    /// When this state began by the source's own account; `None` where the source does not know.
    pub since: Option<Since>,
    /// When it ends, where the source knows that already.
    pub until: Option<Utc>,
    /// Its addresses.
    pub prefixes: BTreeSet<Prefix>,
    /// Where its tunnel ends outside.
    pub outer: Option<Outer>,
    /// Bytes from and to the member so far.
    pub bytes: Option<[u64; 2]>,
}

/// When something began, as a source tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The earliest instant that is possible; `None` where the source knows none.
    pub earliest: Option<Utc>,
    /// From here on it is certain.
    pub certain: Utc,
}
