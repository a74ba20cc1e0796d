//! Which subscriber a peer belongs to, and since when: a file that the people of the VPN keep.
//!
//! ```text
//! peer,subscriber,from,to
//! wireguard:AbC…=,m-0007,2026-01-01T00:00:00Z,
//! 5f0c…,m-0012,,2026-06-30T22:00:00Z
//! ```

use std::collections::HashMap;

use super::{
    clock::Utc,
    lines,
    session::{Peer, PeerKey, Source, Subscriber},
};

/// Longest reference of a subscriber.
const LONGEST: usize = 64;
/// The first line of a file.
const HEAD: &str = "peer,subscriber,from,to";

/// The subscribers of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribers {
    of: HashMap<Peer, Vec<Membership>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    subscriber: Subscriber,
    from: Option<Utc>,
    to: Option<Utc>,
}

/// A line of the file that cannot be used.
pub type BadLine = lines::BadLine<Fault>;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The first line names other columns.
    #[error("the first line must be `{HEAD}`")]
    Head,
    /// It has another number of fields.
    #[error("a line has four fields, separated by commas; `from` and `to` may be empty")]
    Fields,
    /// The peer is in no form that flowlog knows.
    #[error(
        "the peer must be `wireguard:KEY`, `openvpn:NAME`, `lease:NAME` or 32 hexadecimal digits"
    )]
    Peer,
    /// The peer is a name, and there is no key to make its pseudonym with.
    #[error("a peer by its name needs `peer_key_file` in the table [subscribers]")]
    NoKey,
    /// The subscriber has characters that a reference may not have.
    #[error("a subscriber has 1 to 64 letters, digits, dots, underscores and hyphens")]
    Subscriber,
    /// An instant cannot be read.
    #[error("`from` and `to` are instants with their zone, such as 2026-03-01T00:00:00Z, or empty")]
    Instant,
    /// It ends before it begins.
    #[error("`to` must be after `from`")]
    Order,
    /// Two subscribers have one peer at one time.
    #[error("the peer has another subscriber at the same time, on an earlier line")]
    Overlap,
}

impl Subscribers {
    /// Reads a file: the whole of it, or the first line that is wrong.
    pub fn parse(text: &str, key: Option<&PeerKey>) -> Result<Self, BadLine> {
        let mut subscribers = Self::default();
        let lines = match lines::behind_head(text, HEAD) {
            Ok(lines) => lines,
            Err(None) => return Ok(subscribers),
            Err(Some(line)) => return Err(BadLine { line, fault: Fault::Head }),
        };
        for (line, text) in lines {
            let added = membership(text, key).and_then(|(peer, of)| subscribers.add(peer, of));
            added.map_err(|fault| BadLine { line, fault })?;
        }
        Ok(subscribers)
    }

    /// The subscriber of a peer at an instant.
    #[must_use]
    pub fn at(&self, peer: Peer, instant: Utc) -> Option<&Subscriber> {
        let of = self.of.get(&peer)?;
        of.iter().find(|membership| membership.has(instant)).map(|found| &found.subscriber)
    }

    /// The peers of a subscriber at some time.
    pub fn peers<'a>(&'a self, subscriber: &'a str) -> impl Iterator<Item = Peer> + 'a {
        let has = move |of: &[Membership]| {
            of.iter().any(|membership| membership.subscriber.in_clear() == subscriber)
        };
        self.of.iter().filter(move |(_, of)| has(of)).map(|(peer, _)| *peer)
    }

    /// How many peers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.of.len()
    }

    fn add(&mut self, peer: Peer, membership: Membership) -> Result<(), Fault> {
        let of = self.of.entry(peer).or_default();
        if of.iter().any(|other| other.meets(&membership)) {
            return Err(Fault::Overlap);
        }
        of.push(membership);
        Ok(())
    }
}

impl Membership {
    fn has(&self, instant: Utc) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.to.is_none_or(|to| instant < to)
    }

    fn meets(&self, other: &Self) -> bool {
        let begins_before = |a: &Self, b: &Self| match (a.from, b.to) {
            (Some(from), Some(to)) => from < to,
            _ => true,
        };
        begins_before(self, other) && begins_before(other, self)
    }
}

fn membership(line: &str, key: Option<&PeerKey>) -> Result<(Peer, Membership), Fault> {
    let [peer, subscriber, from, to] = lines::fields(line).ok_or(Fault::Fields)?;
    let peer = parse_peer(peer, key)?;
    if !is_reference(subscriber) {
        return Err(Fault::Subscriber);
    }
    let (from, to) = (instant(from)?, instant(to)?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Fault::Order);
    }
    Ok((peer, Membership { subscriber: subscriber.to_owned().into(), from, to }))
}

/// Reads a peer: its pseudonym, or the name of which that is made.
pub fn parse_peer(text: &str, key: Option<&PeerKey>) -> Result<Peer, Fault> {
    if let Ok(peer) = text.parse() {
        return Ok(peer);
    }
    let (source, name) = text.split_once(':').ok_or(Fault::Peer)?;
    let source = Source::from_name(source).filter(|_| !name.is_empty()).ok_or(Fault::Peer)?;
    key.map(|key| key.peer(source, name)).ok_or(Fault::NoKey)
}

/// Whether a text may be the reference of a subscriber.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_right)
}

fn instant(text: &str) -> Result<Option<Utc>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse::<jiff::Timestamp>().map(|instant| Some(instant.into())).map_err(|_| Fault::Instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PeerKey {
        PeerKey::new(vec![7; 32]).unwrap()
    }

    fn parse(lines: &str) -> Result<Subscribers, BadLine> {
        Subscribers::parse(&format!("{HEAD}\n{lines}"), Some(&key()))
    }

    fn utc(text: &str) -> Utc {
        Utc::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    fn subscriber_of(subscribers: &Subscribers, peer: Peer, at: &str) -> Option<String> {
        subscribers.at(peer, utc(at)).map(|subscriber| subscriber.in_clear().clone())
    }

    #[test]
    fn a_peer_has_the_subscriber_of_the_instant() {
        let subscribers = parse(
            "# moved house\n\nopenvpn:ada,m-1,,2026-03-01T00:00:00Z\nopenvpn:ada,m-2,2026-03-01T01:00:00+01:00,\r\n",
        )
        .unwrap();
        let ada = key().peer(Source::Openvpn, "ada");
        assert_eq!(subscriber_of(&subscribers, ada, "2026-02-28T23:59:59Z").unwrap(), "m-1");
        assert_eq!(subscriber_of(&subscribers, ada, "2026-03-01T00:00:00Z").unwrap(), "m-2");
        let other = key().peer(Source::Wireguard, "ada");
        assert_eq!(subscriber_of(&subscribers, other, "2026-03-01T00:00:00Z"), None);
        assert_eq!((subscribers.count(), subscribers.peers("m-2").collect()), (1, vec![ada]));
    }

    #[test]
    fn a_peer_is_named_by_its_pseudonym_too_and_a_common_name_may_have_commas() {
        let peer = key().peer(Source::Openvpn, "CN=Ada,O=Byron");
        let by_name = parse("openvpn:CN=Ada,O=Byron,m-1,,").unwrap();
        let by_hex = Subscribers::parse(&format!("{HEAD}\n{},m-1,,", peer.hex()), None);
        assert_eq!(by_hex, Ok(by_name));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_repeated() {
        for (line, fault) in [
            ("openvpn:ada", Fault::Fields),
            ("ada,m-1,,", Fault::Peer),
            ("openvpn:,m-1,,", Fault::Peer),
            ("telnet:ada,m-1,,", Fault::Peer),
            ("openvpn:ada,m 1,,", Fault::Subscriber),
            ("openvpn:ada,,,", Fault::Subscriber),
            ("openvpn:ada,m-1,2026-03-01,", Fault::Instant),
            ("openvpn:ada,m-1,2026-03-01T00:00:00,", Fault::Instant),
            ("openvpn:ada,m-1,2026-03-01T00:00:00Z,2026-03-01T00:00:00Z", Fault::Order),
            ("openvpn:bob,m-2,2026-01-01T00:00:00Z,", Fault::Overlap),
        ] {
            let error = parse(&format!("openvpn:bob,m-1,,\n{line}")).unwrap_err();
            assert_eq!(error, BadLine { line: 3, fault }, "{line}");
            assert!(!error.to_string().contains("ada"), "{error}");
        }
        let head = Subscribers::parse("peer,name\n", None).unwrap_err();
        assert_eq!(head, BadLine { line: 1, fault: Fault::Head });
        let no_key = Subscribers::parse(&format!("{HEAD}\nopenvpn:ada,m-1,,"), None).unwrap_err();
        assert_eq!(no_key.fault, Fault::NoKey);
        assert_eq!(Subscribers::parse("", None), Ok(Subscribers::default()));
    }
}
