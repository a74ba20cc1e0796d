//! A single look at a source, for `flowlog check`.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{
    Error,
    blocking::Blocking,
    hook::{Directory, Kind},
    lease, openvpn, wireguard,
};
use crate::{
    config::{Hook, SourceConfig, SourceOrigin},
    record::{clock, session::PeerKey},
};

/// An answer takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// What a look at a part of a source gave.
#[derive(Debug)]
pub struct Probe {
    /// The part: an interface, a file, a socket.
    pub part: String,
    /// What it has, or why that is not known.
    pub outcome: Result<String, Error>,
}

/// Looks at each part of a source once.
pub async fn probe(config: SourceConfig, key: PeerKey) -> Vec<Probe> {
    let SourceConfig { realm: _, poll: _, hook_directory, origin } = config;
    let at = clock::now();
    match origin {
        SourceOrigin::Wireguard { interfaces } => {
            let counted = |count: usize| format!("{count} peers with addresses");
            match wireguard::probe(&interfaces, &key, at, LIMIT).await {
                Err(error) => vec![Probe { part: interfaces.to_string(), outcome: Err(error) }],
                Ok(found) if found.is_empty() => {
                    let none = "there is no such interface of WireGuard yet".to_owned();
                    vec![Probe { part: interfaces.to_string(), outcome: Ok(none) }]
                }
                Ok(found) => {
                    let probe = |(part, count): (String, Result<usize, Error>)| Probe {
                        part,
                        outcome: count.map(counted),
                    };
                    found.into_iter().map(probe).collect()
                }
            }
        }
        SourceOrigin::Openvpn { hook, status, management } => {
            let counted = |count: usize| format!("{count} clients with addresses");
            let mut probes = vec![];
            if let Some(path) = status {
                let part = format!("status file {}", path.display());
                let count = openvpn::probe_status(path, at, LIMIT).await;
                probes.push(Probe { part, outcome: count.map(counted) });
            }
            if let Some(path) = management {
                let part = format!("management socket {}", path.display());
                let count = openvpn::probe_management(&path, LIMIT).await;
                probes.push(Probe { part, outcome: count.map(counted) });
            }
            if hook != Hook::None {
                probes.push(directory(&hook_directory, Kind::Openvpn).await);
            }
            probes
        }
        SourceOrigin::Lease { file: Some(path) } => {
            let part = format!("file {}", path.display());
            let looked = Blocking::default().run(LIMIT, move || lease::probe(path)).await.flatten();
            vec![Probe { part, outcome: looked.map(|count| format!("{count} leases")) }]
        }
        SourceOrigin::Lease { file: None } => vec![directory(&hook_directory, Kind::Lease).await],
    }
}

/// The directory of the notes of hooks, which the daemon makes where it is not there.
async fn directory(path: &Path, kind: Kind) -> Probe {
    let part = format!("hooks in {}", path.display());
    let directory = Directory::new(path.to_owned(), kind, None, true);
    let path = path.to_owned();
    let look = move || {
        if !path.exists() {
            return Ok("the daemon makes the directory when it starts".to_owned());
        }
        let scan = directory.scan(&BTreeSet::new())?;
        Ok(format!("{} notes wait for the daemon", scan.found.len()))
    };
    let looked = Blocking::default().run(LIMIT, look).await;
    let failed = |source| Error::Directory { source };
    Probe { part, outcome: looked.and_then(|looked: std::io::Result<_>| looked.map_err(failed)) }
}
