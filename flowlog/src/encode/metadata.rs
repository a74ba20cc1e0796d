//! What every file says of itself, as key-value pairs in its footer.

use flowlog_common::flow::Direction;
use parquet::file::metadata::KeyValue;

use super::schema;
use crate::aggregate::window::Window;

/// Where a file comes from.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Name of the gateway.
    pub gateway: String,
    /// SHA-256 of the capture policy.
    pub policy: String,
}

const SCHEMA_VERSION: &str = "flowlog.schema_version";
const GATEWAY: &str = "flowlog.gateway";
const WINDOW_START: &str = "flowlog.window_start";
const WINDOW_LENGTH_MS: &str = "flowlog.window_length_ms";
const POLICY: &str = "flowlog.policy_sha256";
const ROWS: &str = "flowlog.rows";
const LEDGER: &str = "flowlog.ledger";

const MEANINGS: [(&str, &str); 7] = [
    (SCHEMA_VERSION, "version of these tables"),
    (GATEWAY, "name of the gateway"),
    (WINDOW_START, "beginning of the window, UTC"),
    (WINDOW_LENGTH_MS, "length of the window in milliseconds, which bounds how long a row lasts"),
    (POLICY, "SHA-256 of the capture policy, which shows what was never collected"),
    (ROWS, "number of rows"),
    (LEDGER, "the window's ledger, a JSON array, in files of `flows`"),
];

pub(super) fn pairs(
    window: &Window,
    from: &Provenance,
    rows: usize,
    ledger: Option<String>,
) -> Vec<KeyValue> {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut pairs = vec![
        pair(SCHEMA_VERSION, schema::VERSION.to_owned()),
        pair(GATEWAY, from.gateway.clone()),
        pair(WINDOW_START, window.start().to_string()),
        pair(WINDOW_LENGTH_MS, window.length().as_millis().to_string()),
        pair(POLICY, from.policy.clone()),
        pair(ROWS, rows.to_string()),
    ];
    pairs.extend(ledger.map(|ledger| pair(LEDGER, ledger)));
    pairs
}

/// The ledger of a window as JSON, packets and bytes of each term.
pub(super) fn ledger_json(window: &Window) -> String {
    let entries = window.ledger().flat_map(|entry| {
        Direction::ALL.map(|direction| {
            let mut account = serde_json::json!({
                "interface": entry.interface,
                "direction": direction_name(direction),
            });
            for (name, count) in entry.account(direction).terms() {
                account[name] = serde_json::json!([count.packets, count.bytes]);
            }
            account
        })
    });
    serde_json::Value::Array(entries.collect()).to_string()
}

/// The name of a direction in the tables.
#[must_use]
pub const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

pub(super) fn reference() -> String {
    let rows = MEANINGS.map(|(key, meaning)| format!("| `{key}` | {meaning} |\n"));
    format!("| key | value |\n|---|---|\n{}", rows.concat())
}
