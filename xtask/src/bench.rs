//! Measuring, keeping what was measured, and comparing it.

mod compare;
mod objects;
mod run;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use crate::shell;
use objects::Objects;
use run::Run;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Command {
    /// Show two runs side by side, and the second as a ratio of the first.
    Compare {
        /// Name of a run, or its file.
        before: String,
        /// Name of a run, or its file.
        after: String,
    },
}

#[derive(clap::Args)]
struct Measure {
    /// What to measure; where nothing is named, all that flowlog does. Beside that there is `maps`,
    /// which compares designs of its maps and wants two CPUs for itself.
    #[arg(value_name = "GROUP", default_values = ["hot", "many", "scan", "pipeline"])]
    groups: Vec<String>,
    /// Source of a flow counter in C to measure the kernel program beside (programs `up` and
    /// `down` in the section "tc", a global `l2_len`, a hash map `FLOWS_A`).
    #[arg(long, value_name = "FILE")]
    floor: Option<PathBuf>,
    /// Name of the run's file under benches/runs/; the time of day where none is given.
    #[arg(long)]
    name: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Some(Command::Compare { before, after }) => compare::run(before, after),
        None => measure(&arguments.measure),
    }
}

fn measure(Measure { groups, floor, name }: &Measure) -> anyhow::Result<()> {
    let objects = Objects::compile(floor.as_deref())?;
    let mut bench = shell::cargo();
    bench.args(["run", "--quiet", "--release", "--locked", "--package", "flowlog-benches", "--"]);
    bench.args(groups).args(objects.arguments());
    let json = shell::output(&mut bench)?;
    Run::parse(&json).context("the benchmarks printed no run")?.print();
    let name = match name {
        Some(name) => name.clone(),
        None => shell::output(std::process::Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]))?,
    };
    let path = run::path(&name);
    fs::write(&path, format!("{json}\n")).with_context(|| path.display().to_string())?;
    println!("kept as {}", path.strip_prefix(shell::root())?.display());
    Ok(())
}
