//! What flowlog costs, in one run: in the kernel per packet, and in the daemon per flow.
//!
//! Prints one JSON object: `measurements` by name, each with its unit and every single run, since
//! on a shared machine only the spread says what a median is worth.

mod kernel;
mod pipeline;

use serde_json::{Value, json};

/// One thing that was measured, several times.
struct Measurement {
    name: &'static str,
    unit: &'static str,
    runs: Vec<f64>,
}

impl Measurement {
    fn new(name: &'static str, unit: &'static str, runs: Vec<f64>) -> Self {
        Self { name, unit, runs }
    }

    fn json(self) -> Value {
        let Self { name, unit, mut runs } = self;
        runs.sort_by(f64::total_cmp);
        let median = runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN);
        json!({ "name": name, "unit": unit, "median": median, "runs": runs })
    }
}

fn main() -> anyhow::Result<()> {
    let mut measurements = kernel::measure()?;
    measurements.extend(pipeline::measure()?);
    let measurements: Vec<Value> = measurements.into_iter().map(Measurement::json).collect();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": kernel.trim(),
        "cpus": std::thread::available_parallelism()?.get(),
        "measurements": measurements,
    });
    println!("{answer:#}");
    Ok(())
}
