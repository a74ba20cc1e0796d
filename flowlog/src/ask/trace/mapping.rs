//! Subscribers of peers, for rows that were written before anybody named them.
//!
//! ```text
//! peer,subscriber,from,to
//! 5f0c…,m-0012,,2026-06-30T22:00:00Z
//! ```

use std::collections::HashMap;

use crate::record::{
    clock::Utc,
    session::{Peer, Subscriber},
};

/// Longest reference of a subscriber.
const LONGEST: usize = 64;
const HEAD: &str = "peer,subscriber,from,to";

/// The subscribers of peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribers(HashMap<Peer, Vec<Membership>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    subscriber: Subscriber,
    from: Option<Utc>,
    to: Option<Utc>,
}

/// A line of a file that cannot be used. It has names, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadLine {
    /// Its number, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

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
    /// The peer is not written as in the table.
    #[error("the peer must be 32 hexadecimal digits, as in the column `peer`")]
    Peer,
    /// The subscriber has characters that a reference may not have.
    #[error("a subscriber has 1 to {LONGEST} letters, digits, dots, underscores and hyphens")]
    Subscriber,
    /// An instant cannot be read.
    #[error("`from` and `to` are instants with their zone, such as 2026-03-01T00:00:00Z, or empty")]
    Instant,
    /// It ends before it begins.
    #[error("`to` must be after `from`")]
    Order,
    /// A peer has two subscribers at one time.
    #[error("the peer has another subscriber at the same time, on an earlier line")]
    Overlap,
}

impl Subscribers {
    /// Reads the whole of a file, or the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
        let mut subscribers = Self::default();
        match lines.find(|(_, line)| is_content(line)) {
            Some((_, HEAD)) => {}
            Some((line, _)) => return Err(BadLine { line, fault: Fault::Head }),
            None => return Ok(subscribers),
        }
        for (line, text) in lines.filter(|(_, line)| is_content(line)) {
            let added = membership(text).and_then(|(peer, of)| subscribers.add(peer, of));
            added.map_err(|fault| BadLine { line, fault })?;
        }
        Ok(subscribers)
    }

    /// The subscriber of a peer at an instant.
    #[must_use]
    pub fn at(&self, peer: Peer, instant: Utc) -> Option<&Subscriber> {
        let found = self.0.get(&peer)?.iter().find(|membership| membership.has(instant));
        found.map(|membership| &membership.subscriber)
    }

    fn add(&mut self, peer: Peer, membership: Membership) -> Result<(), Fault> {
        let of = self.0.entry(peer).or_default();
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

fn is_content(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn membership(line: &str) -> Result<(Peer, Membership), Fault> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [peer, subscriber, from, to] = fields[..] else { return Err(Fault::Fields) };
    let peer = peer.parse().map_err(|_| Fault::Peer)?;
    if !is_reference(subscriber) {
        return Err(Fault::Subscriber);
    }
    let (from, to) = (instant(from)?, instant(to)?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Fault::Order);
    }
    Ok((peer, Membership { subscriber: subscriber.to_owned().into(), from, to }))
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

    const PEER: &str = "5f0c5f0c5f0c5f0c5f0c5f0c5f0c5f0c";

    #[test]
    fn a_peer_has_the_subscriber_of_the_instant() {
        let text = format!(
            "{HEAD}\r\n# moved\n{PEER},m-1,,2026-03-01T00:00:00Z\n{PEER}, m-2,2026-03-01T01:00:00+01:00,\n"
        );
        let subscribers = Subscribers::parse(&text).unwrap();
        let at = |text: &str| {
            let instant = Utc::from(text.parse::<jiff::Timestamp>().unwrap());
            let found = subscribers.at(PEER.parse().unwrap(), instant);
            found.map(|subscriber| subscriber.in_clear().clone())
        };
        assert_eq!(at("2026-02-28T23:59:59Z").as_deref(), Some("m-1"));
        assert_eq!(at("2026-03-01T00:00:00Z").as_deref(), Some("m-2"));
        assert_eq!(Subscribers::parse(""), Ok(Subscribers::default()));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_repeated() {
        for (line, fault) in [
            ("ada", Fault::Fields),
            ("ada,m-1,,", Fault::Peer),
            (&format!("{PEER},ada l,,"), Fault::Subscriber),
            (&format!("{PEER},m-1,2026-03-01T00:00:00,"), Fault::Instant),
            (&format!("{PEER},m-1,2026-03-01T00:00:00Z,2026-03-01T00:00:00Z"), Fault::Order),
            (&format!("{PEER},m-2,2026-03-01T00:00:00Z,"), Fault::Overlap),
        ] {
            let error = Subscribers::parse(&format!("{HEAD}\n{PEER},m-1,,\n{line}")).unwrap_err();
            assert_eq!(error, BadLine { line: 3, fault }, "{line}");
            assert!(!error.to_string().contains("ada"), "{error}");
        }
        let head = Subscribers::parse("peer,name").unwrap_err();
        assert_eq!(head, BadLine { line: 1, fault: Fault::Head });
    }
}
