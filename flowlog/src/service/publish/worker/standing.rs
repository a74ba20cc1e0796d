//! How far publishing has come.

use tokio::sync::watch;

use super::{
    super::super::{backlog::Backlog, standing::Standing, windows::Shared},
    Part, Worker, add,
};
use crate::{
    spool::{HourFile, run::Run},
    store::Store,
};

impl Worker {
    /// What is in the store, and what waits for it. `open` is a last file that is not in the list of those
    /// that grow.
    pub(in super::super::super) fn standing(
        &self,
        shared: &Shared,
        open: Option<&HourFile>,
        opened: &watch::Sender<Option<Store>>,
    ) -> Standing {
        let mut files = shared.lock().growing();
        if let Some(open) = open {
            files.retain(|file| file.identity.lineage != open.identity.lineage);
            files.push(open.clone());
        }
        let mut state = self.state();
        let mut summary = state.done;
        summary.files += state.parts.values().map(Part::files).sum::<u64>();
        state.published.values().for_each(|file| add(&mut summary, file));
        let unmerged = shared.unmerged();
        let mut waiting: Backlog = unmerged.backlog;
        let mut oldest = unmerged.opened;
        for file in &files {
            let published = state.published.get(&file.identity.lineage);
            let is_put = |run: &Run| published.is_some_and(|before| before.runs.contains(run));
            for run in file.runs.iter().filter(|run| !is_put(run)) {
                waiting.windows += run.header.windows.len();
                waiting.rows += run.header.entry_count();
                let opened = run.header.opened();
                oldest = Some(oldest.map_or(opened, |oldest| opened.min(oldest)));
            }
        }
        let put_until = state.put_until;
        let stored_until = put_until.map(|until| oldest.map_or(until, |oldest| until.min(oldest)));
        let failures = state.pauses.values().map(|(failures, _)| *failures).max().unwrap_or(0);
        if failures == 0 {
            state.failure = None;
        }
        let error = state.failure.clone();
        let is_open = opened.borrow().is_some();
        let unmerged = unmerged.error;
        Standing { summary, waiting, stored_until, failures, error, unmerged, is_open }
    }
}
