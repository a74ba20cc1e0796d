//! Every key of the configuration file, in the struct of the part that it is for.
//!
//! A field is a key; see [`keys!`] for what can be known of one. Nothing else has to be changed for a
//! new one.

use std::{path::PathBuf, time::Duration};

use super::{
    key::{Key, Settings as _},
    keys::keys,
    redact::without_credentials,
};
use crate::record::{
    gateway::GatewayName,
    pattern::InterfacePattern,
    period::Period,
    policy::{Order, Profile},
};

/// The keys of the whole file, part by part.
pub(super) const FILE: &[&[Key]] = &[
    PolicySettings::KEYS,
    InterfaceSettings::KEYS,
    CaptureSettings::KEYS,
    StoreSettings::KEYS,
    TimeSettings::KEYS,
    SpoolSettings::KEYS,
    StatusSettings::KEYS,
    KeepSettings::KEYS,
];

/// Least bytes of a spool: a drain and its window of a gateway where little goes on fit in.
const LEAST_SPOOL_BYTES: u64 = 16 << 10;

keys! {
    /// What is collected, of whom and when.
    pub struct PolicySettings {
        /// What is collected: `flows` is full conversations; `attribution` is who used which address and
        /// port and when, the other side never being known, not even in the kernel's memory; `targeted`
        /// is full conversations of the `targets` only, and a count of the rest. There is no default, so
        /// that nobody collects more than was decided: choose what your law and your members allow.
        pub profile: Profile, example: "flows", in_file: "attribution", flag("profile", "PROFILE");

        /// Members under an order, whom the profile `targeted` records: one table for each order.
        pub targets: Vec<TargetSettings>, otherwise("nobody");
    }
}

keys! {
    /// A member under an order, in a table `[[targets]]`.
    pub struct TargetSettings {
        /// Address of a member under an order, or a prefix (`2001:db8:7::/48`).
        pub prefix: String, example: "192.0.2.7", secret(withheld);

        /// From when on the member is recorded: an instant with its zone.
        pub from: String, example: "2026-03-01T00:00:00Z";

        /// Until when, this instant not included. The kernel program keeps to it by itself. A prefix has
        /// at most 4 periods that do not touch.
        pub to: String, example: "2026-05-01T00:00:00Z";
    }
}

keys! {
    /// Which interfaces are counted.
    pub struct InterfaceSettings {
        /// The VPN interfaces to count; `*` stands for any characters (`wg*`).
        pub interfaces: Vec<InterfacePattern>, example: ["wg0"], in_file: ["wg*", "tun*"],
            flag("interface", "NAME[,NAME…]"), short('i');
    }
}

keys! {
    /// How the kernel program counts, and in what.
    pub struct CaptureSettings {
        /// Where at the hooks of an interface, among the programs and filters of others. `first`: every
        /// packet that reaches the hook is counted, also one that a later program drops; when somebody
        /// comes before flowlog, it moves in front again. `last`: a packet is counted when the others
        /// have let it by with "next"; one that they drop, redirect or pass for good is not.
        pub order: Order, default: "first", flag("order", "ORDER");

        /// Directory of a BPF file system where the kernel program and its counters outlive the daemon,
        /// where there is a spool: packets are counted while it restarts. `flowlog uninstall` ends that.
        pub pins: PathBuf, default: "/sys/fs/bpf/flowlog", flag("pins", "DIR");

        /// Most IPv4 flows between two drains; beyond them detail is lost, but no packet goes uncounted.
        /// About 272 bytes of kernel memory each.
        pub max_flows_v4: u32, default: 262144, least(1);

        /// Most IPv6 flows between two drains. About 320 bytes of kernel memory each.
        pub max_flows_v6: u32, default: 65536, least(1);

        /// Most members, by protocol and family, whose packets keep their member when the flow maps are
        /// full; beyond them packets are only counted. About 592 bytes of kernel memory each.
        pub max_overflow: u32, default: 16384, least(1);
    }
}

keys! {
    /// The store, and who writes to it.
    pub struct StoreSettings {
        /// Where the files go: a directory, or a URL (`s3://bucket/prefix`, `gs://…`, `az://…`).
        pub store: String, default: "/var/lib/flowlog/store", in_file: "/var/lib/flowlog/store",
            flag("store", "URL"), short('s'), secret(without_credentials);

        /// Name of this gateway in the store; no two gateways of a store may share one.
        pub gateway: Option<GatewayName>, otherwise("the host's name"), example: "gw1",
            flag("gateway", "NAME");
    }
}

keys! {
    /// How long a window is, how often the kernel is drained, and how long an end may take.
    pub struct TimeSettings {
        /// Length of a window: a flow gives one row in each window in which it was active. Divides an
        /// hour.
        pub window: Duration, default: "5m", flag("window", "DURATION");

        /// How often the kernel's maps are emptied; what a crash of the host can lose. Divides the
        /// window.
        pub drain_interval: Duration, default: "10s", flag("drain-interval", "DURATION");

        /// How long SIGTERM may take to store what is open.
        pub shutdown_timeout: Duration, default: "30s";
    }
}

keys! {
    /// Where what was drained stays until the store has it.
    pub struct SpoolSettings {
        /// Directory on a local disk where what was counted is kept until the store has it, and from
        /// which the next start goes on. With it, neither a crash nor an outage of the store loses a
        /// count.
        pub spool: Option<PathBuf>, otherwise("a temporary directory, which goes with the process"),
            example: "/var/lib/flowlog/spool", in_file: "/var/lib/flowlog/spool", flag("spool", "DIR");

        /// Most bytes of the spool. When it is full, the kernel's maps hold the counts; what they cannot
        /// tell apart any more, the ledger has as overflow.
        pub spool_max_bytes: u64, default: 4294967296, least(LEAST_SPOOL_BYTES);
    }
}

keys! {
    /// Where the daemon answers how it is.
    pub struct StatusSettings {
        /// Socket at which the daemon answers `flowlog status`, for its own user alone. Empty: nowhere.
        pub status_socket: Option<PathBuf>, otherwise("in `/run/flowlog`, by the gateway's name"),
            example: "/run/flowlog/gw1.sock", flag("status-socket", "PATH");
    }
}

keys! {
    /// What is deleted, and when.
    pub struct KeepSettings {
        /// When what has expired is deleted. Without this table, the daemon deletes nothing.
        pub retention: Option<RetentionSettings>, otherwise("nothing is deleted");
    }
}

keys! {
    /// The deletion of what has expired, in the table `[retention]`.
    pub struct RetentionSettings {
        /// Without this table, the daemon deletes nothing. How long data are kept, in days (`90d`), weeks
        /// (`26w`), months (`6mo`; `6m` would be minutes, and is refused) or years (`1y`) of the
        /// calendar; then their partitions are deleted, and what the spool has set aside for so long.
        pub keep: Period, example: "90d", in_file: "90d";

        /// How often the daemon looks for what has expired.
        pub interval: Duration, default: "10m";
    }
}

/// A member's address is for those who read the file.
fn withheld(_: &str) -> String {
    "(withheld)".to_owned()
}
