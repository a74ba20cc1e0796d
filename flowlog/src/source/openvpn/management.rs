//! The management socket of a server. It serves one at a time: whoever asks is to be gone at once, so that others, who
//! may have to admit clients, find it free.

use std::{io, path::Path, time::Duration};

use tokio::{
    net::UnixStream,
    time::{Instant, timeout_at},
};

use super::status::{self, Status};
use crate::source::Error;

const QUESTION: &[u8] = b"status 3\n";
/// An answer of 200,000 clients is not longer.
const MOST_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 64 << 10;
/// What the last line begins with: the status, a refusal, or the question for a password.
const ENDS: [&[u8]; 3] = [b"END", b"ERROR:", b"ENTER PASSWORD:"];

/// Asks a server for its status.
pub(super) async fn ask(socket: &Path, limit: Duration) -> Result<Status, Error> {
    let deadline = Instant::now() + limit;
    let answer =
        timeout_at(deadline, answer(socket)).await.map_err(|_| Error::Silent { limit })??;
    if answer.starts_with(b"ERROR:") || contains_line(&answer, b"ERROR:") {
        return Err(Error::Refused { number: 0 });
    }
    status::parse(&answer)
}

async fn answer(socket: &Path) -> Result<Vec<u8>, Error> {
    let stream = UnixStream::connect(socket).await.map_err(|source| Error::Connect { source })?;
    let failed = |source| Error::Socket { source };
    let mut question = QUESTION;
    while !question.is_empty() {
        stream.writable().await.map_err(failed)?;
        match stream.try_write(question) {
            Ok(written) => question = question.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let mut answer = vec![];
    // The beginning of the last line.
    let mut line = 0;
    loop {
        stream.readable().await.map_err(failed)?;
        answer.reserve(CHUNK_BYTES);
        match stream.try_read_buf(&mut answer) {
            Ok(0) => return Err(Error::Truncated),
            Ok(_) => {
                while let Some(end) = answer.get(line..).and_then(end_of_line) {
                    let text = answer.get(line..line + end).unwrap_or_default();
                    line += end + 1;
                    if ENDS.iter().any(|end| is_end(text, end)) {
                        answer.truncate(line);
                        return Ok(answer);
                    }
                }
                // It is asked without an end of the line.
                if answer.get(line..).is_some_and(|rest| rest.starts_with(b"ENTER PASSWORD:")) {
                    return Err(Error::Password);
                }
                if answer.len() > MOST_BYTES {
                    return Err(Error::TooLong { limit: MOST_BYTES });
                }
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn is_end(line: &[u8], end: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if end == b"END" { line == end } else { line.starts_with(end) }
}

fn contains_line(answer: &[u8], beginning: &[u8]) -> bool {
    answer.split(|byte| *byte == b'\n').any(|line| line.starts_with(beginning))
}
