//! Which flows a question is about.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

use crate::{
    ask::open::Times,
    record::{clock::Utc, redacted::Redacted},
};

/// One address, or all addresses of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses(Redacted<IpNet>);

/// A text that names no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address, nor a prefix such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NoAddresses;

/// In any notation. An IPv6 address that maps an IPv4 address is that one.
impl FromStr for Addresses {
    type Err = NoAddresses;

    fn from_str(text: &str) -> Result<Self, NoAddresses> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical()).into()));
        }
        let net: IpNet = text.parse().map_err(|_| NoAddresses)?;
        Ok(Self(canonical(net).trunc().into()))
    }
}

/// A prefix of mapped addresses as that of the addresses that they map.
fn canonical(net: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (net.addr().to_canonical(), net.prefix_len()) {
        (IpAddr::V4(address), length) if net.addr().is_ipv6() && length >= MAPPED => {
            IpNet::new(address.into(), length - MAPPED).unwrap_or(net)
        }
        _ => net,
    }
}

impl Addresses {
    /// The text of the address, if it is one alone, as the tables have it.
    #[must_use]
    pub fn one(&self) -> Option<String> {
        let net = self.0.in_clear();
        (net.prefix_len() == net.max_prefix_len()).then(|| net.addr().to_string())
    }

    /// As whoever asked may read it again.
    #[must_use]
    pub fn in_clear(&self) -> String {
        self.one().unwrap_or_else(|| self.0.in_clear().to_string())
    }

    /// Whether the address of this text is one of them.
    pub(super) fn contain(&self, text: &str) -> bool {
        text.parse::<IpAddr>().is_ok_and(|address| self.0.in_clear().contains(&address))
    }

    /// The least text that an address of them can have, and one above all of these.
    pub(super) fn texts(&self) -> (String, String) {
        let net = self.0.in_clear();
        if let Some(one) = self.one() {
            return (one.clone(), one);
        }
        let common = match net.addr() {
            IpAddr::V4(address) => {
                let whole = usize::from(net.prefix_len() / 8);
                let octets = address.octets().into_iter().take(whole);
                octets.flat_map(|octet| [octet.to_string(), ".".to_owned()]).collect::<String>()
            }
            IpAddr::V6(address) => {
                let whole = usize::from(net.prefix_len() / 16);
                // From the first group of zeros on, the text may have `::`.
                let groups = address.segments().into_iter().take(whole);
                let groups = groups.take_while(|group| *group != 0);
                groups.flat_map(|group| [format!("{group:x}"), ":".to_owned()]).collect()
            }
        };
        // Digits and letters sort below it.
        let above = format!("{common}~");
        (common, above)
    }
}

/// What all rows of an answer have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Addresses of members.
    pub member: Option<Addresses>,
    /// Addresses of the other side.
    pub remote: Option<Addresses>,
    /// Port of the other side.
    pub port: Option<u16>,
    /// Number of the IP protocol.
    pub protocol: Option<u8>,
    /// When the flow lasted.
    pub lasts: Option<Lasts>,
}

/// The time of which a flow has a part: milliseconds since 1970, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasts {
    /// A flow ends then or later.
    pub first_ms: i64,
    /// A flow starts then or before.
    pub last_ms: i64,
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

impl Lasts {
    /// At an instant, a second either way.
    #[must_use]
    pub fn at(instant: Utc) -> Self {
        Self { first_ms: instant.minus(SECOND).ms(), last_ms: instant.plus(SECOND).ms() }
    }

    /// From an instant on, and before another one.
    #[must_use]
    pub fn within(times: Times) -> Self {
        let before = Utc::from_ns(times.to.ns().saturating_sub(1));
        Self { first_ms: times.from.ms(), last_ms: before.ms() }
    }

    /// The time whose windows can have such flows.
    #[must_use]
    pub const fn times(self) -> Times {
        let to = self.last_ms.saturating_add(1);
        Times::new(Utc::from_ms(self.first_ms), Utc::from_ms(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        text.parse::<Addresses>().ok().map(|addresses| addresses.in_clear())
    }

    #[test]
    fn addresses_are_understood_in_any_notation() {
        for (notation, meaning) in [
            ("10.0.0.7", "10.0.0.7"),
            (" 10.0.0.7\t", "10.0.0.7"),
            ("10.0.0.7/32", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("0:0:0:0:0:FFFF:a00:0007", "10.0.0.7"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:DB8:0::0001", "2001:db8::1"),
            ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(parsed(notation).as_deref(), Some(meaning), "{notation}");
        }
        for nonsense in [
            "",
            "nonsense",
            "10.0.0",
            "010.0.0.7",
            "10.0.0.0/33",
            "fe80::1%eth0",
            "g::1",
            "1.2.3.4::",
        ] {
            assert_eq!(parsed(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn texts_of_a_prefix_lie_between_their_bounds() {
        for (prefix, inside, outside) in [
            (
                "10.0.0.0/8",
                vec!["10.0.0.0", "10.255.255.255", "10.9.1.1"],
                vec!["100.0.0.1", "1.0.0.0"],
            ),
            ("10.16.0.0/12", vec!["10.16.0.1", "10.31.9.9"], vec!["11.16.0.1"]),
            ("192.168.7.0/24", vec!["192.168.7.255"], vec!["192.168.70.1"]),
            (
                "2001:db8::/32",
                vec!["2001:db8::1", "2001:db8:ffff::", "2001:db8:0:1::"],
                vec!["2001:db80::1"],
            ),
            ("2001:0:1::/48", vec!["2001:0:1::5", "2001:0:1:2:3:4:5:6"], vec!["2002::"]),
            ("::/0", vec!["::", "fe80::1", "2001::"], vec![]),
        ] {
            let addresses: Addresses = prefix.parse().unwrap();
            let (least, above) = addresses.texts();
            let is_between = |text: &str| text >= least.as_str() && text <= above.as_str();
            for text in inside {
                assert!(is_between(text) && addresses.contain(text), "{prefix} {text}");
            }
            for text in outside {
                assert!(!is_between(text) && !addresses.contain(text), "{prefix} {text}");
            }
        }
    }

    #[test]
    fn a_time_without_its_end_has_no_flow_that_starts_at_its_end() {
        let times = Times::new(Utc::from_ms(1_000), Utc::from_ms(2_000));
        assert_eq!(Lasts::within(times), Lasts { first_ms: 1_000, last_ms: 1_999 });
        let end = Utc::from_ns(2_000_000_001);
        assert_eq!(Lasts::within(Times::new(times.from, end)).last_ms, 2_000);
        let at = Lasts::at(Utc::from_ms(5_000));
        assert_eq!(at, Lasts { first_ms: 4_000, last_ms: 6_000 });
    }
}
