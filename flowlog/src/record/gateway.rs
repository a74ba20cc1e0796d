//! The name of a gateway: a folder of the store, and a part of names of files.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a gateway, which every store can hold as the name of a folder.
///
/// Paths are made of it, so it cannot be made of anything that leads out of a folder: no `/`, no
/// name that begins with a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayName(String);

impl GatewayName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no name of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a gateway name: 1 to {} letters, digits, '.', '_' or '-', \
     not beginning with '.'",
    GatewayName::MAX_BYTES
)]
pub struct InvalidName {
    /// The text.
    pub name: String,
}

impl FromStr for GatewayName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let is_sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty()
            || name.len() > Self::MAX_BYTES
            || !name.chars().all(is_sound)
            || name.starts_with('.')
        {
            return Err(InvalidName { name: name.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for GatewayName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        name.parse()
    }
}

impl From<GatewayName> for String {
    fn from(name: GatewayName) -> Self {
        name.0
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Deref for GatewayName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for GatewayName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for GatewayName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for GatewayName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for GatewayName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_out_of_no_folder() {
        for name in ["gw1", "a", "vpn-1.example.org", "GW_1", &"x".repeat(64)] {
            assert_eq!(name.parse::<GatewayName>().unwrap(), name);
        }
        for name in [
            "",
            ".",
            "..",
            "../x",
            "/abs/path",
            "a/b",
            ".hidden",
            "a b",
            "gw\n",
            "ü",
            &"x".repeat(65),
        ] {
            let refused = name.parse::<GatewayName>().unwrap_err().to_string();
            assert!(refused.contains("is not a gateway name"), "{refused}");
        }
    }

    #[test]
    fn what_is_read_is_checked_too() {
        assert_eq!(serde_json::from_str::<GatewayName>("\"gw1\"").unwrap(), "gw1");
        assert!(serde_json::from_str::<GatewayName>("\"../gw1\"").is_err());
        assert_eq!(
            serde_json::to_string(&"gw1".parse::<GatewayName>().unwrap()).unwrap(),
            "\"gw1\""
        );
    }
}
