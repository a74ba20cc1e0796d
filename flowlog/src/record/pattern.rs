//! Interface names and patterns.

use std::str::FromStr;

/// Longest name that the kernel gives an interface.
const MAX_NAME: usize = 15;

/// The name of an interface, in which `*` stands for any characters (`wg*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfacePattern(String);

impl InterfacePattern {
    /// Whether an interface has this name or fits this pattern.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// Whether it stands for one interface only.
    #[must_use]
    pub fn is_name(&self) -> bool {
        !self.0.contains('*')
    }
}

impl FromStr for InterfacePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_sound = |c: char| !c.is_whitespace() && !c.is_control() && c != '/';
        if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(is_sound) {
            return Err(format!(
                "{text:?} is not an interface name: 1 to {MAX_NAME} characters without blanks \
                 and '/'; '*' stands for any characters"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let matches =
            |pattern: &str, name: &str| pattern.parse::<InterfacePattern>().unwrap().matches(name);
        assert!(matches("wg0", "wg0"));
        assert!(!matches("wg0", "wg01"));
        assert!(matches("wg*", "wg0") && matches("wg*", "wg"));
        assert!(!matches("wg*", "tun0"));
        assert!(matches("*-vpn", "members-vpn") && !matches("*-vpn", "vpn"));
        assert!(matches("a*b*c", "a1b2c") && matches("a*b*c", "abc") && !matches("a*b*c", "ac"));
        assert!(!matches("ab*ba", "aba"));
    }

    #[test]
    fn what_the_kernel_cannot_name_is_refused() {
        for text in ["", "a name", "with/slash", "sixteencharacter"] {
            assert!(text.parse::<InterfacePattern>().is_err(), "{text}");
        }
    }
}
