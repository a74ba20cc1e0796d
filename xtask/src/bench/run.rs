//! A run of the benchmarks, as it is kept.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::shell;

#[derive(Deserialize, Serialize)]
pub struct Run {
    pub measurements: Vec<Measurement>,
}

#[derive(Deserialize, Serialize)]
pub struct Measurement {
    pub name: String,
    pub unit: String,
    pub median: f64,
    /// In the order in which they were taken.
    pub runs: Vec<f64>,
}

/// What is compared with something else in the same run, and how many times that it may be.
const YARDSTICKS: [(&str, &str, Bound); 11] = [
    ("hot_v4_l2", "floor_hot_v4_l2", Bound::AtMost(1.15)),
    ("hot_v4_l3", "floor_hot_v4_l3", Bound::AtMost(1.15)),
    ("hot_v6_l2", "hot_v4_l2", Bound::AtMost(1.6)),
    ("hot_v6_l3", "hot_v4_l3", Bound::AtMost(1.6)),
    ("new_v4", "floor_new_v4", Bound::AtMost(1.15)),
    ("random_v4", "floor_random_v4", Bound::AtMost(1.2)),
    ("first_demo", "first_demo_all_features", Bound::AtMost(0.6)),
    ("wireguard_up", "bare_wireguard_up", Bound::AtLeast(0.99)),
    ("wireguard_down", "bare_wireguard_down", Bound::AtLeast(0.99)),
    ("cable_up", "bare_cable_up", Bound::None),
    ("cable_down", "bare_cable_down", Bound::None),
];

/// What a median is held to. Of a question, `_faster` is by how many times than nfdump.
const LIMITS: [(&str, Bound); 15] = [
    ("end to end", Bound::AtLeast(1e6)),
    ("flowlog_size", Bound::AtMost(17.0)),
    ("smaller_than_lzo", Bound::AtLeast(2.0)),
    ("smaller_than_bz2", Bound::AtLeast(1.0)),
    ("instant_rare_faster", Bound::AtLeast(5.0)),
    // An address that is in every row group: nfdump reads minutes where DuckDB reads hours (ADR 11).
    ("instant_common_faster", Bound::None),
    ("day_rare_faster", Bound::AtLeast(100.0)),
    ("day_member_faster", Bound::AtLeast(40.0)),
    ("day_top_faster", Bound::AtLeast(10.0)),
    ("flowlog_cold_instant_rare", Bound::AtMost(1000.0)),
    ("trace_cold_at", Bound::AtMost(1000.0)),
    ("trace_memory", Bound::AtMost(100.0)),
    ("trace_objects_of_a_gateway", Bound::AtMost(8.0)),
    ("trace_slow_bucket_at", Bound::AtMost(3000.0)),
    ("trace_subscriber_year", Bound::AtMost(5000.0)),
];

/// What a ratio is held to.
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is told, no more.
    None,
}

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
        for (name, of, bound) in YARDSTICKS {
            if let (Some(ours), Some(theirs)) = (self.find(name), self.find(of)) {
                println!("{name} / {of}: {}", bound.judge(&ours.ratios_to(theirs)));
            }
        }
        for (name, bound) in LIMITS {
            if let Some(Measurement { median, .. }) = self.find(name) {
                println!("{name}: {median:.3}{}", bound.verdict(*median));
            }
        }
    }
}

impl Measurement {
    /// Of which nothing was measured yet.
    pub fn empty(name: &str, unit: &str) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned(), median: f64::NAN, runs: vec![] }
    }

    /// Takes the median of all that was measured.
    pub fn take_median(&mut self) {
        let mut ascending = self.runs.clone();
        ascending.sort_by(f64::total_cmp);
        self.median = ascending.get(ascending.len() / 2).copied().unwrap_or(f64::NAN);
    }

    /// In ascending order, the ratios of what was measured one after the other, so that a change of
    /// the machine's speed between two pairs changes none of them.
    fn ratios_to(&self, other: &Self) -> Vec<f64> {
        let mut ratios: Vec<f64> =
            self.runs.iter().zip(&other.runs).map(|(ours, theirs)| ours / theirs).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }
}

impl Bound {
    /// The median of these ratios, all of which lie between the first and the last.
    fn judge(&self, ratios: &[f64]) -> String {
        let [least, .., most] = ratios else { return "too few to compare".to_owned() };
        let median = ratios[ratios.len() / 2];
        format!("{median:.3} ({least:.3} to {most:.3}){}", self.verdict(median))
    }

    fn verdict(&self, median: f64) -> String {
        match self {
            Self::AtMost(bound) if median <= *bound => format!(", at most {bound}"),
            Self::AtMost(bound) => format!(", at most {bound}: TOO MUCH"),
            Self::AtLeast(bound) if median >= *bound => format!(", at least {bound}"),
            Self::AtLeast(bound) => format!(", at least {bound}: TOO LITTLE"),
            Self::None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bound;

    #[test]
    fn the_median_of_the_ratios_is_held_to_the_bound_and_their_spread_is_told() {
        let ratios = [0.9, 0.98, 1.2];
        assert_eq!(Bound::None.judge(&ratios), "0.980 (0.900 to 1.200)");
        assert_eq!(Bound::AtMost(1.0).judge(&ratios), "0.980 (0.900 to 1.200), at most 1");
        assert_eq!(
            Bound::AtLeast(0.99).judge(&ratios),
            "0.980 (0.900 to 1.200), at least 0.99: TOO LITTLE"
        );
    }
}
