//! The status of a server: its file of version 2 or 3, and what its management socket answers to `status 3`.
//!
//! ```text
//! TIME,2026-03-01 12:00:00,1772366400
//! HEADER,CLIENT_LIST,Common Name,Real Address,Virtual Address,…
//! CLIENT_LIST,ada,192.0.2.7:1194,10.8.0.2,…
//! HEADER,ROUTING_TABLE,Virtual Address,Common Name,Real Address,…
//! ROUTING_TABLE,10.8.0.2,ada,192.0.2.7:1194,…
//! END
//! ```

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::client::{Client, outer};
use crate::{
    record::redacted::{Address, Prefix},
    source::Error,
};

/// Most clients and routes of a server.
const MOST_LINES: usize = 1_000_000;
/// The name of a client whose handshake is not over.
const UNNAMED: &str = "UNDEF";

/// The status of a server at an instant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// When it was written, in seconds since 1970.
    pub(super) time: i64,
    /// The clients that have addresses.
    pub(super) clients: Vec<Client>,
}

/// Reads the whole of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Status, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::default();
    for (place, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        // What the management socket adds.
        if line.is_empty() || line.starts_with('>') || line.starts_with("SUCCESS:") {
            continue;
        }
        if place > MOST_LINES {
            return Err(Error::TooLong { limit: MOST_LINES });
        }
        if line == "OpenVPN CLIENT LIST" {
            return Err(Error::Version);
        }
        if line.starts_with("ENTER PASSWORD:") {
            return Err(Error::Password);
        }
        if line == "END" {
            return reader.finish();
        }
        reader.read(line).ok_or(Error::Malformed { line: place + 1 })?;
    }
    Err(Error::Truncated)
}

/// The columns of a kind of line, by their names.
#[derive(Default)]
struct Columns(Vec<String>);

#[derive(Default)]
struct Reader {
    separator: Option<char>,
    time: Option<i64>,
    clients: Columns,
    routes: Columns,
    /// Those with a name, in the order of their lines.
    found: Vec<Client>,
    /// Where in the list a client is, by name and real address.
    places: BTreeMap<(String, String), usize>,
}

impl Reader {
    fn read(&mut self, line: &str) -> Option<()> {
        let kind = line.split([',', '\t']).next()?;
        let rest = line.get(kind.len()..)?;
        // `END` is the only line that has nothing behind its first word.
        let separator = rest.chars().next()?;
        // Version 3 has tabs, since names and dates may have commas.
        if *self.separator.get_or_insert(separator) != separator {
            return None;
        }
        let rest = rest.get(1..)?;
        match kind {
            "TIME" => self.time = Some(rest.rsplit(separator).next()?.parse().ok()?),
            "HEADER" => {
                let mut names = rest.split(separator).map(str::to_owned);
                match names.next()?.as_str() {
                    "CLIENT_LIST" => self.clients = Columns(names.collect()),
                    "ROUTING_TABLE" => self.routes = Columns(names.collect()),
                    _ => {}
                }
            }
            "CLIENT_LIST" => self.client(rest, separator)?,
            "ROUTING_TABLE" => self.route(rest, separator)?,
            // `TITLE`, `GLOBAL_STATS`, and what later versions have.
            _ => {}
        }
        Some(())
    }

    fn client(&mut self, rest: &str, separator: char) -> Option<()> {
        let fields = self.clients.fields(rest, separator, "Common Name")?;
        let of = |name: &str| self.clients.of(&fields, name);
        let name = of("Common Name")?;
        if name == UNNAMED {
            return Some(());
        }
        let real = of("Real Address")?;
        let address = |name| -> Option<Address> {
            of(name)?.parse::<std::net::IpAddr>().ok().map(Address::from)
        };
        let client = Client {
            name: name.to_owned().into(),
            connected: of("Connected Since (time_t)")?.parse().ok()?,
            // With `dev tap` a client has an address of Ethernet.
            addresses: (address("Virtual Address"), address("Virtual IPv6 Address")),
            routes: [].into(),
            outer: outer(real),
            bytes: Some([of("Bytes Received")?.parse().ok()?, of("Bytes Sent")?.parse().ok()?]),
        };
        self.places.insert((name.to_owned(), real.to_owned()), self.found.len());
        self.found.push(client);
        Some(())
    }

    fn route(&mut self, rest: &str, separator: char) -> Option<()> {
        let fields = self.routes.fields(rest, separator, "Common Name")?;
        let of = |name: &str| self.routes.of(&fields, name);
        let (name, real, address) =
            (of("Common Name")?, of("Real Address")?, of("Virtual Address")?);
        let host = || address.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        // An address with `C` behind it is remembered of a route that is listed too; one of Ethernet is none.
        let Some(prefix) = address.parse::<IpNet>().ok().or_else(host) else { return Some(()) };
        let place = self.places.get(&(name.to_owned(), real.to_owned()));
        if let Some(client) = place.and_then(|place| self.found.get_mut(*place)) {
            client.routes.insert(Prefix::from(prefix.trunc()));
        }
        Some(())
    }

    fn finish(self) -> Result<Status, Error> {
        let time = self.time.ok_or(Error::Truncated)?;
        let has_address = |client: &Client| !client.prefixes().is_empty();
        Ok(Status { time, clients: self.found.into_iter().filter(has_address).collect() })
    }
}

impl Columns {
    /// The fields of a line. Where there are more than columns, a name has the separator in it.
    fn fields<'a>(&self, rest: &'a str, separator: char, name: &str) -> Option<Vec<&'a str>> {
        let place = self.0.iter().position(|column| column == name)?;
        let all = rest.split(separator).count();
        let more = all.checked_sub(self.0.len())?;
        let mut fields = vec![];
        let mut rest = Some(rest);
        for column in 0..self.0.len() {
            let parts = if column == place { more + 1 } else { 1 };
            let text = rest?;
            let end = text.match_indices(separator).nth(parts - 1).map(|(at, _)| at);
            fields.push(text.get(..end.unwrap_or(text.len()))?);
            rest = end.and_then(|at| text.get(at + 1..));
        }
        Some(fields)
    }

    fn of<'a>(&self, fields: &[&'a str], name: &str) -> Option<&'a str> {
        let place = self.0.iter().position(|column| column == name);
        match place {
            Some(place) => fields.get(place).copied(),
            // Versions before 2.4 have no addresses of IPv6.
            None if name == "Virtual IPv6 Address" => Some(""),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
