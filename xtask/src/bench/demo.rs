//! How long a stranger waits for the demonstration: from an empty target, with its features and with all of them.

use std::{
    fs,
    path::Path,
    process::Command as Process,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::run::{Measurement, Run};
use crate::shell;

/// What is measured, and the features of the `flowlog` that it builds.
const VARIANTS: [(&str, &[&str]); 2] =
    [("first_demo", &shell::GATEWAY), ("first_demo_all_features", &["--package", "flowlog"])];

/// Times both, one after the other, so many times.
pub fn run(rounds: usize) -> anyhow::Result<Run> {
    let target = shell::root().join("target/bench/first-demo");
    let mut measurements = VARIANTS.map(|(name, _)| Measurement::empty(name, "s"));
    for _ in 0..rounds {
        for ((_, features), measurement) in VARIANTS.iter().zip(&mut measurements) {
            measurement.runs.push(from_empty(&target, features)?.as_secs_f64());
        }
    }
    fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
    measurements.iter_mut().for_each(Measurement::take_median);
    Ok(Run { measurements: measurements.into() })
}

/// As `cargo xtask demo` does it: the program that builds, the program that is built, and its demonstration.
fn from_empty(target: &Path, features: &[&str]) -> anyhow::Result<Duration> {
    if target.exists() {
        fs::remove_dir_all(target).with_context(|| target.display().to_string())?;
    }
    let begun = Instant::now();
    let into = ["build", "--quiet", "--locked", "--target-dir"];
    shell::run(shell::cargo().args(into).arg(target).args(["--package", "xtask"]))?;
    shell::run(shell::cargo().args(into).arg(target).args(["--bin", "flowlog"]).args(features))?;
    shell::output(Process::new(target.join("debug/flowlog")).arg("demo"))?;
    Ok(begun.elapsed())
}
