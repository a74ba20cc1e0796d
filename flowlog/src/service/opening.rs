//! The part of opening the store that a start depends on.

use std::time::Duration;

use super::{
    Error,
    publish::{Early, Target},
};
use crate::store::{self, Kind, Store};

/// How long counting waits to hear that another daemon writes for this gateway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the store as far as that is needed before counting begins.
///
/// Without a spool there is nowhere else to keep anything, so that the store must work. With one, only
/// a daemon that has the gateway's right to write is in the way, unless the spool has something to add
/// to the store: then it waits for its turn.
pub(super) async fn open(target: &Target, has_spooled: bool) -> Result<Option<Early>, Error> {
    let Target { store: url, gateway, is_durable } = target;
    let failed = |source| Error::Store { url: url.clone(), source };
    let store = Store::open_isolated(url.in_clear()).map_err(failed)?;
    if !is_durable {
        return usable(store, gateway).await.map(Some).map_err(failed);
    }
    match tokio::time::timeout(PATIENCE, store.lock(gateway)).await {
        Ok(Ok(lock)) => Ok(Some(Early { store, lock, is_probed: false })),
        Ok(Err(error)) if error.kind() == Kind::Locked && !has_spooled => Err(failed(error)),
        // It is opened later, however often that takes.
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

async fn usable(store: Store, gateway: &str) -> Result<Early, store::Error> {
    let lock = store.lock(gateway).await?;
    store.probe(gateway).await?;
    Ok(Early { store, lock, is_probed: true })
}
