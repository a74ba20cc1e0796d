//! `flowlog duckdb`

use clap::Args;
use flowlog::{query, store::Store};

use super::{Failure, Outcome, Output, source::StoreArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (store, _) = arguments.store.read()?;
    let store = Store::open(&store).map_err(Failure::usage)?;
    let sql = super::runtime()?.block_on(query::duckdb(&store))?;
    let mut out = Output::new();
    out.text(sql);
    out.finish_answer()?;
    Ok(Outcome::Done)
}
