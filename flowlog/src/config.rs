//! The configuration: a documented TOML file, parsed into types before anything starts.

mod plain;
mod reference;
mod target;

pub use reference::reference;
pub use target::TargetFile;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::record::{
    gateway::{GatewayName, InvalidName},
    pattern::InterfacePattern,
    period::{Period, parse_duration, parse_period},
    policy::{Order, Policy, Profile},
};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, has an unknown key, or a value of the wrong kind.
    #[error("the configuration {} is not valid: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// A value makes no sense.
    #[error("{key}: {message}")]
    Value {
        /// The configuration key, or the option of the command line.
        key: &'static str,
        /// What is wrong with its value and what would be right.
        message: String,
    },
}

/// A configuration file as it is written: every key may be left out. `profile` must then be given
/// otherwise.
///
/// The documentation of the keys is in [`reference()`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented once, in the reference, which a test compares")]
pub struct File {
    pub profile: Option<Profile>,
    pub interfaces: Option<Vec<String>>,
    pub order: Option<Order>,
    pub store: Option<String>,
    pub gateway: Option<String>,
    pub window: Option<String>,
    pub drain_interval: Option<String>,
    pub spool: Option<PathBuf>,
    pub spool_max_bytes: Option<u64>,
    pub pins: Option<PathBuf>,
    pub shutdown_timeout: Option<String>,
    pub max_flows_v4: Option<u32>,
    pub max_flows_v6: Option<u32>,
    pub max_overflow: Option<u32>,
    pub retention: Option<RetentionFile>,
    pub targets: Option<Vec<TargetFile>>,
}

/// The `[retention]` table of a configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "documented once, in the reference, which a test compares")]
pub struct RetentionFile {
    pub keep: String,
    pub interval: Option<String>,
}

impl File {
    /// A configuration in which everything else is left out.
    #[must_use]
    pub fn with_profile(profile: Profile) -> Self {
        Self { profile: Some(profile), ..Self::default() }
    }

    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|message| Error::Parse { path: path.to_owned(), message })
    }

    /// Parses the text of a configuration file; the error says what is wrong and in which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        plain::check(text)?;
        toml::from_str(text).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            // Its own words are those of types, and may repeat a value.
            let message = match plain::key_at(text, place).as_deref() {
                Some("profile") => {
                    let value = error.span().and_then(|span| text.get(span)).unwrap_or_default();
                    let word = value.trim_matches(['"', '\'']);
                    let is_word = word.len() <= 20 && word.chars().all(|c| c.is_ascii_alphabetic());
                    let not = if is_word { format!(", not {word:?}") } else { String::new() };
                    format!("profile must be {PROFILES}{not}")
                }
                Some(key) => format!("the value of {key} is out of range"),
                None => "it cannot be understood".to_owned(),
            };
            plain::at(text, place, &message)
        })
    }
}

/// The profiles, for messages.
const PROFILES: &str = "\"flows\" (both sides of each conversation), \"attribution\" (who used which address and port, never with whom) or \"targeted\" (only members under an order)";

/// Everything that `flowlog run` needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interfaces to count, by name or pattern.
    pub interfaces: Vec<InterfacePattern>,
    /// Where at the hooks of an interface, among the programs of others.
    pub order: Order,
    /// Where the files go: a path or a URL.
    pub store: String,
    /// Name of this gateway in the store.
    pub gateway: String,
    /// What is collected.
    pub policy: Policy,
    /// Length of a window; divides an hour.
    pub window: Duration,
    /// How often the kernel's maps are drained; divides the window.
    pub drain_interval: Duration,
    /// Where what was drained is kept until the store has it; `None`: nowhere for longer than the
    /// process lives.
    pub spool: Option<PathBuf>,
    /// Most bytes of the spool.
    pub spool_max_bytes: u64,
    /// Where the kernel program's maps outlive the daemon; only with a spool.
    pub pins: PathBuf,
    /// How long a shutdown may take.
    pub shutdown_timeout: Duration,
    /// Most IPv4 flows of an epoch.
    pub max_flows_v4: u32,
    /// Most IPv6 flows of an epoch.
    pub max_flows_v6: u32,
    /// Most members with a protocol, of each family, told apart when those are full.
    pub max_overflow: u32,
    /// When the store is cleared of what has expired.
    pub retention: Option<Retention>,
}

/// The retention loop inside `flowlog run`.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How long data are kept.
    pub keep: Period,
    /// How often to look for what has expired.
    pub interval: Duration,
}

/// Where links and maps outlive the daemon, unless somewhere else is named.
pub const DEFAULT_PINS: &str = "/sys/fs/bpf/flowlog";
/// Where the files go when nobody says otherwise.
pub const DEFAULT_STORE: &str = "/var/lib/flowlog/store";
pub(crate) const DEFAULT_WINDOW: &str = "5m";
pub(crate) const DEFAULT_DRAIN_INTERVAL: &str = "10s";
pub(crate) const DEFAULT_SHUTDOWN_TIMEOUT: &str = "30s";
pub(crate) const DEFAULT_SPOOL_MAX_BYTES: u64 = 4 << 30;
pub(crate) const DEFAULT_MAX_FLOWS_V4: u32 = 262_144;
pub(crate) const DEFAULT_MAX_FLOWS_V6: u32 = 65_536;
pub(crate) const DEFAULT_MAX_OVERFLOW: u32 = 16_384;
pub(crate) const DEFAULT_RETENTION_INTERVAL: &str = "10m";

const HOUR: Duration = Duration::from_hours(1);

impl Config {
    /// Checks a configuration; `hostname` is the gateway's name where the file gives none.
    pub fn from_file(file: File, hostname: &str) -> Result<Self, Error> {
        let File {
            profile,
            interfaces,
            order,
            store,
            gateway,
            window,
            drain_interval,
            spool,
            spool_max_bytes,
            pins,
            shutdown_timeout,
            max_flows_v4,
            max_flows_v6,
            max_overflow,
            retention,
            targets,
        } = file;
        let window = duration("window", window.as_deref().unwrap_or(DEFAULT_WINDOW))?;
        let drain_interval = match drain_interval {
            Some(text) => duration("drain_interval", &text)?,
            None => duration("drain_interval", DEFAULT_DRAIN_INTERVAL)?.min(window),
        };
        divides("window", window, "an hour", HOUR)?;
        divides("drain_interval", drain_interval, "the window", window)?;
        Ok(Self {
            policy: target::policy(profile.ok_or_else(no_profile)?, &targets.unwrap_or_default())?,
            interfaces: parse_interfaces(&interfaces.unwrap_or_default())?,
            order: order.unwrap_or_default(),
            store: store.unwrap_or_else(|| DEFAULT_STORE.to_owned()),
            gateway: parse_gateway(gateway.as_deref().unwrap_or(hostname))?,
            window,
            drain_interval,
            spool,
            spool_max_bytes: room(spool_max_bytes.unwrap_or(DEFAULT_SPOOL_MAX_BYTES))?,
            pins: pins.unwrap_or_else(|| DEFAULT_PINS.into()),
            shutdown_timeout: duration(
                "shutdown_timeout",
                shutdown_timeout.as_deref().unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT),
            )?,
            max_flows_v4: at_least_one(
                "max_flows_v4",
                max_flows_v4.unwrap_or(DEFAULT_MAX_FLOWS_V4),
            )?,
            max_flows_v6: at_least_one(
                "max_flows_v6",
                max_flows_v6.unwrap_or(DEFAULT_MAX_FLOWS_V6),
            )?,
            max_overflow: at_least_one(
                "max_overflow",
                max_overflow.unwrap_or(DEFAULT_MAX_OVERFLOW),
            )?,
            retention: retention.map(parse_retention).transpose()?,
        })
    }
}

/// There is no default: nobody is to collect more than was decided.
fn no_profile() -> Error {
    let message = format!("no profile is named; choose with --profile or in the file: {PROFILES}");
    Error::Value { key: "profile", message }
}

/// Least bytes of a spool: a drain and its window of a gateway where little goes on fit in.
const LEAST_SPOOL_BYTES: u64 = 16 << 10;

fn room(bytes: u64) -> Result<u64, Error> {
    if bytes < LEAST_SPOOL_BYTES {
        let message = format!(
            "{bytes} bytes have no room for a single drain; give the spool at least {LEAST_SPOOL_BYTES}, better {DEFAULT_SPOOL_MAX_BYTES}"
        );
        return Err(Error::Value { key: "spool_max_bytes", message });
    }
    Ok(bytes)
}

fn parse_interfaces(names: &[String]) -> Result<Vec<InterfacePattern>, Error> {
    if names.is_empty() {
        return Err(Error::Value {
            key: "interfaces",
            message: "no interface is named; say which one is the VPN's, for example wg0"
                .to_owned(),
        });
    }
    names
        .iter()
        .map(|name| name.parse().map_err(|message| Error::Value { key: "interfaces", message }))
        .collect()
}

/// A gateway's name is a folder in the store, so it keeps to what every store can hold.
fn parse_gateway(name: &str) -> Result<String, Error> {
    let wrong = |error: InvalidName| Error::Value { key: "gateway", message: error.to_string() };
    name.parse::<GatewayName>().map(String::from).map_err(wrong)
}

fn parse_retention(file: RetentionFile) -> Result<Retention, Error> {
    let RetentionFile { keep, interval } = file;
    Ok(Retention {
        keep: parse_period(&keep)
            .map_err(|message| Error::Value { key: "retention.keep", message })?,
        interval: duration(
            "retention.interval",
            interval.as_deref().unwrap_or(DEFAULT_RETENTION_INTERVAL),
        )?,
    })
}

fn duration(key: &'static str, text: &str) -> Result<Duration, Error> {
    parse_duration(text).map_err(|message| Error::Value { key, message })
}

fn divides(key: &'static str, part: Duration, name: &str, whole: Duration) -> Result<(), Error> {
    let is_whole_ms = part.subsec_nanos().is_multiple_of(1_000_000);
    if part.is_zero() || !is_whole_ms || !whole.as_millis().is_multiple_of(part.as_millis()) {
        return Err(Error::Value {
            key,
            message: format!("{part:?} does not divide {name} ({whole:?}) into equal parts"),
        });
    }
    Ok(())
}

fn at_least_one(key: &'static str, number: u32) -> Result<u32, Error> {
    if number == 0 {
        return Err(Error::Value { key, message: "must be at least 1".to_owned() });
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
