//! The reference of the configuration file, from which `docs/config.md` is generated.

use super::{
    DEFAULT_DRAIN_INTERVAL, DEFAULT_MAX_FLOWS_V4, DEFAULT_MAX_FLOWS_V6, DEFAULT_MAX_OVERFLOW,
    DEFAULT_RETENTION_INTERVAL, DEFAULT_SHUTDOWN_TIMEOUT, DEFAULT_SPOOL_MAX_BYTES, DEFAULT_STORE,
    DEFAULT_WINDOW,
};

/// A key of the configuration file.
pub(super) struct Key {
    pub name: &'static str,
    pub example: String,
    pub default: String,
    pub meaning: &'static str,
}

/// Instead of a default: a table without this key is of no use.
pub(super) const MUST_BE_GIVEN: &str = "must be given";

fn key(name: &'static str, example: &str, default: &str, meaning: &'static str) -> Key {
    Key { name, example: example.to_owned(), default: default.to_owned(), meaning }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Every key of the configuration file, in the order in which one writes them.
pub(super) fn keys() -> Vec<Key> {
    let with_default = |name, default: &str, meaning| key(name, default, default, meaning);
    vec![
        key(
            "profile",
            "\"flows\"",
            "must be given, here or by `--profile`",
            "What is collected: `flows` is full conversations; `attribution` is who used which address and port and when, the other side never being known, not even in the kernel's memory; `targeted` is full conversations of the `targets` only, and a count of the rest. There is no default, so that nobody collects more than was decided.",
        ),
        key(
            "interfaces",
            "[\"wg0\"]",
            "must be given, here or by `--interface`",
            "The VPN interfaces to count; `*` stands for any characters (`wg*`).",
        ),
        with_default(
            "order",
            "\"first\"",
            "Where at the hooks of an interface, among the programs and filters of others. `first`: every packet that reaches the hook is counted, also one that a later program drops; when somebody comes before flowlog, it moves in front again. `last`: a packet is counted when the others have let it by with \"next\"; one that they drop, redirect or pass for good is not.",
        ),
        with_default(
            "store",
            &quoted(DEFAULT_STORE),
            "Where the files go: a directory, or a URL (`s3://bucket/prefix`, `gs://…`, `az://…`).",
        ),
        key(
            "gateway",
            "\"gw1\"",
            "the host's name",
            "Name of this gateway in the store; no two gateways of a store may share one.",
        ),
        with_default(
            "window",
            &quoted(DEFAULT_WINDOW),
            "Length of a window: a flow gives one row in each window in which it was active. Divides an hour.",
        ),
        with_default(
            "drain_interval",
            &quoted(DEFAULT_DRAIN_INTERVAL),
            "How often the kernel's maps are emptied; what a crash of the host can lose. Divides the window.",
        ),
        key(
            "spool",
            "\"/var/lib/flowlog/spool\"",
            "a temporary directory, which goes with the process",
            "Directory on a local disk where what was counted is kept until the store has it, and from which the next start goes on. With it, neither a crash nor an outage of the store loses a count.",
        ),
        with_default(
            "spool_max_bytes",
            &DEFAULT_SPOOL_MAX_BYTES.to_string(),
            "Most bytes of the spool. When it is full, the kernel's maps hold the counts; what they cannot tell apart any more, the ledger has as overflow.",
        ),
        with_default(
            "pins",
            &quoted(crate::config::DEFAULT_PINS),
            "Directory of a BPF file system where the kernel program and its counters outlive the daemon, where there is a spool: packets are counted while it restarts. `flowlog uninstall` ends that.",
        ),
        with_default(
            "shutdown_timeout",
            &quoted(DEFAULT_SHUTDOWN_TIMEOUT),
            "How long SIGTERM may take to store what is open.",
        ),
        with_default(
            "max_flows_v4",
            &DEFAULT_MAX_FLOWS_V4.to_string(),
            "Most IPv4 flows between two drains; beyond them detail is lost, but no packet goes uncounted. About 272 bytes of kernel memory each.",
        ),
        with_default(
            "max_flows_v6",
            &DEFAULT_MAX_FLOWS_V6.to_string(),
            "Most IPv6 flows between two drains. About 320 bytes of kernel memory each.",
        ),
        with_default(
            "max_overflow",
            &DEFAULT_MAX_OVERFLOW.to_string(),
            "Most members, by protocol and family, whose packets keep their member when the flow maps are full; beyond them packets are only counted. About 592 bytes of kernel memory each.",
        ),
        key(
            "retention.keep",
            "\"90d\"",
            MUST_BE_GIVEN,
            "Without this table, the daemon deletes nothing. How long data are kept, in days (`90d`), weeks (`26w`), months (`6mo`; `6m` would be minutes, and is refused) or years (`1y`) of the calendar; then their partitions are deleted, and what the spool has set aside for so long.",
        ),
        with_default(
            "retention.interval",
            &quoted(DEFAULT_RETENTION_INTERVAL),
            "How often the daemon looks for what has expired.",
        ),
    ]
}

/// Every key of a `[[targets]]` table.
pub(super) fn target_keys() -> Vec<Key> {
    let required =
        |name, example: &str, meaning| key(name, &quoted(example), MUST_BE_GIVEN, meaning);
    vec![
        required(
            "targets.prefix",
            "192.0.2.7",
            "Address of a member under an order, or a prefix (`2001:db8:7::/48`).",
        ),
        required(
            "targets.from",
            "2026-03-01T00:00:00Z",
            "From when on the member is recorded: an instant with its zone.",
        ),
        required(
            "targets.to",
            "2026-05-01T00:00:00Z",
            "Until when, this instant not included. The kernel program keeps to it by itself. A prefix has at most 4 periods that do not touch.",
        ),
    ]
}

/// The reference of the configuration file, as Markdown.
#[must_use]
pub fn reference() -> String {
    let rows: String = keys().iter().chain(&target_keys()).map(row).collect();
    format!(
        "<!-- Generated by `cargo xtask generate`; the source is flowlog/src/config/reference.rs. -->\n\
         # Configuration\n\n\
         `flowlog run --config FILE` reads TOML. Options of the command line come before the file. \
         An unknown key is an error.\n\n\
         | key | default | meaning |\n|---|---|---|\n{rows}\n```toml\n{}```\n\n\
         Recording only whom an order names, `[[targets]]` as often as there are orders:\n\n\
         ```toml\n{}```\n",
        example(),
        targeted_example()
    )
}

fn row(key: &Key) -> String {
    let Key { name, default, meaning, .. } = key;
    let is_value = default.starts_with('"') || !default.contains(' ');
    let default = if is_value { format!("`{default}`") } else { default.clone() };
    format!("| `{name}` | {default} | {meaning} |\n")
}

/// A configuration file with every key.
pub(super) fn example() -> String {
    let mut lines = vec![];
    let mut table = "";
    for Key { name, example, .. } in keys() {
        let (of, name) = name.split_once('.').unwrap_or(("", name));
        if of != table {
            lines.push(format!("\n[{of}]\n"));
            table = of;
        }
        lines.push(format!("{name} = {example}\n"));
    }
    lines.concat()
}

/// A configuration file of the profile `targeted`, with every key of a target.
pub(super) fn targeted_example() -> String {
    let mut lines =
        vec!["profile = \"targeted\"\ninterfaces = [\"wg0\"]\n\n[[targets]]\n".to_owned()];
    for Key { name, example, .. } in target_keys() {
        lines.push(format!("{} = {example}\n", name.trim_start_matches("targets.")));
    }
    lines.concat()
}
