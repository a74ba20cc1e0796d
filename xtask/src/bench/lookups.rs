//! What the group `lookups` needs: rows, nfdump, and a Python that asks DuckDB.

use std::{ffi::OsString, path::Path};

use anyhow::Context as _;

use super::argument;
use crate::{setup, shell};

#[derive(clap::Args)]
pub struct Lookups {
    /// For `lookups`: rows to ask of the flow table for the dense one of the ninety days; it makes
    /// some less. By default each of its hours is the standard one in size.
    #[arg(long, value_name = "NUMBER", default_value_t = 60_000_000)]
    rows: u64,
}

impl Lookups {
    /// Installs what is missing; returns what the benchmarks want to know, as `NAME=VALUE`.
    pub fn install(&self, flows: &Path) -> anyhow::Result<[OsString; 4]> {
        let flows = flows.canonicalize().with_context(|| flows.display().to_string())?;
        setup::install_programs(&[("nfdump", "nfdump"), ("nfcapd", "nfdump")])?;
        setup::install_duckdb()?;
        let python = setup::install_numpy_and_arrow()?;
        Ok([
            argument("flows", &flows),
            argument("python", &python),
            argument("folder", &shell::root().join("target/bench/lookups")),
            format!("rows={}", self.rows).into(),
        ])
    }
}
