//! A file of flows: what it says of itself, and the sums of its rows.

use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use flowlog_common::{flow::Direction, total::Count};
use object_store::path::Path;

use super::{Error, Sums};
use crate::{
    ask::verify::Depth,
    record::clock::Utc,
    table::{FLOWS, Reader, digest::sha256, metadata::Facts, reader::Rows},
};

/// A file of flows.
#[derive(Debug, Default)]
pub struct Flows {
    pub facts: Facts,
    pub sha256: String,
    pub rows: u64,
    pub sums: Sums<Count>,
    /// The first and the last time in it.
    pub times: Option<(Utc, Utc)>,
}

impl Flows {
    /// Reads a file of flows.
    pub fn read(object: &Path, file: &Bytes, depth: Depth) -> Result<Self, Error> {
        let reader = Reader::open_sealed(&FLOWS, object, file.clone())?;
        let mut flows = Self {
            facts: reader.facts().clone(),
            sha256: sha256(file),
            times: reader.times("flow_start", "flow_end"),
            ..Self::default()
        };
        let columns = ["interface", "packets_up", "bytes_up", "packets_down", "bytes_down"];
        let reader = match depth {
            Depth::Sums => reader.select(&columns)?,
            Depth::Pages => reader,
        };
        reader.for_each(|rows| flows.add(rows))?;
        Ok(flows)
    }

    fn add(&mut self, rows: &Rows) -> Result<(), Error> {
        let interface = rows.texts("interface")?;
        let number = |name| rows.numbers::<UInt64Type>(name);
        let [packets_up, bytes_up] = [number("packets_up")?, number("bytes_up")?];
        let [packets_down, bytes_down] = [number("packets_down")?, number("bytes_down")?];
        let mut run: Option<(&str, [Count; 2])> = None;
        for row in 0..rows.count() {
            let name = interface.value(row);
            let counts = match &mut run {
                Some((last, counts)) if *last == name => counts,
                _ => {
                    self.add_run(run.take());
                    &mut run.insert((name, Default::default())).1
                }
            };
            counts[Direction::Up as usize].add(packets_up.value(row), bytes_up.value(row));
            counts[Direction::Down as usize].add(packets_down.value(row), bytes_down.value(row));
        }
        self.add_run(run);
        self.rows += rows.count() as u64;
        Ok(())
    }

    /// Adds rows that follow each other and are of one interface.
    fn add_run(&mut self, run: Option<(&str, [Count; 2])>) {
        let Some((interface, counts)) = run else { return };
        for direction in Direction::ALL {
            let Count { packets, bytes } = counts[direction as usize];
            self.sums.entry((interface.to_owned(), direction)).or_default().add(packets, bytes);
        }
    }
}
