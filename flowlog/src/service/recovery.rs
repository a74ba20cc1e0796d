//! The spool when the daemon starts: counting does not wait for it.

use std::sync::Arc;

use crate::{
    config::SpoolSettings,
    record::epoch::EpochNumber,
    spool::{
        self, Spool,
        recover::{Recording, Recovered},
    },
};

/// Opens the spool that the settings name, or a temporary one.
pub(super) fn open(settings: &SpoolSettings) -> Result<Arc<Spool>, spool::Error> {
    Ok(Arc::new(match &settings.spool {
        Some(directory) => Spool::open(directory, settings.spool_max_bytes)?,
        None => Spool::temporary()?,
    }))
}

/// Finds out what is in the spool, and goes on with it.
pub(super) fn recover(
    recording: &Recording,
    spool: &Arc<Spool>,
) -> Result<Recovered, spool::Error> {
    spool::recover::recover(spool, recording.clone())
}

/// Whether a spool that cannot be opened may be opened later: its disk does not do it now, or there
/// is something in it that cannot be read. Then the kernel holds the counts.
pub(super) const fn may_pass(error: &spool::Error) -> bool {
    use spool::Error::{Damaged, Full, Header, Io};
    matches!(error, Io { .. } | Full { .. } | Damaged { .. } | Header { .. })
}

/// What a start has to know of the spool, from a quick look.
#[derive(Debug, Default)]
pub(super) struct FirstLook {
    /// No epoch has a number above this one.
    pub(super) last: EpochNumber,
    /// Another name of the gateway, for which a daemon used the spool before.
    pub(super) former_gateway: Option<String>,
}
