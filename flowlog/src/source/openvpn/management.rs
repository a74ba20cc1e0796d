//! The management socket of a server. It serves one at a time: whoever asks is to be gone at once, so that others, who
//! may have to admit clients, find it free.

use std::{path::Path, time::Duration};

use super::status::{self, Status};
use crate::{
    record::clock::{self, Utc},
    source::{Error, socket},
};

const QUESTION: &[u8] = b"status 3\n";
/// An answer of 200,000 clients is not longer.
const MOST_BYTES: usize = 64 << 20;

/// Asks a server for its status, at an instant; returns too between which instants the server looked.
pub(super) async fn ask(
    socket: &Path,
    asked: Utc,
    limit: Duration,
) -> Result<((Utc, Utc), Status), Error> {
    let mut answer = Answer::default();
    socket::ask(socket, QUESTION, limit, |chunk| answer.take(chunk)).await?;
    let (status, answered) = (answer.finish()?, clock::now());
    Ok(((made_at(&status, asked, answered), answered), status))
}

/// Up to when an answer confirms. Whoever holds the socket makes the question wait, and the list is of the time after that;
/// by its own account, in whole seconds, it is no older.
fn made_at(status: &Status, asked: Utc, answered: Utc) -> Utc {
    asked.max(Utc::from_ms(status.time.saturating_mul(1_000)).min(answered))
}

/// An answer, as it comes.
#[derive(Debug, Default)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Where the line begins whose end has not come.
    line: usize,
    is_whole: bool,
}

impl Answer {
    /// Reads on; reports whether the answer is whole.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<bool, Error> {
        if self.bytes.len() + chunk.len() > MOST_BYTES {
            return Err(Error::TooLong { limit: MOST_BYTES });
        }
        let mut unread = self.bytes.len();
        self.bytes.extend_from_slice(chunk);
        while let Some(end) = self.bytes.get(unread..).and_then(end_of_line) {
            let line = self.bytes.get(self.line..unread + end).unwrap_or_default();
            if line.starts_with(b"ERROR:") {
                return Err(Error::Refused { number: 0 });
            }
            let is_end = line.strip_suffix(b"\r").unwrap_or(line) == b"END";
            unread += end + 1;
            self.line = unread;
            if is_end {
                self.bytes.truncate(unread);
                self.is_whole = true;
                return Ok(true);
            }
        }
        // It asks without ending the line.
        if self.bytes.get(self.line..).is_some_and(|rest| rest.starts_with(b"ENTER PASSWORD:")) {
            return Err(Error::Password);
        }
        Ok(false)
    }

    /// The status of a whole answer.
    pub(super) fn finish(self) -> Result<Status, Error> {
        if self.is_whole { status::parse(&self.bytes) } else { Err(Error::Truncated) }
    }
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::unix::net::UnixListener,
        thread::{self, JoinHandle},
    };

    use super::*;

    const ANSWER: &[u8] = b">INFO:OpenVPN Management Interface Version 5\r\nTIME\tnow\t7\r\n>CLIENT:ENV,END\r\nEND\r\n>CLIENT:CONNECT,0,1\r\n";

    #[test]
    fn an_answer_in_pieces_is_the_same_answer() {
        for piece in [1, 3, 7, ANSWER.len()] {
            let mut answer = Answer::default();
            let whole = ANSWER.chunks(piece).any(|chunk| answer.take(chunk).unwrap());
            assert!(whole, "{piece}");
            assert_eq!(answer.finish().unwrap(), Status { time: 7, clients: vec![] }, "{piece}");
        }
        assert!(matches!(Answer::default().finish(), Err(Error::Truncated)));
    }

    #[test]
    fn a_hundred_megabytes_are_refused() {
        let mut answer = Answer::default();
        let lines = b">LOG:x\n".repeat(1 << 17);
        let refused = (0..150).find_map(|_| answer.take(&lines).err());
        assert!(matches!(refused, Some(Error::TooLong { .. })));
    }

    #[test]
    fn a_list_that_waited_for_others_is_of_the_time_after_them() {
        let at = Utc::from_ms;
        let status = |time| Status { time, clients: vec![] };
        // At once, by seconds that are not over.
        assert_eq!(made_at(&status(7), at(7_400), at(7_410)), at(7_400));
        assert_eq!(made_at(&status(9), at(7_400), at(9_800)), at(9_000));
        // A clock of another machine.
        assert_eq!(made_at(&status(100), at(7_400), at(7_410)), at(7_410));
        assert_eq!(made_at(&status(i64::MAX), at(7_400), at(7_410)), at(7_410));
        assert_eq!(made_at(&status(0), at(7_400), at(7_410)), at(7_400));
    }

    fn serve(
        socket: &Path,
        answer: impl FnOnce(&mut dyn Write) + Send + 'static,
    ) -> JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        thread::spawn(move || answer(&mut listener.accept().unwrap().0))
    }

    #[test]
    fn a_socket_that_stops_refuses_or_wants_a_password_is_given_up_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answers: [(&str, &'static [u8]); 5] = [
            ("stops", b"TIME\t"),
            ("refuses", b"ERROR: unknown command\r\n"),
            ("password", b"ENTER PASSWORD:"),
            ("garbage", b"TIME\tnow\tx\nEND\n"),
            ("right", ANSWER),
        ];
        let outcomes = answers.map(|(name, text)| {
            let socket = directory.path().join(name);
            let _server = serve(&socket, move |out| {
                out.write_all(text).unwrap();
                thread::sleep(Duration::from_secs(1));
            });
            runtime.block_on(ask(&socket, Utc::from_ms(0), Duration::from_millis(300)))
        });
        let [stops, refuses, password, garbage, right] = outcomes;
        assert!(matches!(stops, Err(Error::Silent { .. })), "{stops:?}");
        assert!(matches!(refuses, Err(Error::Refused { .. })), "{refuses:?}");
        assert!(matches!(password, Err(Error::Password)), "{password:?}");
        assert!(matches!(garbage, Err(Error::Malformed { line: 1 })), "{garbage:?}");
        let ((at, _), status) = right.unwrap();
        assert_eq!((at, status.time), (Utc::from_ms(7_000), 7));
        let missing = runtime.block_on(ask(
            &directory.path().join("no"),
            Utc::from_ms(0),
            Duration::from_secs(1),
        ));
        assert!(matches!(missing, Err(Error::Connect { .. })));
    }
}
