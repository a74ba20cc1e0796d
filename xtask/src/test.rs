//! The tests, after installing what they need.

use clap::ValueEnum;

use crate::{check, ebpf, setup, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// How much to test.
    #[arg(value_enum, default_value_t)]
    level: Level,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Level {
    /// What needs neither root nor anything installed.
    Unit,
    /// Real interfaces and real traffic, in network namespaces; needs root.
    System,
    /// All of it, after checking the sources and rebuilding the kernel program; what CI runs.
    #[default]
    All,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { level } = arguments;
    if *level == Level::All {
        setup::run(&setup::Arguments { kernel: true })?;
        ebpf::run(&ebpf::Command::Check { rebuild: true })?;
        check::run()?;
    }
    if *level != Level::System {
        shell::run(shell::cargo().args(["test", "--locked"]))?;
    }
    if *level != Level::Unit {
        setup::run(&setup::Arguments { kernel: false })?;
        shell::run(shell::cargo().args(["build", "--locked", "--package", "flowlog"]))?;
        shell::run(shell::cargo().args(["test", "--locked", "--package", "flowlog-tests"]))?;
    }
    Ok(())
}
