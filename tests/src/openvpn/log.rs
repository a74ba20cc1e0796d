//! The log of a server, with `machine-readable-output`: what it knew itself of its sessions.

use std::collections::BTreeMap;

/// A session, as the server's log has it. Instants are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedSession {
    /// The common name of the client.
    pub name: String,
    /// Its address in the tunnel.
    pub address: String,
    pub began: i64,
    /// `None` where the server wrote no end.
    pub ended: Option<i64>,
    /// The addresses that it came from.
    pub endpoints: Vec<String>,
    pub renegotiations: usize,
}

/// The sessions of a log, in the order of their beginnings.
pub fn logged_sessions(log: &str) -> Vec<LoggedSession> {
    let mut sessions: Vec<LoggedSession> = vec![];
    // Who is connected from where, as the server prints both before a line.
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines() {
        let Some((at, client, text)) = parts(line) else { continue };
        let (name, endpoint) = client.split_once('/').unwrap_or(("", client));
        if let Some(address) = text.strip_prefix("MULTI: primary virtual IP for ") {
            let (_, address) = address.split_once(": ").unwrap();
            open.insert(client.to_owned(), sessions.len());
            sessions.push(LoggedSession {
                name: name.to_owned(),
                address: address.to_owned(),
                began: at,
                ended: None,
                endpoints: vec![host(endpoint)],
                renegotiations: 0,
            });
        } else if let Some((_, rest)) = text.split_once(" floated from ") {
            let (from, to) = rest.split_once(" to ").unwrap();
            let plain = |text: &str| text.rsplit(']').next().unwrap().to_owned();
            let found = open.iter().find(|(client, _)| client.ends_with(&plain(from)));
            let (client, place) = found.map(|(client, place)| (client.clone(), *place)).unwrap();
            let (name, _) = client.split_once('/').unwrap();
            sessions[place].endpoints.push(host(&plain(to)));
            open.insert(format!("{name}/{}", plain(to)), place);
            open.remove(&client);
        } else if let Some(place) = open.get(client) {
            if text.starts_with("TLS: soft reset") {
                sessions[*place].renegotiations += 1;
            } else if text.contains("client-instance") {
                sessions[*place].ended = Some(at);
                open.remove(client);
            }
        }
    }
    sessions
}

/// When a line was written, about whom, and its text: `1795820002.123456 10 ada/192.0.2.7:1194 TEXT`.
fn parts(line: &str) -> Option<(i64, &str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (seconds, micros) = time.split_once('.')?;
    let at = seconds.parse::<i64>().ok()? * 1_000 + micros.parse::<i64>().ok()? / 1_000;
    let (_flags, rest) = rest.split_once(' ')?;
    let (client, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(if client.contains('/') { (at, client, text) } else { (at, "", rest) })
}

fn host(endpoint: &str) -> String {
    endpoint.rsplit_once(':').unwrap().0.to_owned()
}
