//! Sources of sessions, checked.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use super::{
    settings::{SourceSettings, SubscriberSettings},
    source_kind::SourceKind,
};
use crate::record::{pattern::InterfacePattern, session::Source};

/// A source of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The space of its addresses.
    pub realm: String,
    /// How often it is looked at.
    pub poll: Duration,
    /// Where hooks leave their notes.
    pub hook_directory: PathBuf,
    /// How it is looked at.
    pub origin: SourceOrigin,
}

/// How a source is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceOrigin {
    /// The interfaces of WireGuard whose names match.
    Wireguard {
        /// Their names.
        interfaces: InterfacePattern,
    },
    /// A server of OpenVPN.
    Openvpn {
        /// Whether it calls the hook.
        hook: Hook,
        /// Its status file.
        status: Option<PathBuf>,
        /// Its management socket.
        management: Option<PathBuf>,
    },
    /// Leases.
    Lease {
        /// The file that has them; `None`: whoever calls the hook.
        file: Option<PathBuf>,
    },
}

/// Whether a server calls the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It does not.
    None,
    /// It does, with its name in `--server`: others do too.
    Named,
    /// It is the only one, so that a call without a name is its own.
    Only,
}

impl SourceConfig {
    /// The name of its instance in the tables; `None` where the interfaces have names.
    #[must_use]
    pub fn instance(&self) -> Option<String> {
        let text = |part: Option<&OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        match &self.origin {
            SourceOrigin::Wireguard { .. } => None,
            SourceOrigin::Openvpn { status, management, .. } => {
                let file = status.as_ref().or(management.as_ref());
                let stem = text(file.and_then(|file| file.file_stem()));
                Some(stem.unwrap_or_else(|| "openvpn".to_owned()))
            }
            SourceOrigin::Lease { file } => {
                let name = text(file.as_ref().and_then(|file| file.file_name()));
                Some(name.unwrap_or_else(|| "hook".to_owned()))
            }
        }
    }

    /// Its kind, as the tables have it.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self.origin {
            SourceOrigin::Wireguard { .. } => Source::Wireguard,
            SourceOrigin::Openvpn { .. } => Source::Openvpn,
            SourceOrigin::Lease { .. } => Source::Lease,
        }
    }
}

const SHORTEST_POLL: Duration = Duration::from_secs(1);
const LONGEST_POLL: Duration = Duration::from_mins(1);
const LONGEST_REALM: usize = 64;

/// Checks the sources of a configuration file; the error names a source by its number.
pub(super) fn sources(
    sources: Vec<SourceSettings>,
    subscribers: Option<&SubscriberSettings>,
) -> Result<Vec<SourceConfig>, String> {
    if !sources.is_empty() && subscribers.is_none() {
        return Err("a source needs the table [subscribers] with `peer_key_file`, the key for the pseudonyms of peers; make one with `head -c 32 /dev/urandom > /etc/flowlog/peer.key`".to_owned());
    }
    let mut checked: Vec<SourceConfig> = vec![];
    for (place, settings) in sources.into_iter().enumerate() {
        let number = place + 1;
        let source = source(settings).map_err(|fault| format!("number {number}: {fault}"))?;
        let is_double = |other: &SourceConfig| other.origin == source.origin;
        if let Some(other) = checked.iter().position(is_double) {
            return Err(format!("number {number}: the same as number {}", other + 1));
        }
        let name = source.instance().map(|name| (source.source(), name));
        let has_the_name = |other: &SourceConfig| {
            name == other.instance().map(|name| (other.source(), name)) && name.is_some()
        };
        if let (Some(other), Some((_, name))) = (checked.iter().position(has_the_name), &name) {
            let other = other + 1;
            return Err(format!(
                "number {number}: has the name {name:?} in the tables, as number {other} has; a source has the name of its file or socket, and needs one of its own"
            ));
        }
        checked.push(source);
    }
    Ok(with_names(checked))
}

/// Where several servers call the hook, each has to give its name.
fn with_names(mut sources: Vec<SourceConfig>) -> Vec<SourceConfig> {
    let calls = |source: &&mut SourceConfig| {
        matches!(source.origin, SourceOrigin::Openvpn { hook: Hook::Only, .. })
    };
    if sources.iter_mut().filter(calls).count() > 1 {
        for source in sources.iter_mut().filter(calls) {
            if let SourceOrigin::Openvpn { hook, .. } = &mut source.origin {
                *hook = Hook::Named;
            }
        }
    }
    sources
}

fn source(settings: SourceSettings) -> Result<SourceConfig, String> {
    let SourceSettings {
        kind,
        realm,
        interface,
        poll,
        hook,
        hook_directory,
        status,
        management,
        file,
    } = settings;
    if !(SHORTEST_POLL..=LONGEST_POLL).contains(&poll) {
        return Err("poll must be between 1s and 1m".to_owned());
    }
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if realm.is_empty() || realm.len() > LONGEST_REALM || !realm.bytes().all(is_right) {
        return Err("realm has 1 to 64 letters, digits, dots, underscores and hyphens".to_owned());
    }
    let of_others = |keys: &[(&str, bool)], kind: &str| {
        let set = keys.iter().find(|(_, is_set)| *is_set);
        set.map_or(Ok(()), |(key, _)| Err(format!("{key} is no key of a source of kind {kind:?}")))
    };
    let origin = match kind {
        SourceKind::Wireguard => {
            let others = [
                ("hook", hook),
                ("status", status.is_some()),
                ("management", management.is_some()),
                ("file", file.is_some()),
            ];
            of_others(&others, "wireguard")?;
            let interfaces =
                interface.ok_or("interface is missing; write for example interface = \"wg*\"")?;
            SourceOrigin::Wireguard { interfaces }
        }
        SourceKind::Openvpn => {
            of_others(&[("interface", interface.is_some()), ("file", file.is_some())], "openvpn")?;
            if !hook && status.is_none() && management.is_none() {
                return Err("a source of kind \"openvpn\" needs hook = true, status or management"
                    .to_owned());
            }
            let management = management.as_deref().map(socket).transpose()?;
            let hook = if hook { Hook::Only } else { Hook::None };
            SourceOrigin::Openvpn { hook, status, management }
        }
        SourceKind::Lease => {
            let others = [
                ("interface", interface.is_some()),
                ("hook", hook),
                ("status", status.is_some()),
                ("management", management.is_some()),
            ];
            of_others(&others, "lease")?;
            SourceOrigin::Lease { file }
        }
    };
    Ok(SourceConfig { realm, poll, hook_directory, origin })
}

fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/'));
    path.map(PathBuf::from).ok_or_else(|| {
        "management must be unix: and the path of a socket, such as unix:/run/openvpn/server.sock".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, File};

    fn error(tables: &str) -> String {
        let file = File::parse(&format!("profile = \"flows\"\ninterfaces = [\"wg0\"]\n{tables}"));
        let checked =
            file.and_then(|file| Config::from_file(file, "gw1").map_err(|e| e.to_string()));
        checked.map_or_else(|error| error, |config| format!("{:?}", config.sources))
    }

    const KEY: &str = "[subscribers]\npeer_key_file = \"/etc/flowlog/peer.key\"\n";

    #[test]
    fn a_source_that_makes_no_sense_is_refused_with_its_number() {
        for (source, expected) in [
            ("kind = \"wireguard\"", "number 1: interface is missing"),
            ("kind = \"wireguard\"\ninterface = \"wg0\"\nhook = true", "hook is no key of"),
            ("kind = \"openvpn\"", "needs hook = true, status or management"),
            ("kind = \"openvpn\"\nmanagement = \"127.0.0.1:7505\"", "management must be unix:"),
            ("kind = \"lease\"\npoll = \"1ms\"", "poll must be between"),
            ("kind = \"lease\"\nrealm = \"a b\"", "realm has 1 to 64 letters"),
            ("kind = \"telnet\"", "source.kind must be"),
            ("kind = \"lease\"\n[[source]]\nkind = \"lease\"", "number 2: the same as number 1"),
            (
                "kind = \"openvpn\"\nstatus = \"/a/udp.log\"\n[[source]]\nkind = \"openvpn\"\nstatus = \"/b/udp.status\"",
                "number 2: has the name \"udp\" in the tables, as number 1",
            ),
        ] {
            let error = error(&format!("{KEY}[[source]]\n{source}\n"));
            assert!(error.contains(expected), "{source}: {error}");
        }
        let error = error("[[source]]\nkind = \"lease\"\n");
        assert!(error.contains("peer_key_file"), "{error}");
    }

    #[test]
    fn of_several_servers_that_call_the_hook_each_gives_its_name() {
        let openvpn = |rest: &str| format!("[[source]]\nkind = \"openvpn\"\nhook = true\n{rest}\n");
        let one = error(&format!("{KEY}{}", openvpn("")));
        assert!(one.contains("hook: Only"), "{one}");
        let two =
            error(&format!("{KEY}{}{}", openvpn(""), openvpn("status = \"/run/udp.status\"")));
        assert_eq!(two.matches("hook: Named").count(), 2, "{two}");
    }
}
