//! A file of leases.
//!
//! ```text
//! name,prefix,from,to
//! ada,10.0.0.7,2026-03-01T00:00:00Z,
//! bob,2001:db8:7::/56,2026-03-01T00:00:00+01:00,2026-04-01T00:00:00+02:00
//! ```

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    record::{
        clock::Utc,
        lines,
        redacted::{Prefix, Redacted},
        session::{Entry, EntryKey, PeerKey, Since, Source, State},
    },
    source::first_64_bits,
};

/// The first line of a file.
const HEAD: &str = "name,prefix,from,to";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// Who has it.
    pub name: Redacted<String>,
    /// The addresses.
    pub prefix: Prefix,
    /// Since when.
    pub from: Utc,
    /// Until when; `None`: until it is in the file no longer.
    pub to: Option<Utc>,
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
    /// It is not text.
    #[error("the file must be UTF-8")]
    Text,
    /// It has another number of fields.
    #[error("a line has four fields, separated by commas; `to` may be empty")]
    Fields,
    /// Nobody is named.
    #[error("the name must not be empty")]
    Name,
    /// The addresses cannot be read.
    #[error("`prefix` is an address, or addresses such as 10.0.0.0/28 or 2001:db8:7::/56")]
    Prefix,
    /// An instant cannot be read.
    #[error(
        "`from` and `to` are instants with their zone, such as 2026-03-01T00:00:00Z; `to` may be empty"
    )]
    Instant,
    /// It ends before it begins.
    #[error("`to` must be after `from`")]
    Order,
    /// The same name has the same addresses from the same instant on.
    #[error("an earlier line has the same name, prefix and beginning")]
    Double,
}

/// Reads a file: the whole of it, or the first line that is wrong.
pub fn parse(bytes: &[u8]) -> Result<Vec<Lease>, BadLine> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        BadLine { line, fault: Fault::Text }
    })?;
    // A file without a line is most likely being written.
    let head = |line: Option<usize>| BadLine { line: line.unwrap_or(1), fault: Fault::Head };
    let lines = lines::behind_head(text, HEAD).map_err(head)?;
    let mut leases = vec![];
    let mut seen = BTreeSet::new();
    for (line, text) in lines {
        let lease = lease(text).map_err(|fault| BadLine { line, fault })?;
        if !seen.insert((lease.name.clone(), lease.prefix, lease.from)) {
            return Err(BadLine { line, fault: Fault::Double });
        }
        leases.push(lease);
    }
    Ok(leases)
}

fn lease(line: &str) -> Result<Lease, Fault> {
    let [name, prefix, from, to] = lines::fields(line).ok_or(Fault::Fields)?;
    if name.is_empty() {
        return Err(Fault::Name);
    }
    let prefix = parse_prefix(prefix).ok_or(Fault::Prefix)?;
    let from = instant(from)?;
    let to = if to.is_empty() { None } else { Some(instant(to)?) };
    if to.is_some_and(|to| to <= from) {
        return Err(Fault::Order);
    }
    Ok(Lease { name: name.to_owned().into(), prefix, from, to })
}

/// An address or addresses.
pub(in crate::source) fn parse_prefix(text: &str) -> Option<Prefix> {
    let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(address).map(|prefix| Prefix::from(prefix.trunc()))
}

fn instant(text: &str) -> Result<Utc, Fault> {
    text.parse::<jiff::Timestamp>().map(Utc::from).map_err(|_| Fault::Instant)
}

impl Lease {
    /// Whether somebody has it at an instant.
    pub(super) fn is_held(&self, at: Utc) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }

    pub(super) fn entry(&self, key: &PeerKey) -> Entry {
        let Self { name, prefix, from, to } = self;
        let prefix_text = prefix.in_clear().to_string();
        let discriminator = first_64_bits(&[prefix_text.as_bytes(), &from.ns().to_be_bytes()]);
        let peer = key.peer(Source::Lease, name.in_clear());
        Entry {
            key: EntryKey { peer, discriminator },
            state: State::Tunnel,
            since: Some(Since { earliest: Some(*from), certain: *from }),
            until: *to,
            prefixes: BTreeSet::from([*prefix]),
            outer: None,
            bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_names_prefixes_and_times() {
        let text = "\u{feff}# of the pool\nname,prefix,from,to\r\nada, 10.0.0.7 ,2026-03-01T00:00:00Z,\nCN=Bob,O=X,2001:db8:7::1/56,2026-03-01T00:00:00+01:00,2026-04-01T00:00:00+02:00\n";
        let leases = parse(text.as_bytes()).unwrap();
        let shown: Vec<_> = leases
            .iter()
            .map(|Lease { name, prefix, from, to }| {
                let to = to.map(|to| to.to_string()).unwrap_or_default();
                (name.in_clear().as_str(), prefix.in_clear().to_string(), from.to_string(), to)
            })
            .collect();
        let text = |text: &str| text.to_owned();
        let expected = [
            ("ada", text("10.0.0.7/32"), text("2026-03-01T00:00:00Z"), text("")),
            (
                "CN=Bob,O=X",
                text("2001:db8:7::/56"),
                text("2026-02-28T23:00:00Z"),
                text("2026-03-31T22:00:00Z"),
            ),
        ];
        assert_eq!(shown, expected);
        let [before, first] =
            [leases[0].from.minus(std::time::Duration::from_nanos(1)), leases[0].from];
        assert!(!leases[0].is_held(before) && leases[0].is_held(first));
        assert!(!leases[1].is_held(leases[1].to.unwrap()));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_repeated() {
        for (line, fault) in [
            ("ada,10.0.0.7", Fault::Fields),
            (",10.0.0.7,2026-03-01T00:00:00Z,", Fault::Name),
            ("ada,10.0.0.7/33,2026-03-01T00:00:00Z,", Fault::Prefix),
            ("ada,10.0.0,2026-03-01T00:00:00Z,", Fault::Prefix),
            ("ada,10.0.0.7,2026-03-01,", Fault::Instant),
            ("ada,10.0.0.7,,", Fault::Instant),
            ("ada,10.0.0.7,2026-03-01T00:00:00Z,2026-03-01T00:00:00Z", Fault::Order),
            ("bob,10.0.0.8/32,2026-03-01T00:00:00Z,2027-03-01T00:00:00Z", Fault::Double),
        ] {
            let text = format!("{HEAD}\nbob,10.0.0.8,2026-03-01T00:00:00Z,\n{line}\n");
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, BadLine { line: 3, fault }, "{line}");
            assert!(!error.to_string().contains("ada"), "{error}");
        }
        assert_eq!(parse(b"").unwrap_err(), BadLine { line: 1, fault: Fault::Head });
        assert_eq!(parse(b"name,prefix\n").unwrap_err(), BadLine { line: 1, fault: Fault::Head });
        let text = parse(b"name,prefix,from,to\n\nad\xe9,10.0.0.7,,\n").unwrap_err();
        assert_eq!(text, BadLine { line: 3, fault: Fault::Text });
    }
}
