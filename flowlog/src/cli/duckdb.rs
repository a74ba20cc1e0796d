//! `flowlog duckdb`

use std::io::Write as _;

use clap::Args;
use flowlog::{config::DEFAULT_STORE, query, store::Store};

use super::{Failure, Outcome};

#[derive(Args)]
pub struct Arguments {
    /// The store: a directory or a URL.
    #[arg(long, short, value_name = "URL", default_value = DEFAULT_STORE)]
    store: String,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.store).map_err(Failure::usage)?;
    let sql = super::runtime()?.block_on(query::duckdb(&store))?;
    std::io::stdout().write_all(sql.as_bytes())?;
    Ok(Outcome::Done)
}
