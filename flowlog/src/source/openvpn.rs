//! OpenVPN: a server tells of its clients by its hooks, its status file and its management socket.

mod call;
mod client;
mod file;
mod management;
mod server;
mod status;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use call::{Calls, call_fields};
pub(super) use file::StatusFile;
pub(super) use server::Memory;
pub(super) use watch::{CallWatch, Watch};

use super::Error;
use crate::record::clock::{self, Utc};

/// How many clients a status file has.
pub(super) async fn probe_status(path: PathBuf, at: Utc, limit: Duration) -> Result<usize, Error> {
    let looked = StatusFile::new(path).look(at, limit).await?;
    Ok(looked.map_or(0, |(_, status)| status.clients.len()))
}

/// How many clients a management socket tells of.
pub(super) async fn probe_management(socket: &Path, limit: Duration) -> Result<usize, Error> {
    let (_, status) = management::ask(socket, clock::now(), limit).await?;
    Ok(status.clients.len())
}

/// How many clients a status has in it, for the fuzzer: it comes in pieces of so many bytes.
pub fn read_status(bytes: &[u8], piece: usize) -> Result<usize, Error> {
    let mut answer = management::Answer::default();
    for chunk in bytes.chunks(piece.max(1)) {
        if answer.take(chunk)? {
            return Ok(answer.finish()?.clients.len());
        }
    }
    Ok(status::parse(bytes)?.clients.len())
}
