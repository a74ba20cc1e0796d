//! Looking at a source, whichever it is.

use tokio::sync::mpsc;

use super::{
    Health,
    hook::{Directory, Kind, Notes},
    lease,
    openvpn::{self, CallWatch, Memory, StatusFile},
    reporter::Reporter,
    wireguard,
};
use crate::{
    config::{Hook, SourceConfig, SourceOrigin},
    record::session::{Instance, PeerKey, Report},
};

/// Reports of a source that nobody has taken yet.
pub const WAITING_REPORTS: usize = 16;

/// Asks a source until nobody takes its reports any more. Must be called within a tokio runtime, whose network
/// namespace is the one to be looked at; it never blocks its thread.
///
/// `health` has why the source cannot be looked at.
pub async fn watch(
    config: SourceConfig,
    key: PeerKey,
    reports: mpsc::Sender<Report>,
    health: Health,
) {
    let (source, name) = (config.source(), config.instance().unwrap_or_default());
    let SourceConfig { realm, poll, hook_directory, origin } = config;
    let instance = Instance { source, name };
    match origin {
        SourceOrigin::Wireguard { interfaces } => {
            let watch = wireguard::Watch { interfaces, realm, poll, key, health };
            watch.run(reports).await;
        }
        SourceOrigin::Lease { file } => {
            let reporter = Reporter::new(instance, &realm, reports, health);
            if let Some(file) = file {
                lease::run_file(file, poll, key, reporter).await;
            } else {
                let directory = Directory::new(hook_directory, Kind::Lease, None, true);
                let notes = Notes::new(directory, reporter.instance.clone());
                lease::run_hook(notes, poll, key, reporter).await;
            }
        }
        SourceOrigin::Openvpn { hook, status, management } => {
            let memory = Memory::new(&hook_directory, &instance.name);
            let calls = memory.filter(|_| hook != Hook::None).map(|memory| {
                let (server, takes_unnamed) = (instance.name.clone(), hook == Hook::Only);
                let directory =
                    Directory::new(hook_directory, Kind::Openvpn, Some(server), takes_unnamed);
                CallWatch::new(Notes::new(directory, instance.clone()), memory)
            });
            let watch =
                openvpn::Watch { calls, status: status.map(StatusFile::new), management, key };
            watch.run(poll, Reporter::new(instance, &realm, reports, health)).await;
        }
    }
}
