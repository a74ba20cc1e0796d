//! The report of a command on standard output.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Format;
use flowlog::telemetry::printable;

/// Writes the report of a command, whoever reads it.
///
/// A command does its work first and reports it then; its exit code is that of the work. So no line
/// can fail: where one cannot be written, those after it are not tried, and [`Self::finish`] or
/// [`Self::finish_answer`] decides at the end.
#[derive(Debug, Default)]
pub struct Output {
    /// Longest wait for a reader; without one it is waited for.
    patience: Option<Duration>,
    error: Option<io::Error>,
}

impl Output {
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(feature = "capture")]
    /// For whoever has to end in time: a reader that does not read for so long gets nothing more.
    pub fn with_patience(patience: Duration) -> Self {
        Self { patience: Some(patience), error: None }
    }

    /// Writes a line.
    pub fn line(&mut self, line: impl Display) {
        self.text(format!("{line}\n"));
    }

    /// Writes a text that has its own line ends, for somebody who reads it.
    pub fn text(&mut self, text: impl AsRef<str>) {
        self.raw(printable(text.as_ref()));
    }

    /// Writes a text for a program, as it is.
    pub fn raw(&mut self, text: impl AsRef<str>) {
        if self.error.is_none() {
            self.error = self.write(text.as_ref()).err();
        }
    }

    /// Whether nothing more can be written.
    pub const fn is_closed(&self) -> bool {
        self.error.is_some()
    }

    /// Writes a JSON answer.
    pub fn json(&mut self, answer: &serde_json::Value) {
        self.raw(format!("{answer}\n"));
    }

    /// Writes an answer in the format that was asked for.
    pub fn answer(
        &mut self,
        format: Format,
        json: impl FnOnce() -> serde_json::Value,
        text: impl FnOnce(&mut Self),
    ) {
        match format {
            Format::Json => self.json(&json()),
            // Refused before the command began, but for `flows`, which writes it itself.
            Format::Text | Format::Csv => text(self),
        }
    }

    /// Ends the report of work that is done, whether anybody reads of it or not.
    pub fn finish(self) {
        if let Err(error) = self.finish_answer() {
            tracing::warn!("the command did its work, but {error:#}");
        }
    }

    /// Ends an answer that is all the work that there was: without it nothing was done. A reader that
    /// has gone has read enough.
    pub fn finish_answer(self) -> anyhow::Result<()> {
        match self.error {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(error).context("the answer cannot be written to standard output")
            }
            _ => Ok(()),
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Some(patience) = self.patience {
            wait_for_reader(&out, patience)?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

fn wait_for_reader(out: &io::StdoutLock<'_>, patience: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    let mut out = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut out, timeout)? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
