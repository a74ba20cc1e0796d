//! `flowlog duckdb`

use clap::Args;
use flowlog::{config::DEFAULT_STORE, query, store::Store};

use super::{Failure, Outcome, Output};

#[derive(Args)]
pub struct Arguments {
    /// The store: a directory or a URL.
    #[arg(long, short, value_name = "URL", default_value = DEFAULT_STORE)]
    store: String,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.store).map_err(Failure::usage)?;
    let sql = super::runtime()?.block_on(query::duckdb(&store))?;
    let mut out = Output::new();
    out.text(sql);
    out.finish_answer()?;
    Ok(Outcome::Done)
}
