//! Asking stores for what the spool lost.

use std::sync::Arc;

use super::{
    super::{super::windows::Shared, counted, events::Event},
    Fault, Worker,
};
use crate::{record::location::Location, spool::identity::Lost, store};

/// What is lost is not of one file.
pub(super) const LOST: &str = "what is lost";

impl Worker {
    /// Asks the store for what is lost: it may have it.
    pub(super) async fn settle(&self, shared: &Shared) -> Result<(), Fault> {
        if self.is_paused(LOST) {
            return Ok(());
        }
        let spool = Arc::clone(shared.lock().spool());
        let mut outcome = Ok(());
        for lost in spool.unsettled() {
            // A store that does not answer holds up nothing of which others know.
            match self.ledgers_of(shared, &lost).await {
                Ok(ledgers) => {
                    let counted = counted::Counted::of(&ledgers, &lost);
                    tracing::debug!(?lost, ?counted, "asked the store for what is lost");
                    spool.settle(&lost, &counted.epochs, &counted.times)?;
                }
                Err(error) => outcome = Err(error.into()),
            }
        }
        if outcome.is_ok() {
            self.state().pauses.remove(LOST);
        }
        outcome
    }

    /// The ledgers of each store that may have something that is lost.
    async fn ledgers_of(
        &self,
        shared: &Shared,
        lost: &Lost,
    ) -> Result<Vec<counted::Ledger>, store::Error> {
        let (mut ledgers, url) = self.ledgers_in(lost.store.as_ref(), lost).await?;
        if lost.store.is_some() {
            return Ok(ledgers);
        }
        let (others, growing) = {
            let files = shared.lock();
            (files.spool().stores(), files.growing())
        };
        for other in others.into_iter().filter(|other| *other != url) {
            let is_awaited =
                growing.iter().any(|file| file.identity.store.as_ref() == Some(&other));
            match self.ledgers_in(Some(&other), lost).await {
                Ok((more, _)) => ledgers.extend(more),
                Err(error) if is_awaited => return Err(error),
                // One that is not there any more, and to which nothing goes, is not waited for.
                Err(error) => Event::FormerStoreAway { error: &error }.emit(),
            }
        }
        Ok(ledgers)
    }

    /// The ledgers of one store, and its URL.
    async fn ledgers_in(
        &self,
        url: Option<&Location>,
        lost: &Lost,
    ) -> Result<(Vec<counted::Ledger>, Location), store::Error> {
        let (store, url) = self.targets.lock().await.open(url, &lost.gateway).await?;
        Ok((counted::ledgers(&store, lost).await?, url))
    }
}
