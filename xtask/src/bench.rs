//! Measuring, and keeping what was measured.

use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use crate::shell;

#[derive(clap::Args)]
pub struct Arguments {
    /// Name of the run's file under benches/runs/; the time of day where none is given.
    #[arg(long)]
    name: Option<String>,
}

/// A run, as far as it is shown.
#[derive(Deserialize)]
struct Run {
    measurements: Vec<Measurement>,
}

#[derive(Deserialize)]
struct Measurement {
    name: String,
    unit: String,
    median: f64,
    runs: Vec<f64>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut bench = shell::cargo();
    bench.args(["run", "--quiet", "--release", "--locked", "--package", "flowlog-benches"]);
    let json = shell::output(&mut bench)?;
    let run: Run = serde_json::from_str(&json).context("the benchmarks printed no run")?;
    for Measurement { name, unit, median, runs } in &run.measurements {
        let (least, most) = (runs.first().unwrap_or(median), runs.last().unwrap_or(median));
        println!("{name:<22} {median:>14.1} {unit:<10} ({least:.1} to {most:.1})");
    }
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => shell::output(std::process::Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]))?,
    };
    let path = shell::root().join("benches/runs").join(format!("{name}.json"));
    fs::write(&path, format!("{json}\n")).with_context(|| path.display().to_string())?;
    println!("kept as {}", path.strip_prefix(shell::root())?.display());
    Ok(())
}
