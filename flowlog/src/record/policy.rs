//! What is collected, of whom, and when.

use sha2::{Digest as _, Sha256};

use super::{clock::Utc, redacted::Prefix};

/// What is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Full conversations: both addresses, both ports.
    Flows,
    /// Which member used which address and port and when, never the other side.
    Attribution,
    /// Full conversations of the members under an order, between the dates of the order.
    Targeted,
}

impl Profile {
    /// Its name in the configuration, in files and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Attribution => "attribution",
            Self::Targeted => "targeted",
        }
    }
}

/// Addresses of members, and when they are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The addresses.
    pub prefix: Prefix,
    /// From when on and until when (not inside), in their order and apart.
    pub periods: Vec<(Utc, Utc)>,
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

    /// SHA-256 of what decides which packets are collected and what is kept of them; in every
    /// file, so that what was never collected can be shown.
    #[must_use]
    pub fn hash(&self) -> String {
        let profile = self.profile.name();
        let mut hash = Sha256::new_with_prefix(format!("profile={profile}\n"));
        for Target { prefix, periods } in &self.targets {
            for (from, to) in periods {
                let prefix = prefix.in_clear();
                hash.update(format!("target={prefix} from={from} to={to}\n"));
            }
        }
        format!("{:x}", hash.finalize())
    }
}

/// Where the program is at a hook, among those of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Before all others: flowlog counts packets that others drop or redirect.
    #[default]
    First,
    /// Behind all others: flowlog does not count packets that others drop, redirect or finally
    /// accept.
    Last,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AttachMode {
    /// TCX where the kernel has it (6.6), else clsact.
    #[default]
    Auto,
    /// TCX only.
    Tcx,
    /// A filter at the clsact queueing discipline.
    Clsact,
}
