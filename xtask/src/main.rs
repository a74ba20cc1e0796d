//! What contributors and CI run: `cargo xtask --help`.

mod bench;
mod check;
mod ebpf;
mod fuzz;
mod layers;
mod setup;
mod shell;
mod test;
mod vm;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, check, test and measure flowlog")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, lints on both targets, documentation, and that generated files are fresh.
    Check,
    /// Record real traffic through a tunnel of its own: `flowlog demo`, after installing what it needs.
    Demo,
    /// Run the tests, after installing what they need.
    Test(test::Arguments),
    /// Look for packets that the parser gets wrong, after installing what that needs.
    Fuzz(fuzz::Arguments),
    /// Measure, and keep the raw figures under benches/runs/.
    Bench(bench::Arguments),
    /// Build the kernel program, or check that the committed object is the sources'.
    #[command(subcommand)]
    Ebpf(ebpf::Command),
    /// Rewrite the generated documentation.
    Generate,
    /// Install what the tests need: system packages, the kernel toolchain, DuckDB, Spark, object stores.
    Setup(setup::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Check => check::run(),
        Command::Demo => setup::demo(),
        Command::Test(arguments) => test::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Ebpf(command) => ebpf::run(&command),
        Command::Generate => check::generate(),
        Command::Setup(arguments) => setup::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_known_by_one_name() {
        super::Arguments::command().debug_assert();
    }
}
