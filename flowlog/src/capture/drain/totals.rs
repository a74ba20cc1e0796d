//! The totals, which the kernel program keeps for each processor.
//!
//! To learn how many processors there are, a file is opened: a process that has too many open waits, and
//! loses nothing, since the kernel goes on counting.

use std::{io, time::Duration};

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuValues};
use flowlog_common::total::Totals;

use super::Error;
use crate::telemetry::with_causes;

/// Pause before the same is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What all processors have counted.
pub(super) fn sum(map: &PerCpuArray<MapData, Totals>, index: u32) -> Result<Totals, Error> {
    let mut sum = Totals::default();
    patiently(|| map.get(&index, 0))?.iter().for_each(|of_processor| sum.add(of_processor));
    Ok(sum)
}

/// Begins again at zero.
pub(super) fn clear(map: &mut PerCpuArray<MapData, Totals>, index: u32) -> Result<(), Error> {
    patiently(|| {
        let processors = map.get(&index, 0)?.len();
        let zeroes = PerCpuValues::try_from(vec![Totals::default(); processors])
            .map_err(MapError::IoError)?;
        map.set(index, zeroes, 0)
    })
}

fn patiently<T>(mut ask: impl FnMut() -> Result<T, MapError>) -> Result<T, Error> {
    let mut is_reported = false;
    loop {
        match ask() {
            Err(error) if is_passing(&error) => {
                if !std::mem::replace(&mut is_reported, true) {
                    let why = with_causes(&error);
                    tracing::error!("cannot read the totals: {why}; trying again every {PAUSE:?}");
                }
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome.map_err(|error| Error::Totals { source: Box::new(error) }),
        }
    }
}

fn is_passing(error: &MapError) -> bool {
    match error {
        MapError::SyscallError(error) => is_exhausted(&error.io_error),
        MapError::IoError(error) => is_exhausted(error),
        _ => false,
    }
}

/// Whether the same may work a moment later: the machine or the process has too much open.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN))
}
