//! The configuration: a documented TOML file, parsed into types before anything starts.
//!
//! Every key is a field of one of the structs of `settings`, which are small and each for one part of
//! the service. The field gives its check, its option, its line in the reference and in the installed
//! file, and its line in `flowlog config show`.

mod error;
mod file;
mod flags;
mod item;
mod key;
mod keys;
mod plain;
mod reference;
mod settings;
mod show;
mod source;
mod source_kind;
mod target;
mod value;

use std::time::Duration;

pub use error::Error;
pub use file::File;
pub use flags::Flags;
pub use settings::{
    CaptureSettings, InterfaceSettings, KeepSettings, PolicySettings, RetentionSettings,
    SessionRetentionSettings, SourceSettings, SourcesSettings, SpoolSettings, StatusSettings,
    StoreSettings, SubscriberSettings, TargetSettings, TimeSettings,
};
pub use show::{Shown, ShownKey, show};
pub use source::{Hook, SourceConfig, SourceOrigin};
pub use source_kind::SourceKind;

use crate::record::{
    gateway::{GatewayName, InvalidName},
    location::Location,
    pattern::InterfacePattern,
    policy::Policy,
};

/// Everything that `flowlog run` needs to know, checked. Each part of the service gets its own of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this gateway in the store.
    pub gateway: GatewayName,
    /// What is collected.
    pub policy: Policy,
    /// The interfaces that are counted.
    pub interfaces: Vec<InterfacePattern>,
    /// How the kernel program counts, and in what.
    pub capture: CaptureSettings,
    /// Where the files go: a path or a URL.
    pub store: Location,
    /// How long a window is, how often the kernel is drained, and how long an end may take.
    pub times: TimeSettings,
    /// Where what was drained stays until the store has it.
    pub spool: SpoolSettings,
    /// Where the daemon answers how it is.
    pub status: StatusSettings,
    /// When the store is cleared of what has expired.
    pub retention: Option<RetentionSettings>,
    /// Who tells of sessions.
    pub sources: Vec<SourceConfig>,
    /// The subscribers of peers.
    pub subscribers: Option<SubscriberSettings>,
}

/// The reference of the configuration file, as Markdown.
#[must_use]
pub fn reference() -> String {
    reference::page(settings::FILE)
}

/// The configuration file that is installed with the daemon.
#[must_use]
pub fn installed_file() -> String {
    reference::installed_file(settings::FILE)
}

const HOUR: Duration = Duration::from_hours(1);

impl Config {
    /// Checks a configuration; `hostname` is the gateway's name where the file gives none.
    pub fn from_file(mut file: File, hostname: &str) -> Result<Self, Error> {
        file.complete(hostname);
        let times: TimeSettings = file.settings()?;
        divides(&file, "window", times.window, ("an hour", HOUR))?;
        divides(&file, "drain_interval", times.drain_interval, ("the window", times.window))?;
        let PolicySettings { profile, targets } = file.settings()?;
        let policy = target::policy(profile, &targets)
            .map_err(|message| file.wrong_value("targets", message))?;
        let InterfaceSettings { interfaces } = file.settings()?;
        if interfaces.is_empty() {
            let message = "no interface is named; name the one of the VPN, for example wg0";
            return Err(file.wrong_value("interfaces", message.to_owned()));
        }
        let StoreSettings { store, gateway } = file.settings()?;
        let unnamed = |error: InvalidName| file.wrong_value("gateway", error.to_string());
        let gateway = gateway.map_or_else(|| hostname.parse().map_err(unnamed), Ok)?;
        let KeepSettings { retention } = file.settings()?;
        let SourcesSettings { source, subscribers } = file.settings()?;
        let sources = source::sources(source, subscribers.as_ref())
            .map_err(|message| file.wrong_value("source", message))?;
        let (capture, spool, status) = (file.settings()?, file.settings()?, file.settings()?);
        places(&file, &spool, &status)?;
        Ok(Self {
            gateway,
            policy,
            interfaces,
            capture,
            store,
            times,
            spool,
            status,
            retention,
            sources,
            subscribers,
        })
    }
}

/// The spool has a name, and is flowlog's alone: what else is in it is moved aside.
fn places(file: &File, spool: &SpoolSettings, status: &StatusSettings) -> Result<(), Error> {
    let Some(spool) = &spool.spool else { return Ok(()) };
    if spool.as_os_str().is_empty() {
        let message = "it is empty; name a directory, or leave it out for a temporary one";
        return Err(file.wrong_value("spool", message.to_owned()));
    }
    let socket = status.status_socket.as_ref().filter(|socket| !socket.as_os_str().is_empty());
    if socket.is_some_and(|socket| socket.starts_with(spool)) {
        let message = format!(
            "it is in the spool {}, which has counts in it and nothing else; name another path, for example /run/flowlog/gw1.sock",
            spool.display()
        );
        return Err(file.wrong_value("status_socket", message));
    }
    Ok(())
}

fn divides(
    file: &File,
    key: &str,
    part: Duration,
    (name, whole): (&str, Duration),
) -> Result<(), Error> {
    let is_whole_ms = part.subsec_nanos().is_multiple_of(1_000_000);
    if part.is_zero() || !is_whole_ms || !whole.as_millis().is_multiple_of(part.as_millis()) {
        let message = format!("{part:?} does not divide {name} ({whole:?}) into equal parts");
        return Err(file.wrong_value(key, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
