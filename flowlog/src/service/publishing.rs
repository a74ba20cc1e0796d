//! From the spool to the store: windows are gathered and published as soon as the spool is recovered
//! and the store is open.

use std::path::PathBuf;

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    Error, Options,
    drain_loop::InSpool,
    expiry::Expiry,
    publish::{Early, Publisher, Target},
    sessions::{SessionSettings, Sessions},
    windows::{self, DrainEvent, Gathered, Shared},
};
use crate::{
    config::RetentionSettings,
    keep::retain::Scope,
    record::clock::Utc,
    spool::{self, Spool},
    table::SESSIONS,
    telemetry::with_causes,
};

/// Where the files go, and when they are deleted.
#[derive(Clone)]
pub(super) struct PublishSettings {
    pub(super) target: Target,
    pub(super) retention: Option<RetentionSettings>,
    /// The spool, where it outlives the process.
    pub(super) spool: Option<PathBuf>,
    /// Who tells of sessions.
    pub(super) sessions: SessionSettings,
}

/// The tasks between the spool and the store.
pub(super) struct Publishing {
    shared: Shared,
    gather: JoinHandle<Result<Gathered, spool::Error>>,
    publisher: Publisher,
    retention: Option<JoinHandle<()>>,
    sessions: Option<Sessions>,
}

impl Publishing {
    /// Starts the tasks; those that need the store wait for it.
    pub(super) fn start(
        settings: PublishSettings,
        options: &Options,
        in_spool: InSpool,
        drained: mpsc::Receiver<DrainEvent>,
        early: Option<Early>,
    ) -> Self {
        let PublishSettings { target, retention, spool: directory, sessions } = settings;
        let InSpool { spool, files, found } = in_spool;
        let shared = Shared::new(files);
        options.whereabouts.files(shared.clone());
        let status = options.status.clone();
        let gather = tokio::spawn(windows::gather(shared.clone(), found, drained, spool.scratch()));
        let mut expiry = retention.map(|retention| {
            let own = target.gateway.parse().into_iter();
            let gateways = own.chain(former_scopes(&spool)).collect();
            Expiry::new(retention, gateways, directory, (shared.clone(), status.clone()))
        });
        if let Some(expiry) = &mut expiry {
            // Before anything of it can be published.
            expiry.expire_unpublished();
        }
        let publisher = Publisher::start(target, early, shared.clone(), status.clone());
        let has_sessions = !sessions.sources.is_empty() || spool.has_events(SESSIONS.name);
        let sessions =
            has_sessions.then(|| Sessions::start(sessions, spool, publisher.store(), status));
        let retention = expiry.map(|expiry| tokio::spawn(expiry.keep_expiring(publisher.store())));
        Self { shared, gather, publisher, retention, sessions }
    }

    /// Returns when publishing has ended by itself, which it does for an error only.
    pub(super) async fn ended(&mut self) -> Result<(), Error> {
        self.publisher.ended().await
    }

    /// Nothing is tried for longer than until then.
    pub(super) fn stop(&self, deadline: Instant) {
        self.shared.stop(deadline.into_std());
    }

    /// Publishes all that there is, and the file with the window that is open; until an instant.
    pub(super) async fn finish(self, deadline: Instant) -> Result<(), Error> {
        let Self { shared: _, gather, publisher, retention, sessions } = self;
        if let Some(retention) = retention {
            retention.abort();
        }
        let flows = finish_flows(gather, publisher, deadline);
        let sessions = async {
            match sessions {
                Some(sessions) => sessions.finish(deadline).await,
                None => Ok(()),
            }
        };
        let (flows, sessions) = tokio::join!(flows, sessions);
        flows.and(sessions)
    }
}

/// Publishes all flows that there are, and the file with the window that is open; until an instant.
async fn finish_flows(
    mut gather: JoinHandle<Result<Gathered, spool::Error>>,
    publisher: Publisher,
    deadline: Instant,
) -> Result<(), Error> {
    let gathered = timeout_at(deadline, &mut gather).await;
    let (open, outcome) = match gathered {
        Ok(Ok(Ok(Gathered { open, is_whole: true }))) => (open, Ok(())),
        Ok(Ok(Ok(Gathered { open, is_whole: false }))) => (open, Err(Error::NotGathered)),
        Ok(Ok(Err(error))) => (None, Err(Error::from(error))),
        Ok(Err(_)) => (None, Err(Error::Ended { part: "aggregation" })),
        Err(_) => {
            gather.abort();
            (None, Err(Error::NotGathered))
        }
    };
    let timeout = deadline.saturating_duration_since(Instant::now());
    match (publisher.finish(open, timeout).await, outcome) {
        (outcome, Ok(())) => outcome,
        (Ok(()), Err(error)) => Err(error),
        (Err(mut error), Err(Error::NotGathered)) => {
            if let Error::NotPublished { is_gathered, .. } = &mut error {
                *is_gathered = false;
            }
            Err(error)
        }
        (Err(error), Err(other)) => {
            tracing::error!("{}", with_causes(&other));
            Err(error)
        }
    }
}

/// What the gateway recorded under the names that it had before.
fn former_scopes(spool: &Spool) -> Vec<Scope> {
    let scope = |(name, until): (String, Utc)| Some(Scope::former(name.parse().ok()?, until));
    spool.former_names().into_iter().filter_map(scope).collect()
}
