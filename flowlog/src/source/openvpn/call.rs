//! What OpenVPN gives to the scripts that it calls.

use std::{collections::BTreeMap, net::IpAddr};

use super::client::Client;
use crate::{
    record::{
        clock::Utc,
        redacted::{Address, Redacted},
        session::{Content, EndReason, Entry, Outer, PeerKey},
    },
    source::{
        hook::{BadNote, Fields},
        lease::parse_prefix,
    },
};

/// What is taken from the environment.
const NAMES: [&str; 12] = [
    "script_type",
    "common_name",
    "time_unix",
    "ifconfig_pool_remote_ip",
    "ifconfig_pool_remote_ip6",
    "trusted_ip",
    "trusted_ip6",
    "trusted_port",
    "bytes_received",
    "bytes_sent",
    "daemon_pid",
    "daemon_start_time",
];

/// A note of a call: from its environment, and from the arguments that OpenVPN adds.
pub fn call_fields(of: impl Fn(&str) -> Option<String>, added: &[String]) -> Fields {
    let mut fields = Fields::default();
    for name in NAMES {
        fields = fields.with(name, of(name).as_deref());
    }
    // `learn-address` adds the operation, the address, and the name but with `delete`; the others add a file.
    if fields.of("script_type") == Some("learn-address") {
        for (name, value) in ["operation", "address"].into_iter().zip(added) {
            fields = fields.with(name, Some(value));
        }
    }
    fields
}

/// The clients of whom the calls of this process of the server have told, and since when they have their addresses.
#[derive(Debug, Default)]
pub struct Calls(BTreeMap<(Redacted<String>, i64), (Client, Entry)>);

impl Calls {
    /// The server began anew: all clients are gone.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// What a call at an instant reports.
    pub fn take(
        &mut self,
        fields: &Fields,
        at: Utc,
        key: &PeerKey,
    ) -> Result<Vec<Content>, BadNote> {
        match fields.of("script_type") {
            Some("client-connect") => {
                let client = client(fields)?;
                let entry = client.begun(key, at);
                Ok(self.begin(client, entry))
            }
            Some("client-disconnect") => {
                let client = client(fields)?;
                self.0.remove(&(client.name.clone(), client.connected));
                let (key, bytes) = (client.key(key), client.bytes);
                Ok(vec![Content::Ended { key, reason: EndReason::Disconnected, bytes }])
            }
            Some("learn-address") => match fields.of("operation") {
                Some("add" | "update") => {
                    let mut client = client(fields)?;
                    let bad = BadNote::Field { name: "address" };
                    let address = fields.of("address").ok_or(bad)?;
                    // With `dev tap` it is one of Ethernet.
                    client.routes.extend(parse_prefix(address));
                    let entry = client.listed(key, at);
                    Ok(self.begin(client, entry))
                }
                // It comes long after the client went.
                Some("delete") => Ok(vec![]),
                _ => Err(BadNote::Field { name: "operation" }),
            },
            _ => Err(BadNote::Field { name: "script_type" }),
        }
    }

    fn begin(&mut self, mut client: Client, mut entry: Entry) -> Vec<Content> {
        let place = (client.name.clone(), client.connected);
        let mut contents = vec![];
        match self.0.get(&place) {
            // A script gave it other addresses than the pool.
            Some((_, before)) if before.key != entry.key => {
                let (key, reason) = (before.key, EndReason::Replaced);
                contents.push(Content::Ended { key, reason, bytes: None });
            }
            Some((known, before)) => {
                client.routes.extend(&known.routes);
                (entry.since, entry.prefixes) = (before.since, client.prefixes());
                if entry.prefixes == before.prefixes && entry.outer == before.outer {
                    return vec![];
                }
            }
            None => {}
        }
        if !entry.prefixes.is_empty() {
            contents.push(Content::Began(entry.clone()));
        }
        self.0.insert(place, (client, entry));
        contents
    }
}

fn client(fields: &Fields) -> Result<Client, BadNote> {
    let name = fields.of("common_name").filter(|name| !name.is_empty());
    let name = name.ok_or(BadNote::Field { name: "common_name" })?;
    let bytes = number(fields, "bytes_received")?.zip(number(fields, "bytes_sent")?);
    Ok(Client {
        name: name.to_owned().into(),
        connected: fields.parsed("time_unix")?,
        addresses: (
            address(fields, "ifconfig_pool_remote_ip")?,
            address(fields, "ifconfig_pool_remote_ip6")?,
        ),
        routes: [].into(),
        outer: outer(fields)?,
        bytes: bytes.map(|(received, sent)| [received, sent]),
    })
}

fn number(fields: &Fields, name: &'static str) -> Result<Option<u64>, BadNote> {
    fields.of(name).map(|_| fields.parsed(name)).transpose()
}

fn address(fields: &Fields, name: &'static str) -> Result<Option<Address>, BadNote> {
    let address = fields.of(name).map(|_| fields.parsed::<IpAddr>(name)).transpose()?;
    Ok(address.map(Address::from))
}

fn outer(fields: &Fields) -> Result<Option<Outer>, BadNote> {
    let v4 = address(fields, "trusted_ip")?;
    let Some(address) = v4.or(address(fields, "trusted_ip6")?) else { return Ok(None) };
    let port = fields.parsed("trusted_port").ok();
    Ok(Some(Outer { address: address.in_clear().to_canonical().into(), port }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::session::{Source, State};

    const PID: &str = "7";

    fn fields(values: &[(&str, &str)], added: &[&str]) -> Fields {
        let common = [
            ("common_name", "ada"),
            ("time_unix", "1795820002"),
            ("ifconfig_pool_remote_ip", "10.8.0.2"),
            ("ifconfig_pool_remote_ip6", "fd00:8::1000"),
            ("trusted_ip", "192.168.9.2"),
            ("trusted_port", "60182"),
            ("daemon_pid", PID),
            ("X509_0_CN", "secret"),
        ];
        let of = |name: &str| {
            let found = values.iter().chain(&common).find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let added: Vec<String> = added.iter().map(|text| (*text).to_owned()).collect();
        Fields::parse(call_fields(of, &added).text().as_bytes()).unwrap()
    }

    fn key() -> PeerKey {
        PeerKey::new(vec![7; 32]).unwrap()
    }

    fn at(ms: i64) -> Utc {
        Utc::from_ms(1_795_820_002_000 + ms)
    }

    fn began(contents: &[Content]) -> &Entry {
        match contents.last() {
            Some(Content::Began(entry)) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_begins_learns_its_routes_and_ends() {
        let mut calls = Calls::default();
        let connect = fields(&[("script_type", "client-connect")], &["/tmp/file"]);
        let begun = calls.take(&connect, at(846), &key()).unwrap();
        let first = began(&begun).clone();
        assert_eq!((first.state, first.prefixes.len()), (State::Tunnel, 2));
        assert_eq!(
            first.since.map(|since| (since.earliest, since.certain)),
            Some((Some(at(846)), at(846)))
        );
        assert_eq!(first.key.peer, key().peer(Source::Openvpn, "ada"));

        let learn = |added: &[&str]| fields(&[("script_type", "learn-address")], added);
        let own = calls.take(&learn(&["add", "10.8.0.2", "ada"]), at(861), &key()).unwrap();
        assert_eq!(own, [], "nothing new");
        let route = calls.take(&learn(&["add", "10.77.0.0/16", "ada"]), at(889), &key()).unwrap();
        let second = began(&route);
        assert_eq!((second.key, second.since, second.prefixes.len()), (first.key, first.since, 3));

        let gone =
            [("script_type", "client-disconnect"), ("bytes_received", "10"), ("bytes_sent", "20")];
        let ended = calls.take(&fields(&gone, &[]), at(5_000), &key()).unwrap();
        let reason = EndReason::Disconnected;
        assert_eq!(ended, [Content::Ended { key: first.key, reason, bytes: Some([10, 20]) }]);
        let late = calls.take(&learn(&["delete", "10.8.0.2"]), at(12_000), &key()).unwrap();
        assert_eq!(late, []);
    }

    #[test]
    fn a_client_that_is_given_other_addresses_by_a_script_has_those() {
        let mut calls = Calls::default();
        let connect = fields(&[("script_type", "client-connect")], &[]);
        let first = began(&calls.take(&connect, at(1), &key()).unwrap()).clone();
        let other = [("script_type", "learn-address"), ("ifconfig_pool_remote_ip", "10.8.0.99")];
        let learn = fields(&other, &["add", "10.8.0.99", "ada"]);
        let contents = calls.take(&learn, at(2), &key()).unwrap();
        let reason = EndReason::Replaced;
        assert_eq!(contents[0], Content::Ended { key: first.key, reason, bytes: None });
        assert_ne!(began(&contents).key, first.key);
    }

    #[test]
    fn a_call_that_lacks_something_or_lies_is_refused() {
        for (name, value) in [
            ("common_name", ""),
            ("time_unix", "now"),
            ("ifconfig_pool_remote_ip", "10.8.0"),
            ("trusted_ip", "ada"),
            ("bytes_sent", "-1"),
            ("script_type", "up"),
        ] {
            let call = fields(&[(name, value), ("script_type", "client-connect")], &[]);
            let error = Calls::default().take(&call, at(0), &key()).unwrap_err();
            assert_eq!(error, BadNote::Field { name }, "{name}");
        }
        let learn = fields(&[("script_type", "learn-address")], &["forget", "10.8.0.2"]);
        let error = Calls::default().take(&learn, at(0), &key()).unwrap_err();
        assert_eq!(error, BadNote::Field { name: "operation" });
    }

    #[test]
    fn nothing_else_of_the_environment_is_kept() {
        let call = fields(&[("script_type", "client-connect")], &["/tmp/file"]);
        assert!(!call.text().contains("secret") && !call.text().contains("/tmp"));
    }
}
