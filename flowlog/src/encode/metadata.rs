//! What every file says of itself, as key-value pairs in its footer.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowlog_common::flow::Direction;
use parquet::file::{
    metadata::KeyValue,
    reader::{FileReader as _, SerializedFileReader},
};

use super::schema;
use crate::{
    aggregate::ledger::Account,
    clock::Utc,
    spool::{files::About, header::WindowLedger},
};

const SCHEMA_VERSION: &str = "flowlog.schema_version";
const GATEWAY: &str = "flowlog.gateway";
const WINDOW_START: &str = "flowlog.window_start";
const WINDOW_LENGTH_MS: &str = "flowlog.window_length_ms";
const POLICY: &str = "flowlog.policy_sha256";
const LINEAGE: &str = "flowlog.lineage";
const ROWS: &str = "flowlog.rows";
const LEDGER: &str = "flowlog.ledger";

const MEANINGS: [(&str, &str); 8] = [
    (SCHEMA_VERSION, "version of these tables"),
    (GATEWAY, "name of the gateway"),
    (WINDOW_START, "beginning of the first of its windows, UTC"),
    (
        WINDOW_LENGTH_MS,
        "length of its windows in milliseconds, which bounds how long a row lasts unless the ledger says that an interface was observed since before its window",
    ),
    (POLICY, "SHA-256 of the capture policy, which shows what was never collected"),
    (
        LINEAGE,
        "what tells the file from every other; the file of `flows` and that of `ledger` which belong together share it",
    ),
    (ROWS, "number of rows"),
    (LEDGER, "the sum of its windows' ledgers, a JSON array, in files of `flows`"),
];

/// What a file of `rows` rows of these windows says of itself.
pub(super) fn pairs(
    about: &About,
    gateway: &str,
    windows: &[WindowLedger],
    rows: u64,
) -> Vec<KeyValue> {
    let About { lineage, hour_ns, policy, window_ms } = about;
    let start = windows.first().map_or(*hour_ns, |window| window.start_ns);
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    vec![
        pair(SCHEMA_VERSION, schema::VERSION.to_owned()),
        pair(GATEWAY, gateway.to_owned()),
        pair(WINDOW_START, Utc::from_ns(start).to_string()),
        pair(WINDOW_LENGTH_MS, window_ms.to_string()),
        pair(POLICY, policy.clone()),
        pair(LINEAGE, lineage.clone()),
        pair(ROWS, rows.to_string()),
    ]
}

/// The sum of the ledgers of a file's windows.
pub(super) fn ledger_pair(windows: &[WindowLedger]) -> KeyValue {
    let mut sums: BTreeMap<(&str, Direction), Account> = BTreeMap::new();
    for row in windows.iter().flat_map(|window| &window.rows) {
        for direction in Direction::ALL {
            let sum = sums.entry((&row.interface, direction)).or_default();
            sum.add(&row.account(direction));
        }
    }
    let accounts = sums.iter().map(|((interface, direction), sum)| {
        let mut account = serde_json::json!({
            "interface": interface,
            "direction": direction_name(*direction),
        });
        for (name, count) in sum.terms() {
            account[name] = serde_json::json!([count.packets, count.bytes]);
        }
        account
    });
    KeyValue::new(LEDGER.to_owned(), serde_json::Value::Array(accounts.collect()).to_string())
}

/// The lineage of a file; `None` where it is no file of flowlog.
#[must_use]
pub fn lineage(file: &Bytes) -> Option<String> {
    let reader = SerializedFileReader::new(file.clone()).ok()?;
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == LINEAGE)?.value.clone()
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
