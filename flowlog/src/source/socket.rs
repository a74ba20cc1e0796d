//! A question to a socket, and the answer to it as it comes.

use std::{io, path::Path, time::Duration};

use tokio::{
    net::UnixStream,
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use super::Error;

/// What is read at once.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// Asks a question, and gives each piece of the answer to `take`, until that reports that the answer is whole. No piece
/// stays in memory: it may have keys.
pub(super) async fn ask(
    socket: &Path,
    question: &[u8],
    limit: Duration,
    take: impl FnMut(&[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    let asked = timeout_at(deadline, converse(socket, question, take));
    asked.await.map_err(|_| Error::Silent { limit })?
}

async fn converse(
    socket: &Path,
    mut question: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<bool, Error>,
) -> Result<(), Error> {
    let stream = UnixStream::connect(socket).await.map_err(|source| Error::Connect { source })?;
    let failed = |source| Error::Socket { source };
    while !question.is_empty() {
        stream.writable().await.map_err(failed)?;
        match stream.try_write(question) {
            Ok(written) => question = question.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
    loop {
        stream.readable().await.map_err(failed)?;
        match stream.try_read(&mut chunk) {
            Ok(0) => return Err(Error::Truncated),
            Ok(length) => {
                if take(chunk.get(..length).unwrap_or_default())? {
                    return Ok(());
                }
                // Whoever sends without a pause has the thread no longer than for a chunk.
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
