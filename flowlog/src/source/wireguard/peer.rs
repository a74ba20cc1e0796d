//! A peer, however it was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    record::{
        clock::Utc,
        redacted::Prefix,
        session::{Entry, EntryKey, Outer, PeerKey, Since, Source, State},
    },
    source::Error,
};

/// Keys of a tunnel are refused when they are so old (`REJECT_AFTER_TIME`).
const KEYS_LIVE: Duration = Duration::from_mins(3);
/// Most addresses of all peers of an interface.
const MOST_PREFIXES: usize = 1_000_000;

/// What an interface tells of a peer.
pub(super) struct Peer {
    pub(super) public_key: [u8; 32],
    pub(super) outer: Option<Outer>,
    /// `None`, or 1970, where there was none.
    pub(super) last_handshake: Option<Utc>,
    pub(super) bytes: [u64; 2],
    pub(super) prefixes: BTreeSet<Prefix>,
}

impl Peer {
    pub(super) fn new(public_key: [u8; 32]) -> Self {
        let prefixes = BTreeSet::new();
        Self { public_key, outer: None, last_handshake: None, bytes: [0; 2], prefixes }
    }

    fn entry(self, key: &PeerKey, at: Utc) -> Entry {
        let Self { public_key, outer, last_handshake, bytes, prefixes } = self;
        let mut text = [0; 44];
        // 32 bytes always give 44 characters.
        let length = STANDARD.encode_slice(public_key, &mut text).unwrap_or(0);
        let name = std::str::from_utf8(&text[..length]).unwrap_or_default();
        let key = EntryKey { peer: key.peer(Source::Wireguard, name), discriminator: 0 };
        let handshake = last_handshake.filter(|at| *at > Utc::from_ns(0));
        let (state, since) = match handshake {
            None => (State::Assigned, None),
            Some(begin) => {
                let end = begin.plus(KEYS_LIVE);
                if at < end {
                    (State::Tunnel, Some(Since { earliest: None, certain: begin }))
                } else {
                    (State::Assigned, Some(Since { earliest: Some(end), certain: end }))
                }
            }
        };
        Entry { key, state, since, until: None, prefixes, outer, bytes: Some(bytes) }
    }
}

/// The peers of an interface, as they come.
pub(super) struct Peers<'a> {
    key: &'a PeerKey,
    at: Utc,
    last: Option<Peer>,
    entries: BTreeMap<EntryKey, Entry>,
    prefixes: usize,
}

impl<'a> Peers<'a> {
    pub(super) const fn new(key: &'a PeerKey, at: Utc) -> Self {
        Self { key, at, last: None, entries: BTreeMap::new(), prefixes: 0 }
    }

    /// Begins with the next peer, unless it is the one before again.
    pub(super) fn begin(&mut self, public_key: [u8; 32]) -> Result<(), Error> {
        if self.last.as_ref().is_none_or(|last| last.public_key != public_key) {
            self.finish_last()?;
            self.last = Some(Peer::new(public_key));
        }
        Ok(())
    }

    /// The peer that it is about.
    pub(super) fn last(&mut self) -> Option<&mut Peer> {
        self.last.as_mut()
    }

    /// All of them that have addresses.
    pub(super) fn finish(mut self) -> Result<Vec<Entry>, Error> {
        self.finish_last()?;
        Ok(self.entries.into_values().collect())
    }

    fn finish_last(&mut self) -> Result<(), Error> {
        let Some(peer) = self.last.take().filter(|peer| !peer.prefixes.is_empty()) else {
            return Ok(());
        };
        self.prefixes += peer.prefixes.len();
        if self.prefixes > MOST_PREFIXES {
            return Err(Error::TooLong { limit: MOST_PREFIXES });
        }
        let entry = peer.entry(self.key, self.at);
        // An interface has a public key once: of two, nobody knows which one counts.
        match self.entries.insert(entry.key, entry) {
            Some(_) => Err(Error::Inconsistent),
            None => Ok(()),
        }
    }
}
