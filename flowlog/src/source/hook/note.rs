//! A note, as the name and the content of a file.

use std::{fmt::Write as _, time::Duration};

use crate::record::clock::{self, Utc};

/// First line of a note.
const HEAD: &str = "flowlog-hook 1";
/// Longest name of a server.
const LONGEST_SERVER: usize = 64;

/// Whom a note is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The source of leases.
    Lease,
    /// A server of OpenVPN.
    Openvpn,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Openvpn => "openvpn",
        }
    }
}

/// When a note was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// Since the start of the machine: nobody sets this clock, so notes are in order by it.
    pub since_boot: Duration,
    /// In UTC, as the clock was set then.
    pub utc: Utc,
}

impl Stamp {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { since_boot: clock::since_boot(), utc: clock::now() }
    }

    /// The instant in UTC. Where the clock was set after the note was written, it is dated by the clock as it is now.
    #[must_use]
    pub fn dated(self, now: Self) -> Utc {
        let again = now.utc.minus(now.since_boot.saturating_sub(self.since_boot));
        if again.distance(self.utc) > SET { again } else { self.utc }
    }
}

/// Between two readings of both clocks a thread may have waited; a clock that is set is set by more.
const SET: Duration = Duration::from_secs(1);

/// The name of a note's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NoteName {
    pub(super) stamp: Stamp,
    random: u64,
    /// Kind and server, as they are written.
    to: String,
}

impl NoteName {
    pub(super) fn new(stamp: Stamp, random: u64, kind: Kind, server: Option<&str>) -> Self {
        let server = server.map_or(String::new(), |server| format!(".{server}"));
        Self { stamp, random, to: format!("{}{server}", kind.name()) }
    }

    pub(super) fn text(&self) -> String {
        let Self { stamp: Stamp { since_boot, utc }, random, to } = self;
        format!("{:020}-{:020}-{random:016x}.{to}", since_boot.as_nanos(), utc.ns())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (times, to) = text.split_once('.')?;
        let mut parts = times.split('-');
        let (boot, utc, random) = (parts.next()?, parts.next()?, parts.next()?);
        let stamp = Stamp {
            since_boot: Duration::from_nanos(boot.parse().ok()?),
            utc: Utc::from_ns(utc.parse().ok()?),
        };
        let random = u64::from_str_radix(random, 16).ok()?;
        let name = Self { stamp, random, to: to.to_owned() };
        (name.text() == text).then_some(name)
    }

    /// The server whose note it is, where it is for sources of a kind; empty for any server.
    pub(super) fn server(&self, kind: Kind) -> Option<&str> {
        let rest = self.to.strip_prefix(kind.name())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
    }

    /// Whether it is for any source that flowlog has.
    pub(super) fn is_known(&self) -> bool {
        [Kind::Lease, Kind::Openvpn].into_iter().any(|kind| self.server(kind).is_some())
    }
}

/// Whether a text may be the name of a server.
pub(super) fn is_server(text: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_SERVER).contains(&text.len()) && text.bytes().all(is_right)
}

/// What a note reports, as names and values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

/// A note, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it was written.
    pub stamp: Stamp,
    /// The server that it is about, where it names one.
    pub server: Option<String>,
    /// What it reports.
    pub fields: Fields,
}

/// A file that is no note. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadNote {
    /// The first line is another one.
    #[error("its first line is not `{HEAD}`")]
    Head,
    /// It is not text.
    #[error("it is not text")]
    Text,
    /// A line has no `=`.
    #[error("line {line} has no name and value")]
    Line {
        /// Its number, from 1 on.
        line: usize,
    },
    /// It lacks something.
    #[error("it has no `{name}` that can be read")]
    Field {
        /// What.
        name: &'static str,
    },
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[fields]")
    }
}

impl Fields {
    /// Adds a value, where there is one.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// The value of a name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name, parsed.
    pub fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, BadNote> {
        self.of(name).and_then(|value| value.parse().ok()).ok_or(BadNote::Field { name })
    }

    /// The content of a file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (name, value) in &self.0 {
            let value = value.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a string does not fail.
            writeln!(text, "{name}={value}").unwrap_or_default();
        }
        text
    }

    /// Reads the content of a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadNote> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadNote::Text)?;
        let mut lines = text.split_terminator('\n').enumerate();
        if lines.next().is_none_or(|(_, head)| head != HEAD) {
            return Err(BadNote::Head);
        }
        let field = |(place, line): (usize, &str)| {
            let (name, value) = line.split_once('=').ok_or(BadNote::Line { line: place + 1 })?;
            Ok((name.to_owned(), unescaped(value)))
        };
        lines.map(field).collect::<Result<_, _>>().map(Self)
    }
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|c| if c == 'n' { '\n' } else { c })),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_name_of_a_note_has_its_times_and_whom_it_is_for() {
        let stamp = Stamp { since_boot: Duration::from_nanos(7), utc: Utc::from_ns(9) };
        let name = NoteName::new(stamp, 0xab, Kind::Openvpn, Some("server.udp"));
        let text = "00000000000000000007-00000000000000000009-00000000000000ab.openvpn.server.udp";
        assert_eq!((name.text().as_str(), NoteName::parse(text)), (text, Some(name.clone())));
        assert_eq!(name.server(Kind::Openvpn), Some("server.udp"));
        assert_eq!((name.server(Kind::Lease), name.is_known()), (None, true));
        let to_any = NoteName::new(stamp, 1, Kind::Lease, None);
        assert_eq!(to_any.server(Kind::Lease), Some(""));
        for other in ["", ".", "1-2-3.lease", &text.replace('7', "+"), "a-b-c.lease", "wg0"] {
            assert_eq!(NoteName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_note_is_dated_again_where_the_clock_was_set_since() {
        let at = |boot, utc: i64| Stamp {
            since_boot: Duration::from_secs(boot),
            utc: Utc::from_ms(utc * 1_000),
        };
        assert_eq!(at(10, 1_000).dated(at(20, 1_010)), Utc::from_ms(1_000_000));
        assert_eq!(at(10, 1_000).dated(at(20, 4_610)), Utc::from_ms(4_600_000));
    }

    #[test]
    fn a_file_that_is_no_note_is_refused() {
        assert_eq!(Fields::parse(b""), Err(BadNote::Head));
        assert_eq!(Fields::parse(b"flowlog-hook 2\n"), Err(BadNote::Head));
        assert_eq!(Fields::parse(b"flowlog-hook 1\n\xff=\n"), Err(BadNote::Text));
        assert_eq!(Fields::parse(b"flowlog-hook 1\na=b\nc\n"), Err(BadNote::Line { line: 3 }));
        let fields = Fields::parse(b"flowlog-hook 1\na=b\n").unwrap();
        assert_eq!(fields.parsed::<u64>("a"), Err(BadNote::Field { name: "a" }));
    }

    proptest! {
        /// What is written is read again.
        #[test]
        fn a_note_keeps_its_values(values in prop::collection::vec(any::<String>(), 0..5)) {
            let fields = values.iter().fold(Fields::default(), |f, v| f.with("name", Some(v)));
            prop_assert_eq!(Fields::parse(fields.text().as_bytes()).unwrap().0, fields.0);
        }
    }
}
