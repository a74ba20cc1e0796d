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
    /// A flood of 10 million flows for a minute, and what it took; needs root.
    Flood,
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
    // The whole workspace is selected each time: another selection has other features of the
    // dependencies, which would be built again.
    let test = || {
        let mut cargo = shell::cargo();
        cargo.args(["test", "--locked", "--workspace"]);
        cargo
    };
    if matches!(level, Level::Unit | Level::All) {
        shell::run(test().args(["--lib", "--bins"]))?;
    }
    if *level == Level::Unit {
        return Ok(());
    }
    setup::run(&setup::Arguments { kernel: false })?;
    shell::build_flowlog()?;
    if *level == Level::Flood {
        let mut flood = test();
        flood.env("FLOWLOG_FLOOD", "full").args(["--test", "flood", "--", "--nocapture"]);
        return shell::run(&mut flood);
    }
    shell::run(test().args(["--test", "*"]))
}
