//! Who held an address: the rows of the `sessions` table, and of `coverage`, which tells when somebody looked.
//!
//! A row claims the time that was confirmed, and beside it, as slack, the time that is only possible. What is
//! learnt later adds rows; it contradicts none.

mod coverage;
mod names;
mod peer_key;
mod report;
mod slice;

use std::{fmt, str::FromStr};

pub use coverage::{CoverageGap, CoverageReason, CoverageRow};
pub use names::{EndReason, Source, State};
pub use peer_key::{BadKey, PeerKey};
pub use report::{Content, Entry, EntryKey, Receipt, Report, Since};
use sha2::{Digest as _, Sha256};

use super::{
    clock::Utc,
    redacted::{Address, Prefix, Redacted},
};

/// What told of a session: a kind of source, and its interface, server or file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// The kind.
    pub source: Source,
    /// The interface, the server, or the name of the file.
    pub name: String,
}

/// The pseudonym of a peer: the first 128 bits of an HMAC of its public key, common name or lease name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(u128);

/// The opaque reference of a subscriber.
pub type Subscriber = Redacted<String>;

/// What tells a session from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

/// A time in which something is certain, and by how much it may have been longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Since when it is certain.
    pub start: Utc,
    /// Until when.
    pub end: Utc,
    /// By how many milliseconds it may have begun earlier.
    pub start_slack_ms: u32,
    /// By how many milliseconds it may have ended later.
    pub end_slack_ms: u32,
}

/// Where the tunnel of a session ends outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outer {
    /// The address.
    pub address: Address,
    /// The port, where it is known.
    pub port: Option<u16>,
}

/// A row of the `sessions` table: one prefix, held in one state from one outer endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub session: SessionId,
    /// How often its outer endpoint had changed.
    pub segment: u32,
    /// What told of it.
    pub instance: Instance,
    /// The space of addresses.
    pub realm: String,
    /// The peer.
    pub peer: Peer,
    /// Its subscriber; `None` where nobody named one.
    pub subscriber: Option<Subscriber>,
    /// Whether it could send.
    pub state: State,
    /// The addresses.
    pub prefix: Prefix,
    /// Where its tunnel ended outside.
    pub outer: Option<Outer>,
    /// When it was held.
    pub held: Held,
    /// When the session began to hold the prefix, for the same subscriber.
    pub session_start: Utc,
    /// By how many milliseconds it may have begun earlier.
    pub session_start_slack_ms: u32,
    /// Whether it went on where the row ends.
    pub continues: bool,
    /// Why it ended; `None` where it goes on.
    pub end_reason: Option<EndReason>,
    /// Bytes from and to the member, on the first prefix of a session alone.
    pub bytes: Option<[u64; 2]>,
    /// The greatest error of the clock, in milliseconds.
    pub clock_error_ms: u32,
}

impl Held {
    /// When it may have begun.
    #[must_use]
    pub fn possible_start(&self) -> Utc {
        self.start.minus(milliseconds(self.start_slack_ms))
    }

    /// When it may have ended.
    #[must_use]
    pub fn possible_end(&self) -> Utc {
        self.end.plus(milliseconds(self.end_slack_ms))
    }
}

/// So many milliseconds.
#[must_use]
pub const fn milliseconds(count: u32) -> std::time::Duration {
    std::time::Duration::from_millis(count as u64)
}

/// The distance of two instants in whole milliseconds, rounded up.
#[must_use]
pub fn slack(from: Utc, to: Utc) -> u32 {
    let ns = to.ns().saturating_sub(from.ns()).max(0).cast_unsigned();
    u32::try_from(ns.div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl SessionId {
    /// The id of a session: the same whoever computes it.
    #[must_use]
    pub fn of(gateway: &str, instance: &Instance, peer: Peer, session_start: Utc) -> Self {
        let Instance { source, name } = instance;
        let start = session_start.ms().to_string();
        let mut digest = Sha256::new();
        for part in [gateway, source.name(), name, &peer.hex(), &start] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        Self(first_128_bits(&digest.finalize()))
    }

    /// Its text in the table: 32 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = NoHex;

    fn from_str(text: &str) -> Result<Self, NoHex> {
        hex_128(text).map(Self)
    }
}

impl Peer {
    /// A pseudonym by the first bits of a keyed digest.
    #[must_use]
    pub fn of(digest: &[u8]) -> Self {
        Self(first_128_bits(digest))
    }

    /// Its text in the table: 32 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl FromStr for Peer {
    type Err = NoHex;

    fn from_str(text: &str) -> Result<Self, NoHex> {
        hex_128(text).map(Self)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[peer]")
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct NoHex;

fn hex_128(text: &str) -> Result<u128, NoHex> {
    let is_hex =
        text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().ok_or(NoHex)
}

fn first_128_bits(digest: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    for (byte, of) in bytes.iter_mut().zip(digest) {
        *byte = *of;
    }
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
