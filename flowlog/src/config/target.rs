//! Members under an order, whom the profile `targeted` records.

use std::net::IpAddr;

use flowlog_common::policy::MAX_SPANS;
use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;

use super::settings::TargetSettings;
use crate::record::{
    clock::Utc,
    policy::{Policy, Profile, Target},
};

/// Checks what a configuration file says.
pub(super) fn policy(profile: Profile, orders: &[TargetSettings]) -> Result<Policy, String> {
    match (profile, orders.is_empty()) {
        (Profile::Targeted, true) => {
            Err("profile \"targeted\" records nobody without targets: add at least one [[targets]] table to the file".to_owned())
        }
        (Profile::Flows | Profile::Attribution, false) => {
            Err("only the profile targeted has targets; remove the [[targets]] tables".to_owned())
        }
        _ => Ok(Policy { profile, targets: targets(orders)? }),
    }
}

/// What the orders say of each prefix that they name.
///
/// The kernel finds the longest prefix only, so that each has the periods of the shorter ones around
/// it too. The error tells an order by its number: its address belongs in no message.
fn targets(files: &[TargetSettings]) -> Result<Vec<Target>, String> {
    let mut orders = vec![];
    for (index, file) in files.iter().enumerate() {
        orders.push(order(file).map_err(|what| format!("number {}: {what}", index + 1))?);
    }
    let mut prefixes: Vec<IpNet> = orders.iter().map(|order| order.prefix).collect();
    prefixes.sort();
    prefixes.dedup();
    let target = |prefix: IpNet| {
        let around = orders.iter().filter(|order| order.prefix.contains(&prefix));
        let periods = joined(around.map(|order| order.period).collect());
        if periods.len() > MAX_SPANS {
            return Err(format!(
                "a prefix has {} periods, and at most {MAX_SPANS} are possible; remove periods that are over",
                periods.len()
            ));
        }
        Ok(Target { prefix: prefix.into(), periods })
    };
    prefixes.into_iter().map(target).collect()
}

struct Order {
    prefix: IpNet,
    period: (Utc, Utc),
}

fn order(file: &TargetSettings) -> Result<Order, String> {
    let TargetSettings { prefix, from, to } = file;
    let (prefix, from, to) = (prefix.in_clear(), from.in_clear(), to.in_clear());
    let prefix = prefix
        .parse::<IpNet>()
        .or_else(|_| prefix.parse().map(|address: IpAddr| IpNet::from(address)))
        .map_err(|_| "prefix is neither an address nor a prefix like 192.0.2.0/28")?;
    if prefix != prefix.trunc() {
        return Err("prefix has bits set behind its length".to_owned());
    }
    let prefix = unmapped(prefix)?;
    let (from, to) = (instant("from", from)?, instant("to", to)?);
    if from >= to {
        return Err("to is not after from".to_owned());
    }
    Ok(Order { prefix, period: (from, to) })
}

/// IPv4 where a prefix has it mapped into IPv6, as in `::ffff:192.0.2.7`: no packet has such an address.
fn unmapped(prefix: IpNet) -> Result<IpNet, String> {
    let IpNet::V6(net) = prefix else { return Ok(prefix) };
    let Some(address) = net.addr().to_ipv4_mapped() else { return Ok(prefix) };
    let length =
        net.prefix_len().checked_sub(96).and_then(|length| Ipv4Net::new(address, length).ok());
    let net = length.ok_or("prefix is wider than the IPv4 that it maps; name it as IPv4")?;
    Ok(IpNet::V4(net))
}

fn instant(key: &str, text: &str) -> Result<Utc, String> {
    let instant = text.parse::<Timestamp>().map_err(|_| {
        // Anything else may be an address that is in the wrong place.
        let shown = if is_like_a_date(text) { format!(" {text:?}") } else { String::new() };
        format!("{key}{shown} is not an instant with its zone, like 2026-03-01T00:00:00Z")
    })?;
    Ok(Utc::from(instant))
}

fn is_like_a_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut is_number = |digits: usize| {
        parts.next().is_some_and(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_part = |c: char| c.is_ascii_digit() || "-+:TZ ".contains(c);
    is_number(4) && is_number(2) && text.chars().all(is_part)
}

/// Joins periods that touch.
fn joined(mut periods: Vec<(Utc, Utc)>) -> Vec<(Utc, Utc)> {
    periods.sort();
    let mut apart: Vec<(Utc, Utc)> = vec![];
    for (from, to) in periods {
        match apart.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An order for some seconds of a minute.
    fn order(prefix: &str, from: u32, to: u32) -> TargetSettings {
        let instant = |second| format!("2026-03-01T00:00:{second:02}Z");
        TargetSettings {
            prefix: prefix.to_owned().into(),
            from: instant(from).into(),
            to: instant(to).into(),
        }
    }

    fn plain(files: &[TargetSettings]) -> Vec<(String, Vec<(i64, i64)>)> {
        let second = |utc: Utc| utc.ms() / 1_000 % 60;
        let plain = |Target { prefix, periods }: &Target| {
            let periods = periods.iter().map(|(from, to)| (second(*from), second(*to)));
            (prefix.in_clear().to_string(), periods.collect())
        };
        targets(files).unwrap().iter().map(plain).collect()
    }

    #[test]
    fn a_prefix_has_the_periods_of_those_around_it_too() {
        let orders = [
            order("10.0.0.0/24", 0, 10),
            order("10.0.0.7", 20, 30),
            order("10.0.1.0/24", 5, 6),
            order("2001:db8::/64", 1, 2),
        ];
        assert_eq!(
            plain(&orders),
            [
                ("10.0.0.0/24".to_owned(), vec![(0, 10)]),
                ("10.0.0.7/32".to_owned(), vec![(0, 10), (20, 30)]),
                ("10.0.1.0/24".to_owned(), vec![(5, 6)]),
                ("2001:db8::/64".to_owned(), vec![(1, 2)]),
            ]
        );
    }

    #[test]
    fn an_address_in_any_notation_is_the_member_that_it_names() {
        for (prefix, member) in [
            ("::ffff:10.0.0.7", "10.0.0.7/32"),
            ("::FFFF:a00:7", "10.0.0.7/32"),
            ("0:0:0:0:0:ffff:10.0.0.0/120", "10.0.0.0/24"),
            ("2001:0DB8:0::0001", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(plain(&[order(prefix, 0, 1)])[0].0, member, "{prefix}");
        }
        let error = targets(&[order("::ffff:0:0/95", 0, 1)]).unwrap_err();
        assert!(error.contains("prefix"), "{error}");
    }

    #[test]
    fn an_order_that_is_renewed_is_one_period() {
        let orders = [(10, 20), (20, 30), (0, 5)].map(|(from, to)| order("10.0.0.7", from, to));
        assert_eq!(plain(&orders), [("10.0.0.7/32".to_owned(), vec![(0, 5), (10, 30)])]);
    }

    #[test]
    fn an_address_in_the_place_of_an_instant_is_not_repeated() {
        for text in ["192.0.2.77", "2001:db8::77", "2001-db8", "2026-03-01 192.0.2.77"] {
            let misplaced =
                TargetSettings { from: text.to_owned().into(), ..order("10.0.0.7", 1, 2) };
            let error = targets(&[misplaced]).unwrap_err();
            assert!(error.contains("number 1: from is not an instant"), "{error}");
            assert!(!error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_order_that_cannot_be_followed_is_refused_without_its_address() {
        let five: Vec<_> = (0..5).map(|n| order("10.0.0.7", n * 10, n * 10 + 5)).collect();
        assert!(targets(&five[..4]).is_ok());
        let mut without_zone = order("10.0.0.7", 1, 2);
        without_zone.to = "2026-03-02".to_owned().into();
        for (orders, said) in [
            (five, "5 periods"),
            (vec![order("10.0.0.7/24", 1, 2)], "number 1: prefix has bits"),
            (vec![order("10.0.0.7", 2, 2)], "number 1: to is not after"),
            (vec![order("10.0.0.300", 1, 2)], "number 1: prefix is neither"),
            (vec![order("10.0.0.7", 1, 2), without_zone], "number 2: to \"2026-03-02\""),
        ] {
            let error = targets(&orders).unwrap_err();
            assert!(error.contains(said) && !error.contains("10.0.0"), "{error}");
        }
    }
}
