//! The tests, after installing what they need.

use clap::ValueEnum;

use crate::{check, ebpf, setup, shell, vm};

#[derive(clap::Args)]
pub struct Arguments {
    /// How much to test.
    #[arg(value_enum, default_value_t)]
    level: Level,
    /// How many histories the model of the spool plays.
    #[arg(long, default_value_t = 100_000)]
    histories: u64,
    /// Only these of the older kernels (6.1, 6.12).
    #[arg(long, value_name = "SERIES", value_delimiter = ',')]
    kernel: Vec<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Level {
    /// What needs neither root nor anything installed.
    Unit,
    /// Real interfaces and real traffic, in network namespaces, and real object stores; needs root.
    System,
    /// A flood of 10 million flows for a minute, and what it took; needs root.
    Flood,
    /// S3 away for an hour, under traffic, and a daemon that is killed meanwhile; needs root, and
    /// an hour.
    Outage,
    /// The units under systemd, in containers of Debian 12 and 13; needs root. Part of `system`.
    Systemd,
    /// Thousands of audits beside everything that changes a store, and of bits that flip; needs root,
    /// and some hours.
    Soak,
    /// Random histories of the spool, on a disk and with stores in memory: many more of them than among
    /// the tests of `unit`.
    Model,
    /// Older kernels, in virtual machines; needs root.
    Vm,
    /// All of it, after checking the sources and rebuilding the kernel program; what CI runs.
    #[default]
    All,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { level, histories, kernel } = arguments;
    let includes = |part: Level| [part, Level::All].contains(level);
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
    if includes(Level::Unit) {
        shell::run(test().args(["--lib", "--bins"]))?;
        shell::run(test().arg("--doc"))?;
        // What asks and keeps on a machine that counts nothing.
        let laptop = ["--no-default-features", "--features", "aws,azure,gcp", "--lib", "--bins"];
        let mut test = shell::cargo();
        shell::run(test.args(["test", "--locked", "--package", "flowlog"]).args(laptop))?;
    }
    if includes(Level::System) {
        setup::run(&setup::Arguments { kernel: false })?;
        shell::build_flowlog()?;
        shell::run(test().args(["--test", "*"]))?;
    }
    for (long, variable, value, tests) in [
        (Level::Flood, "FLOWLOG_FLOOD", "full", &["flood"][..]),
        (Level::Outage, "FLOWLOG_OUTAGE", "hour", &["exactly_once", "s3_that_cannot_be_reached"]),
        (
            Level::Soak,
            "FLOWLOG_SOAK",
            "full",
            &["soak", "--test", "histories", "--test", "session_kills"],
        ),
    ] {
        if *level == long {
            setup::run(&setup::Arguments { kernel: false })?;
            shell::build_flowlog()?;
            let mut test = test();
            test.env(variable, value).arg("--test").args(tests).args(["--", "--nocapture"]);
            shell::run(&mut test)?;
        }
    }
    if *level == Level::Model {
        let mut test = test();
        test.env("FLOWLOG_HISTORIES", histories.to_string());
        shell::run(test.args(["--lib", "--", "service::model", "--nocapture"]))?;
    }
    if *level == Level::Systemd {
        setup::run(&setup::Arguments { kernel: false })?;
        shell::build_flowlog()?;
        shell::run(test().args(["--test", "systemd"]))?;
    }
    if includes(Level::Vm) {
        setup::run(&setup::Arguments { kernel: false })?;
        vm::run(kernel)?;
    }
    Ok(())
}
