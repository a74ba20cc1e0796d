//! IP protocols by the names that people give them.

/// Names, the most usual one of a number first.
const NAMES: [(&str, u8); 18] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// A protocol, by its name or its number.
pub fn parse_protocol(text: &str) -> Result<u8, String> {
    let text = text.trim().to_ascii_lowercase();
    let by_name = NAMES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    by_name.or_else(|| text.parse().ok()).ok_or_else(|| {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("neither a number up to 255, nor one of {}", names.join(", "))
    })
}

/// Its name, or else its number.
pub fn name(protocol: u8) -> String {
    let named = NAMES.iter().find(|(_, number)| *number == protocol);
    named.map_or_else(|| protocol.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_has_a_name_or_a_number() {
        assert_eq!(["tcp", " UDP", "58", "ipv6-icmp"].map(parse_protocol), [6, 17, 58, 58].map(Ok));
        assert!(parse_protocol("256").is_err() && parse_protocol("").is_err());
        assert_eq!([6, 58, 99].map(name), ["tcp", "icmpv6", "99"]);
    }
}
