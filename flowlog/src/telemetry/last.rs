//! The last warning or error on the log, for whoever asks how the daemon is.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

static LAST: Mutex<Option<(i64, String)>> = Mutex::new(None);

/// The last warning or error of flowlog itself, and when it was written, milliseconds after 1970.
#[must_use]
pub fn last_warning() -> Option<(i64, String)> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Remembers it.
pub(super) struct Last;

impl<S: Subscriber> Layer<S> for Last {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // Those of other crates may have anything in them.
        if *metadata.level() > Level::WARN || !metadata.target().starts_with("flowlog") {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let text = format!("{}{}", line.message, line.fields);
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, text));
    }
}

/// A line as the log has it.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.unwrap_or_default();
    }
}
