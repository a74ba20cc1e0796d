//! Sessions that ended a short while ago: a report that comes once more, since the daemon was killed before its note was
//! removed, does not bring one back.

use std::{collections::BTreeMap, time::Duration};

use super::super::event::{ClosedRow, OpenRow};
use crate::record::{
    clock::Utc,
    session::{EndReason, EntryKey, Instance},
};

/// How long an end is remembered.
pub(in super::super) const REMEMBERED: Duration = Duration::from_mins(10);

/// When they ended.
#[derive(Debug, Default)]
pub(super) struct Ended(BTreeMap<(Instance, EntryKey), Utc>);

impl Ended {
    /// Notes the end of a row, unless its session goes on.
    pub(super) fn close(&mut self, instance: &Instance, key: EntryKey, closed: &ClosedRow) {
        let goes_on = match closed.reason {
            Some(reason) => matches!(reason, EndReason::Roamed | EndReason::Unknown),
            None => true,
        };
        if goes_on || closed.continues {
            return;
        }
        let at = self.0.entry((instance.clone(), key)).or_insert(closed.end);
        *at = closed.end.max(*at);
        let until = closed.end.minus(REMEMBERED);
        self.0.retain(|_, at| *at > until);
    }

    /// All but those of which a row is open that began before: only a part of these ended.
    pub(super) fn but_for<'a>(
        &self,
        open: impl Iterator<Item = &'a OpenRow>,
    ) -> Vec<(Instance, EntryKey, Utc)> {
        let mut ended = self.0.clone();
        for OpenRow { key, row, .. } in open {
            let place = (row.instance.clone(), *key);
            if ended.get(&place).is_some_and(|at| row.session_start <= *at) {
                ended.remove(&place);
            }
        }
        ended.into_iter().map(|((instance, key), at)| (instance, key, at)).collect()
    }
}
