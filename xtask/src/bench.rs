//! Measuring, keeping what was measured, and comparing it.

mod compare;
mod demo;
mod lookups;
mod objects;
mod run;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command as Process,
};

use anyhow::Context as _;
use clap::Subcommand;

use crate::{setup, shell};
use lookups::Lookups;
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
    /// Time the way from an empty target to the end of `cargo xtask demo`, beside the same with all features.
    Demo {
        /// So many times each.
        #[arg(long, value_name = "NUMBER", default_value_t = 3)]
        rounds: usize,
        /// Name of the run's file under benches/runs/; the time of day where none is given.
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(clap::Args)]
struct Measure {
    /// What to measure; hot, many, scan and pipeline where nothing is named. Three more want the
    /// machine for themselves: `gateway`, throughput with and without flowlog, `maps`, designs
    /// of its maps beside each other, and `lookups`, size and speed of the store beside nfdump.
    /// `layout` is layouts of a file of flows beside each other. The last two need `--flows`, and
    /// `pipeline` makes up flows without it. `trace` asks a store of a year who had an address.
    #[arg(value_name = "GROUP", default_values = ["hot", "many", "scan", "pipeline"])]
    groups: Vec<String>,
    /// Source of a flow counter in C to measure the kernel program beside (programs `up` and
    /// `down` in the section "tc", a global `l2_len`, a hash map `FLOWS_A`).
    #[arg(long, value_name = "FILE")]
    floor: Option<PathBuf>,
    /// Program in Python (numpy, pyarrow) that makes the flow table for `layout`, `pipeline` and
    /// `lookups`: called with an hour, the Arrow file to write and, for `lookups`, how many rows. For
    /// the first two also an Arrow file that it has made.
    #[arg(long, value_name = "FILE")]
    flows: Option<PathBuf>,
    #[command(flatten)]
    lookups: Lookups,
    /// Name of the run's file under benches/runs/; the time of day where none is given.
    #[arg(long)]
    name: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Some(Command::Compare { before, after }) => compare::run(before, after),
        Some(Command::Demo { rounds, name }) => {
            let run = demo::run(*rounds)?;
            keep(&run, &serde_json::to_string_pretty(&run)?, name.as_deref())
        }
        None => measure(&arguments.measure),
    }
}

fn measure(Measure { groups, floor, flows, lookups, name }: &Measure) -> anyhow::Result<()> {
    let mut arguments: Vec<OsString> = groups.iter().map(OsString::from).collect();
    let has = |name| groups.iter().any(|group| group == name);
    let needed = || flows.as_deref().context("`layout` and `lookups` need a table: --flows FILE");
    if has("layout") || has("pipeline") && flows.is_some() {
        arguments.push(argument("table", &table(needed()?)?));
    }
    if has("lookups") {
        arguments.extend(lookups.install(needed()?)?);
    }
    if has("trace") {
        arguments.push(argument("store", &shell::root().join("target/bench/trace")));
    }
    if groups.iter().any(|group| !["layout", "lookups", "trace"].contains(&group.as_str())) {
        arguments.extend(Objects::compile(floor.as_deref())?.arguments());
        setup::install_programs(&setup::TEST_PROGRAMS)?;
        setup::install_programs(&[("iperf3", "iperf3")])?;
    }
    let mut bench = Process::new(build()?);
    bench.args(arguments);
    let json = shell::output(&mut bench)?;
    let run = Run::parse(&json).context("the benchmarks printed no run")?;
    keep(&run, &json, name.as_deref())
}

/// Prints a run, and keeps it under a name.
fn keep(run: &Run, json: &str, name: Option<&str>) -> anyhow::Result<()> {
    run.print();
    let name = match name {
        Some(name) => name.to_owned(),
        None => shell::output(Process::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]))?,
    };
    let path = run::path(&name);
    fs::write(&path, format!("{json}\n")).with_context(|| path.display().to_string())?;
    println!("kept as {}", path.strip_prefix(shell::root())?.display());
    Ok(())
}

/// The first hour of the table that a program makes, once.
fn table(program: &Path) -> anyhow::Result<PathBuf> {
    if program.extension().is_some_and(|extension| extension == "arrow") {
        return Ok(program.to_owned());
    }
    let table = shell::root().join("target/bench/flows.arrow");
    if !table.is_file() {
        fs::create_dir_all(shell::root().join("target/bench"))?;
        let unfinished = table.with_extension("unfinished");
        let mut python = Process::new(setup::install_numpy_and_arrow()?);
        shell::run(python.arg(program).arg("0").arg(&unfinished))?;
        fs::rename(unfinished, &table)?;
    }
    Ok(table)
}

/// As the benchmarks take a file: `NAME=PATH`.
fn argument(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(format!("{name}="));
    argument.push(path);
    argument
}

/// Builds the benchmarks, and the daemon that some of them start, which is to be beside them.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--quiet", "--release", "--locked", "--workspace"]);
    shell::run(cargo.args(["--bin", "flowlog", "--bin", "flowlog-benches"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(shell::root().join(target).join("release/flowlog-benches"))
}
