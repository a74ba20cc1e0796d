//! What the daemon says of itself. No address of anybody is ever part of it.

use tracing_subscriber::EnvFilter;

/// Writes log lines to standard error: warnings only, more with each `-v`, or what the
/// environment variable `FLOWLOG_LOG` says.
pub fn init(verbosity: u8) {
    let level = match verbosity {
        0 => "warn",
        1 => "flowlog=info,warn",
        _ => "flowlog=debug,info",
    };
    let filter = EnvFilter::try_from_env("FLOWLOG_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .init();
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
