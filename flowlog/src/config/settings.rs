//! Every key of the configuration file, in the struct of the part that it is for.
//!
//! A field is a key; see [`keys!`] for what can be known of one. Nothing else has to be changed for a
//! new one.

use std::{path::PathBuf, time::Duration};

use super::{
    key::{Key, Settings as _},
    keys::keys,
    source_kind::SourceKind,
};
use crate::record::{
    gateway::GatewayName,
    location::{Location, without_credentials},
    pattern::InterfacePattern,
    period::Period,
    policy::{Order, Profile},
    redacted::Redacted,
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
    SourcesSettings::KEYS,
];

/// Least bytes of a spool: a drain and its window of a gateway where little goes on fit in.
const LEAST_SPOOL_BYTES: u64 = 16 << 10;

keys! {
    /// What is collected, of whom and when.
    pub struct PolicySettings {
        /// How much flowlog collects. `flows`: full conversations. `attribution`: which member used
        /// which address and port and when; the other side is never recorded, not even in the
        /// kernel's memory. `targeted`: full conversations of the `targets` only, and a count of
        /// all other packets. There is no default, so that nobody collects more than they decided
        /// to: choose what your law and your members allow.
        pub profile: Profile, example: "flows", in_file: "attribution", flag("profile", "PROFILE");

        /// Members under an order. With the profile `targeted`, flowlog records these members only.
        /// One table for each order.
        pub targets: Vec<TargetSettings>, otherwise("nobody");
    }
}

keys! {
    /// A member under an order, in a table `[[targets]]`.
    pub struct TargetSettings {
        /// Address of a member under an order, or a prefix for several addresses
        /// (`2001:db8:7::/48`).
        pub prefix: Redacted<String>, example: "192.0.2.7", secret(withheld);

        /// Start of the recording: an instant with its time zone (`Z` is UTC).
        pub from: Redacted<String>, example: "2026-03-01T00:00:00Z";

        /// End of the recording: an instant with its time zone, not included. The kernel program
        /// stops at this instant by itself. A prefix can have at most 4 periods; periods that touch
        /// count as one.
        pub to: Redacted<String>, example: "2026-05-01T00:00:00Z";
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
        /// Place of flowlog among the programs and filters of others at the hooks of an interface.
        /// `first`: flowlog counts every packet that reaches the hook, also a packet that a later
        /// program drops; if another program comes before flowlog, flowlog moves in front of it
        /// again. `last`: flowlog counts a packet only if all others let it pass with "next", and
        /// not if another one drops, redirects or finally accepts it.
        pub order: Order, default: "first", flag("order", "ORDER");

        /// Directory in a BPF file system. With a spool, the kernel program and its counters stay
        /// there when the daemon ends, so that the kernel counts on while the daemon restarts.
        /// `flowlog uninstall` removes them.
        pub pins: PathBuf, default: "/sys/fs/bpf/flowlog", flag("pins", "DIR");

        /// Most IPv4 flows between two drains. flowlog still counts the packets of further flows,
        /// but without their ports and remote address. About 272 bytes of kernel memory for each
        /// flow.
        pub max_flows_v4: u32, default: 262144, least(1);

        /// Most IPv6 flows between two drains. About 320 bytes of kernel memory for each flow.
        pub max_flows_v6: u32, default: 65536, least(1);

        /// Most entries for packets that have no room in the flow maps: an entry counts the packets
        /// of one member with one protocol. Without room there, flowlog counts packets without
        /// their member. About 592 bytes of kernel memory for each entry.
        pub max_overflow: u32, default: 16384, least(1);
    }
}

keys! {
    /// The store, and who writes to it.
    pub struct StoreSettings {
        /// Directory or URL for the files of flowlog (`s3://bucket/prefix`, `gs://…`, `az://…`).
        pub store: Location, default: "/var/lib/flowlog/store", in_file: "/var/lib/flowlog/store",
            flag("store", "URL"), short('s'), secret(without_credentials);

        /// Name of this gateway in the store. No two gateways in a store may have the same name.
        pub gateway: Option<GatewayName>, otherwise("the host's name"), example: "gw1",
            flag("gateway", "NAME");
    }
}

keys! {
    /// How long a window is, how often the kernel is drained, and how long an end may take.
    pub struct TimeSettings {
        /// Length of a window: a flow gives one row in each window in which it was active. An hour
        /// must be a multiple of it.
        pub window: Duration, default: "5m", flag("window", "DURATION");

        /// How often the daemon drains the kernel's maps: a crash of the host loses at most the
        /// counts of this time. The window must be a multiple of it.
        pub drain_interval: Duration, default: "10s", flag("drain-interval", "DURATION");

        /// Longest time that flowlog may take after SIGTERM to store its open windows.
        pub shutdown_timeout: Duration, default: "30s";
    }
}

keys! {
    /// Where what was drained stays until the store has it.
    pub struct SpoolSettings {
        /// Directory on a local disk that keeps the counts until the store has them; the next start
        /// goes on from there. With a spool, neither a crash of flowlog nor an outage of the store
        /// loses a count.
        pub spool: Option<PathBuf>, otherwise("a temporary directory, which ends with the process"),
            example: "/var/lib/flowlog/spool", in_file: "/var/lib/flowlog/spool", flag("spool", "DIR");

        /// Largest size of the spool in bytes. When the spool is full, the kernel's maps hold the
        /// counts; packets that have no room in the maps are overflow in the ledger.
        pub spool_max_bytes: u64, default: 4294967296, least(LEAST_SPOOL_BYTES);
    }
}

keys! {
    /// Where the daemon answers how it is.
    pub struct StatusSettings {
        /// Socket at which the daemon answers `flowlog status`; only the daemon's own user can ask.
        /// An empty text turns it off.
        pub status_socket: Option<PathBuf>,
            otherwise("`/run/flowlog/`, the gateway's name, and `.sock`"),
            example: "/run/flowlog/gw1.sock", flag("status-socket", "PATH");
    }
}

keys! {
    /// What is deleted, and when.
    pub struct KeepSettings {
        /// Deletion of expired files. Without this table, the daemon deletes nothing.
        pub retention: Option<RetentionSettings>, otherwise("nothing is deleted");
    }
}

keys! {
    /// The deletion of what has expired, in the table `[retention]`.
    pub struct RetentionSettings {
        /// How long the daemon keeps data, in days (`90d`), weeks (`26w`), months (`6mo`; `6m`
        /// would be minutes, and is refused) or years (`1y`) of the calendar; then it deletes their
        /// partitions, and damaged files of the same age that it moved to `aside/` in the spool.
        /// Without the table `[retention]`, the daemon deletes nothing.
        pub keep: Period, example: "90d", in_file: "90d";

        /// How often the daemon looks for expired files.
        pub interval: Duration, default: "10m";

        /// Deletion of expired sessions, which have a period of their own. Without this table the
        /// daemon deletes no sessions and no coverage.
        pub sessions: Option<SessionRetentionSettings>, otherwise("sessions are not deleted");
    }
}

keys! {
    /// The deletion of expired sessions, in the table `[retention.sessions]`.
    pub struct SessionRetentionSettings {
        /// How long the daemon keeps the tables `sessions` and `coverage`, written like
        /// `retention.keep`. Each day's rows have the beginning of their session, so the period
        /// counts from its end.
        pub keep: Period, example: "12mo";
    }
}

keys! {
    /// Who held an address, and who tells.
    pub struct SourcesSettings {
        /// Sources of sessions: who held an address, and when. One table for each source.
        pub source: Vec<SourceSettings>, otherwise("no sessions are recorded");

        /// The subscribers of the peers.
        pub subscribers: Option<SubscriberSettings>,
            otherwise("sessions have no subscriber, and sources are refused");
    }
}

keys! {
    /// A source of sessions, in a table `[[source]]`.
    pub struct SourceSettings {
        /// The kind of source.
        pub kind: SourceKind, example: "wireguard";

        /// Address space of the source. An address has one holder at a time within a realm:
        /// gateways that give out the same addresses to different members need different realms.
        pub realm: String, default: "default";

        /// With `wireguard`: the interfaces; `*` stands for any characters.
        pub interface: Option<InterfacePattern>, otherwise("none; `wireguard` needs one"), example: "wg*";

        /// How often the source is asked, or its file looked at.
        pub poll: Duration, default: "5s";

        /// With `openvpn`: whether the server calls `flowlog hook openvpn`.
        pub hook: bool, default: false;

        /// Where the hooks leave their notes. The daemon makes this directory for the group
        /// `flowlog-hook`; the hooks need `--dir` for another one.
        pub hook_directory: PathBuf, default: "/run/flowlog/hook";

        /// With `openvpn`: the status file of the server, of version 2 or 3.
        pub status: Option<PathBuf>, otherwise("none"), example: "/run/openvpn/server.status";

        /// With `openvpn`: the management socket of the server.
        pub management: Option<String>, otherwise("none"), example: "unix:/run/openvpn/server.sock";

        /// With `lease`: a file of leases, as CSV with the columns `name,prefix,from,to`.
        pub file: Option<PathBuf>, otherwise("none: leases come from `flowlog hook lease`"),
            example: "/var/lib/flowlog/leases.csv";
    }
}

keys! {
    /// The subscribers of peers, in the table `[subscribers]`.
    pub struct SubscriberSettings {
        /// The key for the pseudonyms of peers: a file of 16 bytes or more, the same for all gateways of a
        /// store. Make it with `head -c 32 /dev/urandom`.
        pub peer_key_file: PathBuf, example: "/etc/flowlog/peer.key";

        /// A file of subscribers, as CSV with the columns `peer,subscriber,from,to`. The daemon reads it
        /// again when it changes; while it is wrong, the file before it is in force.
        pub file: Option<PathBuf>, otherwise("sessions have no subscriber"),
            example: "/etc/flowlog/subscribers.csv";
    }
}

/// A member's address is for those who read the file.
fn withheld(_: &str) -> String {
    "(withheld)".to_owned()
}
