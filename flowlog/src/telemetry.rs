//! What the daemon reports of itself. No address of anybody is ever part of it.

mod counter;
mod last;
mod writer;

use std::{borrow::Cow, io, sync::OnceLock, time::Duration};

pub use counter::Counter;
pub use last::last_warning;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};
pub use writer::LogWriter;

/// Lines that are written however few of them were asked for: how the daemon started.
pub const START: &str = "flowlog::start";

/// How long the last lines may take until a reader has them.
pub const FLUSH: Duration = Duration::from_millis(500);

/// Writes log lines to standard error: warnings only, more with each `-v`, or what the
/// environment variable `FLOWLOG_LOG` asks for.
pub fn init(verbosity: u8) {
    let level = match verbosity {
        0 => "flowlog::start=info,warn",
        1 => "flowlog=info,warn",
        _ => "flowlog=debug,info",
    };
    let filter = EnvFilter::try_from_env("FLOWLOG_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| log().clone())
        // To standard error, which panics where it cannot be written.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(false);
    tracing_subscriber::registry().with(filter).with(lines).with(last::Last).init();
    std::panic::set_hook(Box::new(|panic| {
        let panic = panic.to_string().replace('\n', " ");
        tracing::error!("a defect of flowlog, please report it: {panic}");
    }));
}

/// Where log lines go.
pub fn log() -> &'static LogWriter {
    static LOG: OnceLock<LogWriter> = OnceLock::new();
    LOG.get_or_init(|| LogWriter::new(io::stderr()))
}
/// A text without characters that do something to a terminal: names of interfaces and files may have any. They are
/// shown as `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_harmful) {
        return text.into();
    }
    let escaped = text
        .chars()
        .map(|c| if is_harmful(c) { c.escape_unicode().to_string() } else { c.to_string() });
    escaped.collect::<String>().into()
}

/// An error and its causes in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // The kernel's verifier answers with its whole log; the first line says what matters here.
        let said = error.to_string().lines().next().unwrap_or_default().to_owned();
        // Some libraries repeat the cause in their own sentence.
        if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_does_anything_to_a_terminal() {
        assert_eq!(printable("wg0: größer\n\tzwei"), "wg0: größer\n\tzwei");
        assert_eq!(printable("a\x1b[31mb\x07\u{9b}2J\r"), "a\\u{1b}[31mb\\u{7}\\u{9b}2J\\u{d}");
    }
}
