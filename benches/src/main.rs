//! What flowlog costs, in one run: in the kernel per packet, in the daemon per flow, and a gateway
//! in throughput.
//!
//! Prints one JSON object: `measurements` by name, each with its unit and every single run in the
//! order in which they were taken, since on a shared machine only the spread says what a median is
//! worth, and only neighbours compare.
//!
//! Arguments: what to measure (`hot`, `many`, `scan`, `maps`, `pipeline`, `layout`, `gateway`,
//! `lookups`, `trace`), and as `NAME=VALUE` what `cargo xtask bench` made or installed for it.

mod cpu;
mod gateway;
mod kernel;
mod layout;
mod lookups;
mod maps;
mod pipeline;
mod table;
mod trace;

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// One thing that was measured, several times.
struct Measurement {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
}

impl Measurement {
    fn new(name: impl Into<String>, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { name: name.into(), unit, runs }
    }

    fn json(self) -> Value {
        let Self { name, unit, runs } = self;
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        json!({ "name": name, "unit": unit, "median": median, "runs": runs })
    }
}

/// Measurements in the order in which they were begun.
#[derive(Default)]
struct Series(Vec<Measurement>);

impl Series {
    fn add(&mut self, name: impl Into<String>, unit: &'static str, run: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|measurement| measurement.name == name) {
            Some(measurement) => measurement.runs.push(run),
            None => self.0.push(Measurement::new(name, unit, vec![run])),
        }
    }

    /// Adds how many times more `theirs` took than `ours`, pair by pair; nothing where one of them
    /// is missing.
    fn compare(&mut self, name: impl Into<String>, ours: &str, theirs: &str) {
        let runs = |of: &str| self.0.iter().find(|m| m.name == of).map(|m| m.runs.clone());
        let (Some(ours), Some(theirs)) = (runs(ours), runs(theirs)) else { return };
        let times = theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        self.0.push(Measurement::new(name, "times", times));
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, store] = &arguments[..]
        && command == "questions"
    {
        return lookups::questions::answer(store);
    }
    let (objects, groups): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.contains('='));
    let objects: HashMap<&str, PathBuf> =
        objects.iter().filter_map(|o| o.split_once('=')).map(|(n, p)| (n, p.into())).collect();
    let object =
        |name: &str| objects.get(name).cloned().with_context(|| format!("{name}=PATH is missing"));
    let kernel = |group| {
        let vary = object("vary")?;
        let floor = objects.get("floor").cloned();
        kernel::measure(group, &kernel::Objects { vary, floor })
    };
    // Before a group keeps to one of them.
    let cpus = std::thread::available_parallelism()?.get();
    let mut measurements = vec![];
    for group in groups {
        measurements.extend(match group.as_str() {
            "hot" => kernel(kernel::Group::Hot)?,
            "many" => kernel(kernel::Group::Many)?,
            "scan" => kernel(kernel::Group::Scan)?,
            "maps" => {
                maps::measure(&maps::Objects { maps: object("maps")?, vary: object("vary")? })?
            }
            "pipeline" => pipeline::measure(objects.get("table").map(PathBuf::as_path))?,
            "layout" => layout::measure(&object("table")?)?,
            "gateway" => gateway::measure()?,
            "lookups" => lookups::measure(&lookups::Arguments {
                flows: object("flows")?,
                python: object("python")?,
                folder: object("folder")?,
                rows: object("rows")?.display().to_string().parse().context("rows=NUMBER")?,
            })?,
            "trace" => trace::measure(&object("store")?)?,
            _ => bail!(
                "nothing is called {group}; there are hot, many, scan, maps, pipeline, layout, \
                 gateway, lookups and trace"
            ),
        });
    }
    let measurements: Vec<Value> = measurements.into_iter().map(Measurement::json).collect();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": kernel.trim(),
        "cpus": cpus,
        "measurements": measurements,
    });
    println!("{answer:#}");
    Ok(())
}
