//! What every file says of itself, as key-value pairs in its footer.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowlog_common::flow::Direction;
use parquet::file::{
    metadata::KeyValue,
    reader::{FileReader as _, SerializedFileReader},
};

use super::{Table, digest::sha256, isolated, seal};
use crate::record::{clock::Utc, epoch_set::EpochSet, ledger::Account, window::WindowLedger};

const SCHEMA_VERSION: &str = "flowlog.schema_version";
const GATEWAY: &str = "flowlog.gateway";
const WINDOW_START: &str = "flowlog.window_start";
const WINDOW_LENGTH_MS: &str = "flowlog.window_length_ms";
const POLICY: &str = "flowlog.policy_sha256";
const LINEAGE: &str = "flowlog.lineage";
const ROWS: &str = "flowlog.rows";
const LEDGER: &str = "flowlog.ledger";
const EPOCHS: &str = "flowlog.epochs";
const NUMBERING: &str = "flowlog.numbering";
const EVENTS: &str = "flowlog.events";
const FLOWS_ROWS: &str = "flowlog.flows_rows";
const FLOWS_SHA256: &str = "flowlog.flows_sha256";

const MEANINGS: [(&str, &str); 14] = [
    (SCHEMA_VERSION, "version of the table"),
    (GATEWAY, "name of the gateway"),
    (WINDOW_START, "beginning of the first of its windows, UTC"),
    (
        WINDOW_LENGTH_MS,
        "length of its windows in milliseconds. A row covers no more time than that, unless `observed_start` in the ledger is before `window_start`",
    ),
    (
        POLICY,
        "SHA-256 of the profile and its targets, as evidence of which data were never collected",
    ),
    (
        LINEAGE,
        "identity of the file: no other file has it, except that a file of `flows` and its file of `ledger` share it",
    ),
    (ROWS, "number of rows"),
    (
        EPOCHS,
        "numbers of the epochs in the file, such as `1-40,46-60`; a file of `flows` and its `ledger` have the same numbers",
    ),
    (NUMBERING, "spool that gave the epochs their numbers: each spool numbers its own"),
    (
        EVENTS,
        "numbers of the events of which the rows were made, such as `3f62:1-40,90aa:41-60`, each with the segment of the spool that had it, in files of `sessions` and `coverage`",
    ),
    (LEDGER, "the sum of its windows' ledgers, a JSON array, in files of `flows`"),
    (
        FLOWS_ROWS,
        "number of rows in the file of `flows` that belongs to this file, in files of `ledger`",
    ),
    (
        FLOWS_SHA256,
        "SHA-256 of the file of `flows` that belongs to this file, in files of `ledger`; absent if there is no such file",
    ),
    (
        seal::KEY,
        "SHA-256 of the file itself, computed with 64 zeros in the place of this value, in files of `ledger`",
    ),
];

/// The file of a table, as its footer describes it; both files that belong together share it.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// What tells the pair from every other one.
    pub lineage: &'a str,
    /// Name of the gateway.
    pub gateway: &'a str,
    /// What its flows were recorded under.
    pub policy: &'a str,
    /// Beginning of the first of its windows.
    pub start: Utc,
    /// Length of its windows in milliseconds.
    pub window_ms: u64,
    /// The numbers of its epochs.
    pub epochs: EpochSet,
    /// Whose numbers these are.
    pub numbering: &'a str,
}

impl Description<'_> {
    /// The pairs of the file of a table that has so many rows.
    #[must_use]
    pub fn pairs(&self, table: &Table, rows: u64) -> Vec<KeyValue> {
        let Self { lineage, gateway, policy, start, window_ms, epochs, numbering } = self;
        vec![
            pair(SCHEMA_VERSION, table.version.to_string()),
            pair(GATEWAY, (*gateway).to_owned()),
            pair(WINDOW_START, start.to_string()),
            pair(WINDOW_LENGTH_MS, window_ms.to_string()),
            pair(POLICY, (*policy).to_owned()),
            pair(LINEAGE, (*lineage).to_owned()),
            pair(ROWS, rows.to_string()),
            pair(EPOCHS, epochs.to_string()),
            pair(NUMBERING, (*numbering).to_owned()),
        ]
    }
}

/// Numbers of events: the id of the segment that had them, the first, and the last one.
pub type Events = (String, u64, u64);

/// The file of a table whose rows are made of events, as its footer describes it.
#[derive(Clone, Debug)]
pub struct EventFile<'a> {
    /// What tells it from every other one.
    pub lineage: &'a str,
    /// Name of the gateway.
    pub gateway: &'a str,
    /// Beginning of its partition.
    pub start: Utc,
    /// The events.
    pub events: &'a [Events],
}

impl EventFile<'_> {
    /// The pairs of the file of a table that has so many rows.
    #[must_use]
    pub fn pairs(&self, table: &Table, rows: u64) -> Vec<KeyValue> {
        let Self { lineage, gateway, start, events } = self;
        let events =
            events.iter().map(|(segment, first, last)| format!("{segment}:{first}-{last}"));
        vec![
            pair(SCHEMA_VERSION, table.version.to_string()),
            pair(GATEWAY, (*gateway).to_owned()),
            pair(WINDOW_START, start.to_string()),
            pair(LINEAGE, (*lineage).to_owned()),
            pair(ROWS, rows.to_string()),
            pair(EVENTS, events.collect::<Vec<_>>().join(",")),
        ]
    }
}

/// Reads numbers of events; `None` where the text is none.
fn parse_events(text: &str) -> Option<Vec<Events>> {
    let part = |part: &str| {
        let (segment, numbers) = part.split_once(':')?;
        let (first, last) = numbers.split_once('-')?;
        Some((segment.to_owned(), first.parse().ok()?, last.parse().ok()?))
    };
    if text.is_empty() { Some(vec![]) } else { text.split(',').map(part).collect() }
}

/// The pairs of the ledger's file that describe the file of flows that it proves.
#[must_use]
pub fn flows_pairs(rows: u64, flows: Option<&Bytes>) -> Vec<KeyValue> {
    let digest = flows.map(|file| pair(FLOWS_SHA256, sha256(file)));
    [pair(FLOWS_ROWS, rows.to_string())].into_iter().chain(digest).collect()
}

fn pair(key: &str, value: String) -> KeyValue {
    KeyValue::new(key.to_owned(), value)
}

/// The sum of the ledgers of a file's windows.
#[must_use]
pub fn ledger_pair(windows: &[WindowLedger]) -> KeyValue {
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

/// What a file says of itself in its footer; the parts that its version does not have are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Version of its table.
    pub schema_version: Option<String>,
    /// Name of the gateway.
    pub gateway: Option<String>,
    /// Beginning of the first of its windows.
    pub window_start: Option<Utc>,
    /// SHA-256 of the profile that its flows were recorded under.
    pub policy: Option<String>,
    /// What tells it from every other file but its partner in the other table.
    pub lineage: Option<String>,
    /// Number of rows.
    pub rows: Option<u64>,
    /// The numbers of the epochs that it holds.
    pub epochs: Option<EpochSet>,
    /// Whose numbers these are.
    pub numbering: Option<String>,
    /// The events of which its rows were made.
    pub events: Option<Vec<Events>>,
    /// A ledger's: number of rows of its file of flows.
    pub flows_rows: Option<u64>,
    /// A ledger's: SHA-256 of its file of flows.
    pub flows_sha256: Option<String>,
}

impl Facts {
    /// Reads them from a file; `None` where it is no Parquet file.
    #[must_use]
    pub fn of(file: &Bytes) -> Option<Self> {
        let reader = isolated::catch(|| SerializedFileReader::new(file.clone())).ok()?.ok()?;
        Some(Self::of_pairs(reader.metadata().file_metadata().key_value_metadata()))
    }

    /// Reads them from the pairs of a footer.
    #[must_use]
    pub fn of_pairs(pairs: Option<&Vec<KeyValue>>) -> Self {
        let value = |key: &str| pairs?.iter().find(|pair| pair.key == key)?.value.clone();
        Self {
            schema_version: value(SCHEMA_VERSION),
            gateway: value(GATEWAY),
            window_start: value(WINDOW_START)
                .and_then(|start| start.parse::<jiff::Timestamp>().ok())
                .map(Utc::from),
            policy: value(POLICY),
            lineage: value(LINEAGE),
            rows: value(ROWS).and_then(|rows| rows.parse().ok()),
            epochs: value(EPOCHS).and_then(|epochs| epochs.parse().ok()),
            numbering: value(NUMBERING),
            events: value(EVENTS).and_then(|events| parse_events(&events)),
            flows_rows: value(FLOWS_ROWS).and_then(|rows| rows.parse().ok()),
            flows_sha256: value(FLOWS_SHA256),
        }
    }
}

/// The lineage of a file; `None` where it is no file of flowlog.
#[must_use]
pub fn lineage(file: &Bytes) -> Option<String> {
    Facts::of(file)?.lineage
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
