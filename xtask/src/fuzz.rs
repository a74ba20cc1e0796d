//! The fuzzer, after installing what it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{setup, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// How long to search.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Afterwards, keep in fuzz/corpus what reaches more than the inputs that are there.
    #[arg(long)]
    keep: bool,
}

const TARGET: &str = "packet";
/// Eight extension headers, an IP header and tags fit in; longer inputs reach nothing more.
const LONGEST_INPUT: u32 = 512;

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { seconds, keep } = arguments;
    setup::install_fuzzer()?;
    // What is found goes to the first folder, and stays there until the next run.
    let (found, kept) = (shell::root().join("target/fuzz-found"), corpus());
    fs::create_dir_all(&found)?;
    shell::run(fuzzer([&found, &kept]).arg(format!("-max_total_time={seconds}")))?;
    if *keep {
        shell::run(fuzzer([&kept, &found]).arg("-merge=1"))?;
    }
    Ok(())
}

/// The inputs that are committed, which the tests give to the loaded kernel program too.
fn corpus() -> PathBuf {
    shell::root().join("fuzz/corpus").join(TARGET)
}

/// The fuzzer, reading its inputs from these folders.
fn fuzzer(folders: [&Path; 2]) -> Command {
    let mut cargo = shell::cargo();
    cargo
        // The parser is safe Rust, in which a sanitiser finds nothing; and it takes a nightly.
        .args(["fuzz", "run", "--sanitizer", "none", "--target-dir", "target/fuzz", TARGET])
        .args(folders)
        .args(["--", &format!("-max_len={LONGEST_INPUT}"), "-verbosity=0", "-print_final_stats=1"]);
    cargo
}
