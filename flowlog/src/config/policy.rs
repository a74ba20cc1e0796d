//! What is collected, of whom, and when.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    Error,
    target::{Target, TargetFile, targets},
};

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Full conversations: both addresses, both ports.
    Flows,
    /// Who used which address and port and when; never with whom.
    Attribution,
    /// Full conversations of the members under an order, inside its dates.
    Targeted,
}

/// What is collected, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is collected.
    pub profile: Profile,
    /// Of whom; empty unless the profile is `targeted`.
    pub targets: Vec<Target>,
}

impl Policy {
    /// Everything of everybody.
    pub const FLOWS: Self = Self { profile: Profile::Flows, targets: vec![] };

    /// Checks what a configuration file says.
    pub(super) fn new(profile: Profile, orders: &[TargetFile]) -> Result<Self, Error> {
        let wrong = |message: String| Error::Value { key: "targets", message };
        match (profile, orders.is_empty()) {
            (Profile::Targeted, true) => {
                Err(wrong("profile \"targeted\" records nobody without them: it needs at least one [[targets]] table in the file".to_owned()))
            }
            (Profile::Flows | Profile::Attribution, false) => {
                Err(wrong("only the profile targeted has them; remove them".to_owned()))
            }
            _ => Ok(Self { profile, targets: targets(orders).map_err(wrong)? }),
        }
    }

    /// SHA-256 of what decides which packets are collected and what is kept of them; in every
    /// file, so that what was never collected can be shown.
    #[must_use]
    pub fn hash(&self) -> String {
        let profile = match self.profile {
            Profile::Flows => "flows",
            Profile::Attribution => "attribution",
            Profile::Targeted => "targeted",
        };
        let mut hash = Sha256::new_with_prefix(format!("profile={profile}\n"));
        for Target { prefix, periods } in &self.targets {
            for (from, to) in periods {
                hash.update(format!("target={prefix} from={from} to={to}\n"));
            }
        }
        format!("{:x}", hash.finalize())
    }
}
