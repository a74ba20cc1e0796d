//! `flowlog config show`

use clap::{Args, Subcommand};
use flowlog::config::show;

use super::{
    Failure, Global, Outcome, Output,
    source::{FileAndFlags, hostname},
};

#[derive(Subcommand)]
pub enum Command {
    /// Print each key with its value, and the default, the line of the file or the option that set
    /// it.
    Show(Arguments),
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: FileAndFlags,
}

pub fn run(command: &Command, global: &Global) -> Result<Outcome, Failure> {
    let Command::Show(Arguments { settings }) = command;
    let shown = show(settings.read()?, &hostname()).map_err(Failure::usage)?;
    let mut out = Output::new();
    let json = || serde_json::to_value(&shown).unwrap_or_default();
    out.answer(global.format, json, |out| out.text(shown.text()));
    out.finish_answer()?;
    Ok(Outcome::Done)
}
