//! `flowlog duckdb`

use clap::Args;
use flowlog::{ask, store::Store};

use super::{Failure, Outcome, Output, source::StoreArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.store.read()?).map_err(Failure::usage)?;
    // Others may have variables that are no text.
    let variables = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let sql = super::runtime()?.block_on(ask::duckdb::duckdb(&store, variables))?;
    let mut out = Output::new();
    out.raw(sql);
    out.finish_answer()?;
    Ok(Outcome::Done)
}
