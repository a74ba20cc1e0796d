//! Whose files are deleted.

use std::str::FromStr;

use crate::record::{
    clock::Utc,
    gateway::{GatewayName, InvalidName},
};

/// The files of a gateway, or those of a time in which a gateway had this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The name.
    pub gateway: GatewayName,
    /// When the gateway gave the name up: what has it later is somebody else's.
    pub until: Option<Utc>,
}

impl Scope {
    /// What a gateway recorded under a name that it gave up then.
    #[must_use]
    pub const fn former(gateway: GatewayName, until: Utc) -> Self {
        Self { gateway, until: Some(until) }
    }

    /// Whether an hour of a gateway belongs to it.
    #[must_use]
    pub fn has(&self, gateway: &str, hour: Utc) -> bool {
        self.gateway.as_str() == gateway && self.until.is_none_or(|until| hour <= until)
    }
}

impl From<GatewayName> for Scope {
    fn from(gateway: GatewayName) -> Self {
        Self { gateway, until: None }
    }
}

impl FromStr for Scope {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        name.parse().map(|gateway: GatewayName| gateway.into())
    }
}
