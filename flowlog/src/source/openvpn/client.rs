//! A client of a server, however the server told of it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    record::{
        clock::Utc,
        redacted::{Address, Prefix, Redacted},
        session::{Entry, EntryKey, Outer, PeerKey, Since, Source, State},
    },
    source::first_64_bits,
};

/// A client is connected since its first packet; a handshake that is not over then (`hand-window`) has failed.
const HANDSHAKE: Duration = Duration::from_mins(1);
/// The server tells the time of a connection in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// A client of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Its common name.
    pub(super) name: Redacted<String>,
    /// When its connection began, in seconds since 1970.
    pub(super) connected: i64,
    /// Its addresses in the tunnel.
    pub(super) addresses: (Option<Address>, Option<Address>),
    /// What is routed to it besides.
    pub(super) routes: BTreeSet<Prefix>,
    pub(super) outer: Option<Outer>,
    /// Received and sent.
    pub(super) bytes: Option<[u64; 2]>,
}

impl Client {
    /// What tells its session from all others: the same in a hook, a status file and a management socket.
    pub(super) fn key(&self, key: &PeerKey) -> EntryKey {
        let (v4, v6) = &self.addresses;
        let text = |address: Option<String>| address.unwrap_or_default();
        let v4 = text(v4.map(|address| address.in_clear().to_string()));
        let v6 = text(v6.map(|address| address.in_clear().to_string()));
        let connected = self.connected.to_be_bytes();
        let discriminator = first_64_bits(&[&connected, v4.as_bytes(), v6.as_bytes()]);
        EntryKey { peer: key.peer(Source::Openvpn, self.name.in_clear()), discriminator }
    }

    /// Its addresses, and those that are routed to it.
    pub(super) fn prefixes(&self) -> BTreeSet<Prefix> {
        let (v4, v6) = &self.addresses;
        let own =
            [v4, v6].into_iter().flatten().map(|own| Prefix::from(IpNet::from(*own.in_clear())));
        own.chain(self.routes.iter().copied()).collect()
    }

    /// The entry of a list of this instant. The client sent its first packet when its connection began; from when on it
    /// has its addresses is only known to be before the end of the handshake, and before the list.
    pub(super) fn listed(&self, key: &PeerKey, at: Utc) -> Entry {
        let first = Utc::from_ms(self.connected.saturating_mul(1_000));
        let certain = first.plus(SECOND + HANDSHAKE).min(at);
        let since = Since { earliest: Some(first.min(certain)), certain };
        self.entry(key, since)
    }

    /// The entry of a client that has its addresses from this instant on.
    pub(super) fn begun(&self, key: &PeerKey, began: Utc) -> Entry {
        self.entry(key, Since { earliest: Some(began), certain: began })
    }

    fn entry(&self, key: &PeerKey, since: Since) -> Entry {
        Entry {
            key: self.key(key),
            state: State::Tunnel,
            since: Some(since),
            until: None,
            prefixes: self.prefixes(),
            outer: self.outer,
            bytes: self.bytes,
        }
    }
}

/// Reads the real address of a client: `192.0.2.7:1194`, `[2001:db8::7]:1194`, or `2001:db8::7`, of which versions up to
/// 2.6 do not tell the port; later ones have `udp4:` and the like before it.
pub(super) fn outer(text: &str) -> Option<Outer> {
    let plain = |text: &str| {
        let with_port = text.parse::<SocketAddr>().map(|to| (to.ip(), Some(to.port())));
        let read = with_port.or_else(|_| text.parse::<IpAddr>().map(|address| (address, None)));
        let (address, port) = read.ok()?;
        Some(Outer { address: Address::from(address.to_canonical()), port })
    };
    let without_protocol = || {
        let (protocol, rest) = text.split_once(':')?;
        protocol.starts_with(['u', 't']).then_some(rest)
    };
    plain(text).or_else(|| plain(without_protocol()?))
}
