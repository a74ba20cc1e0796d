//! A source that is looked at, and its reports.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use flowlog::{
    config::{SourceConfig, SourceOrigin},
    demo::Netns,
    record::session::{Content, Entry, PeerKey, Report, Source},
    source,
};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const POLL: Duration = Duration::from_millis(200);

/// The reports of a source, which is looked at in a namespace until this is dropped.
pub struct Reports(Receiver<Report>);

impl Reports {
    pub fn of(netns: &Netns, origin: SourceOrigin) -> Self {
        Self::with_hooks(netns, origin, "/nonexistent".into())
    }

    /// The same with a directory for the notes of hooks.
    pub fn with_hooks(netns: &Netns, origin: SourceOrigin, hook_directory: PathBuf) -> Self {
        let (to, from) = channel();
        let realm = "default".to_owned();
        let config = SourceConfig { realm, poll: POLL, hook_directory, origin };
        let (entered, ready) = channel();
        let namespace = netns.run(|| std::fs::File::open("/proc/thread-self/ns/net")).unwrap();
        thread::spawn(move || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            entered.send(()).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (reports, mut taken) = tokio::sync::mpsc::channel(source::WAITING_REPORTS);
                let watch = source::watch(config, key(), reports, source::Health::default());
                tokio::pin!(watch);
                loop {
                    tokio::select! {
                        () = &mut watch => return,
                        Some(report) = taken.recv() => {
                            // As if it were in the spool.
                            let receipt = report.receipt.clone();
                            if to.send(report).is_err() { return }
                            receipt.give();
                        }
                    }
                }
            });
            runtime.shutdown_background();
        });
        ready.recv().unwrap();
        Self(from)
    }

    /// The first report from now on that is wanted.
    pub fn wait(&self, what: &str, mut is_wanted: impl FnMut(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok(report) if is_wanted(&report) => return report,
                Ok(report) => last = Some(report),
                Err(RecvTimeoutError::Timeout) => panic!("no report of {what}; the last: {last:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("nobody looks any more"),
            }
        }
    }

    /// The first list from now on that is wanted.
    pub fn listing(&self, what: &str, mut is_wanted: impl FnMut(&[Entry]) -> bool) -> Vec<Entry> {
        let report = self.wait(
            what,
            |report| matches!(&report.content, Content::Listing(entries) if is_wanted(entries)),
        );
        let Content::Listing(entries) = report.content else { unreachable!() };
        entries
    }
}

pub fn key() -> PeerKey {
    PeerKey::new(vec![7; 32]).unwrap()
}

/// The entry of a name in a list.
pub fn entry<'a>(entries: &'a [Entry], source: Source, name: &str) -> &'a Entry {
    let peer = key().peer(source, name);
    entries.iter().find(|entry| entry.key.peer == peer).expect("an entry of this name")
}

/// The addresses of an entry, as text.
pub fn prefixes(entry: &Entry) -> Vec<String> {
    entry.prefixes.iter().map(|prefix| prefix.in_clear().to_string()).collect()
}

/// The outer endpoint of an entry, as text.
pub fn outer(entry: &Entry) -> String {
    let outer = entry.outer.expect("an outer endpoint");
    format!("{} {}", outer.address.in_clear(), outer.port.unwrap_or_default())
}
