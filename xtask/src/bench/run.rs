//! A run of the benchmarks, as it is kept.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use crate::shell;

#[derive(Deserialize)]
pub struct Run {
    pub measurements: Vec<Measurement>,
}

#[derive(Deserialize)]
pub struct Measurement {
    pub name: String,
    pub unit: String,
    pub median: f64,
    /// In the order in which they were taken.
    pub runs: Vec<f64>,
}

/// What is not to cost more than so many times something else in the same run.
const YARDSTICKS: [(&str, &str, f64); 6] = [
    ("hot_v4_l2", "floor_hot_v4_l2", 1.15),
    ("hot_v4_l3", "floor_hot_v4_l3", 1.15),
    ("hot_v6_l2", "hot_v4_l2", 1.6),
    ("hot_v6_l3", "hot_v4_l3", 1.6),
    ("new_v4", "floor_new_v4", 1.15),
    ("random_v4", "floor_random_v4", 1.2),
];

/// Where the run of this name is kept.
pub fn path(name: &str) -> PathBuf {
    shell::root().join("benches/runs").join(format!("{name}.json"))
}

impl Run {
    pub fn parse(json: &str) -> anyhow::Result<Self> {
        Ok(serde_json::from_str(json)?)
    }

    /// A kept run, by its name or its file.
    pub fn read(name: &str) -> anyhow::Result<Self> {
        let file = Some(PathBuf::from(name)).filter(|file| file.is_file());
        let file = file.unwrap_or_else(|| path(name));
        let json = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Self::parse(&json).with_context(|| file.display().to_string())
    }

    pub fn find(&self, name: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|measurement| measurement.name == name)
    }

    pub fn print(&self) {
        for Measurement { name, unit, median, runs } in &self.measurements {
            let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
            let most = runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            println!("{name:<34} {median:>14.1} {unit:<10} ({least:.1} to {most:.1})");
        }
        for (name, of, most) in YARDSTICKS {
            if let (Some(ours), Some(theirs)) = (self.find(name), self.find(of)) {
                let ratio = ours.ratio_to(theirs);
                let verdict = if ratio <= most { "" } else { ": TOO MUCH" };
                println!("{name} / {of}: {ratio:.2} (at most {most}){verdict}");
            }
        }
    }
}

impl Measurement {
    /// Median of the ratios of what was measured one after the other, so that a change of the
    /// machine's speed between two pairs changes neither.
    fn ratio_to(&self, other: &Self) -> f64 {
        let mut ratios: Vec<f64> =
            self.runs.iter().zip(&other.runs).map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}
