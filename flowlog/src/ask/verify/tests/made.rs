//! Files as a daemon writes them, made by hand.

use std::time::Duration;

use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use parquet::file::metadata::KeyValue;

use crate::{
    record::{
        clock::Utc,
        flow::{Activity, FlowRecord},
        ledger::{Gap, LedgerEntry},
        window::WindowLedger,
    },
    store::Store,
    table::{self, FLOWS, FlowsWriter, LEDGER, ObjectName, Table, digest::sha256},
};

pub const HOUR_MS: i64 = 3_600_000;

/// What an hour's pair of files holds: epochs of a minute each, with a packet of 100 bytes in each.
#[derive(Clone, Debug)]
pub struct Made {
    pub gateway: &'static str,
    pub hour: i64,
    pub lineage: String,
    pub epochs: (u64, u64),
    pub gap: Option<Gap>,
}

/// A pair of files of the first gateway.
pub fn made(hour: i64, epochs: (u64, u64)) -> Made {
    Made { gateway: "gw1", hour, lineage: format!("{hour}-{}", epochs.0), epochs, gap: None }
}

impl Made {
    fn start(&self) -> Utc {
        Utc::from_ms(self.hour * HOUR_MS)
    }

    fn pairs(&self, more: &[(&str, &str)]) -> Vec<KeyValue> {
        let (first, last) = self.epochs;
        let pair =
            |(key, value): (&str, &str)| KeyValue::new(format!("flowlog.{key}"), value.to_owned());
        let own = [
            ("gateway", self.gateway),
            ("window_start", &*self.start().to_string()),
            ("lineage", &self.lineage),
            ("numbering", "a"),
            ("epochs", &*format!("{first}-{last}")),
        ]
        .map(pair);
        own.into_iter().chain(more.iter().copied().map(pair)).collect()
    }

    pub fn flows(&self) -> Bytes {
        let mut file = FlowsWriter::new(vec![]).unwrap();
        let (first, last) = self.epochs;
        for epoch in first..=last {
            let start_ms = self.start().ms() + i64::try_from(epoch).unwrap();
            let activity = Activity {
                start_ms,
                end_ms: start_ms,
                packets_up: 1,
                bytes_up: 100,
                packets_down: 0,
                bytes_down: 0,
                tcp_flags_up: 0,
                tcp_flags_down: 0,
                partial: 0,
                initiator: Direction::Up,
            };
            file.push(&FlowRecord {
                interface: "wg0",
                member: [10, 0, 0, 7].into(),
                remote: Some([192, 0, 2, 1].into()),
                member_port: 40_000,
                remote_port: 443,
                protocol: 17,
                activity,
            })
            .unwrap();
        }
        let rows = (last - first + 1).to_string();
        let pairs = self.pairs(&[("schema_version", "1"), ("rows", &rows)]);
        file.finish(pairs).unwrap().into()
    }

    pub fn ledger(&self) -> Bytes {
        self.ledger_of(&self.flows())
    }

    pub fn ledger_of(&self, flows: &Bytes) -> Bytes {
        let (first, last) = self.epochs;
        let packets = last - first + 1;
        let end = self.start().plus(Duration::from_hours(1));
        let mut entry = LedgerEntry::new("wg0".to_owned(), self.start(), end);
        entry.gaps = self.gap.into_iter().collect();
        let count = Count { packets, bytes: packets * 100 };
        entry.totals[Direction::Up as usize].seen = count;
        entry.in_flows[Direction::Up as usize] = count;
        let window = WindowLedger {
            start_ns: self.start().ns(),
            length_ms: 3_600_000,
            epochs: Some(self.epochs),
            rows: vec![entry],
        };
        let pairs = [
            ("schema_version", "2"),
            ("rows", "2"),
            ("flows_rows", &*packets.to_string()),
            ("flows_sha256", &*sha256(flows)),
        ];
        table::ledger_file(&[window], self.pairs(&pairs))
    }

    pub fn name(&self, table: &'static Table, part: u32) -> ObjectName {
        let length = Duration::from_hours(1);
        ObjectName { part, ..ObjectName::new(table, self.gateway, self.start(), length) }
    }

    pub async fn put(&self, store: &Store) {
        put(store, &self.name(&FLOWS, 0), &self.flows()).await;
        put(store, &self.name(&LEDGER, 0), &self.ledger()).await;
    }
}

pub async fn put(store: &Store, name: &ObjectName, file: &Bytes) {
    store.replace(&name.path(), file).await.unwrap();
}

pub fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().to_str().unwrap()).unwrap();
    (directory, store)
}
