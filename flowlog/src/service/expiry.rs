//! The task that deletes what has expired.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    clock,
    config::Retention,
    retain,
    spool::Spool,
    store::{self, Store},
    telemetry::with_causes,
};

/// Deletes what has expired, again and again.
pub(super) async fn keep_expiring(
    mut store: watch::Receiver<Option<Store>>,
    spool: Arc<Spool>,
    retention: Retention,
    gateway: String,
) {
    let Ok(Some(store)) = store.wait_for(Option::is_some).await.map(|store| store.clone()) else {
        return;
    };
    let mut ticks = tokio::time::interval(retention.interval);
    loop {
        ticks.tick().await;
        let now = clock::now();
        match spool.expire_damaged(|written| retain::is_over(&retention.keep, written, now)) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "damaged runs in the spool expired"),
            Err(error) => tracing::error!("retention: {}", with_causes(&error)),
        }
        if let Err(error) = expire(&store, &retention, &gateway).await {
            tracing::error!("retention: {}", with_causes(&error));
        }
    }
}

async fn expire(store: &Store, retention: &Retention, gateway: &str) -> Result<(), store::Error> {
    let plan = retain::plan(&store.list().await?, &retention.keep, clock::now(), Some(gateway));
    for object in &plan.foreign {
        tracing::debug!(%object, "retention keeps what is not a file of flowlog");
    }
    retain::run(store, &plan, |expired| {
        tracing::info!(partition = expired.partition.folder(), "expired");
    })
    .await
}
